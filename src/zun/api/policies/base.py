"""Names of who may do what, and the rules all resources share (contract 10)."""

from __future__ import annotations

from oslo_policy import policy

CONTEXT_IS_ADMIN = "context_is_admin"
ADMIN_API = "rule:admin_api"
ADMIN_OR_OWNER = "rule:admin_or_owner"
DENY_EVERYBODY = "rule:deny_everybody"


def rule(
    name: str, check: str, what: str, *operations: tuple[str, str]
) -> policy.DocumentedRuleDefault:
    """One documented rule; `operations` are (method, path) pairs."""
    return policy.DocumentedRuleDefault(
        name=name,
        check_str=check,
        description=what,
        operations=[{"method": method, "path": path} for method, path in operations],
    )


RULES: tuple[policy.RuleDefault, ...] = (
    policy.RuleDefault(CONTEXT_IS_ADMIN, "role:admin", "Who is an administrator of all projects."),
    policy.RuleDefault("admin_api", "rule:context_is_admin", "Calls for administrators."),
    policy.RuleDefault(
        "admin_or_owner",
        "is_admin:True or project_id:%(project_id)s",
        "Administrators, and members of the project that owns the resource.",
    ),
    policy.RuleDefault("deny_everybody", "!", "Nobody, until an operator opens it."),
)
