"""Names of who may do what, and the rules all resources share (contract 10).

The defaults are on the roles reader, member, manager and admin in a project, each of which may do what the one
before it may, whether or not the token lists that one too. Upstream's older default, by project alone, is named
as each rule's deprecated one: oslo.policy accepts it where `[oslo_policy] enforce_new_defaults` is false.
"""

from __future__ import annotations

from oslo_policy import policy

CONTEXT_IS_ADMIN = "context_is_admin"
ADMIN_API = "rule:admin_api"
DENY_EVERYBODY = "rule:deny_everybody"
PROJECT_READER = "rule:project_reader"
PROJECT_MEMBER = "rule:project_member"

#: The default of upstream for what is now a reader's or member's.
_LEGACY = "rule:admin_or_owner"
_BY_ROLE = frozenset({PROJECT_READER, PROJECT_MEMBER})
_MINE = "project_id:%(project_id)s"


def rule(
    name: str, check: str, what: str, *operations: tuple[str, str]
) -> policy.DocumentedRuleDefault:
    """One documented rule; `operations` are (method, path) pairs."""
    deprecated = policy.DeprecatedRule(
        name=name,
        check_str=_LEGACY,
        deprecated_reason="The default asks for a role in the project, not only for the project.",
        deprecated_since="0.1.0",
    )
    return policy.DocumentedRuleDefault(
        name=name,
        check_str=check,
        description=what,
        operations=[{"method": method, "path": path} for method, path in operations],
        scope_types=["project"],
        deprecated_rule=deprecated if check in _BY_ROLE else None,
    )


RULES: tuple[policy.RuleDefault, ...] = (
    policy.RuleDefault(
        CONTEXT_IS_ADMIN, "role:admin", description="Who is an administrator of all projects."
    ),
    policy.RuleDefault(
        "admin_api", "rule:context_is_admin", description="Calls for administrators."
    ),
    policy.RuleDefault(
        "project_manager",
        f"rule:context_is_admin or (role:manager and {_MINE})",
        description="Managers of the project; no default asks for more than a member, operators may.",
    ),
    policy.RuleDefault(
        "project_member",
        f"rule:project_manager or (role:member and {_MINE})",
        description="Members of the project: they change what is in it.",
    ),
    policy.RuleDefault(
        "project_reader",
        f"rule:project_member or (role:reader and {_MINE})",
        description="Readers of the project: they see what is in it.",
    ),
    policy.RuleDefault(
        "admin_or_owner",
        f"is_admin:True or {_MINE}",
        description="Upstream's default: administrators, and whoever is in the project, with any role.",
    ),
    policy.RuleDefault("deny_everybody", "!", description="Nobody, until an operator opens it."),
)
