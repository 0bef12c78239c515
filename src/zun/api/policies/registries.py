"""Rules of registries (contract 10)."""

from __future__ import annotations

from oslo_policy import policy

from zun.api.policies.base import ADMIN_API, PROJECT_MEMBER, PROJECT_READER, rule

_ALL = "/v1/registries"
_ONE = "/v1/registries/{registry_ident}"

#: Rules of this prefix, which operators may add, hide one field each and forbid the filter of that name.
FIELD_PREFIX = "registry:get_one:"

RULES: tuple[policy.RuleDefault, ...] = (
    rule("registry:create", PROJECT_MEMBER, "Add a registry.", ("POST", _ALL)),
    rule("registry:get_one", PROJECT_READER, "Show a registry.", ("GET", _ONE)),
    rule(
        "registry:get_all", PROJECT_READER, "List the registries of one's project.", ("GET", _ALL)
    ),
    rule("registry:get_all_all_projects", ADMIN_API, "List those of all projects.", ("GET", _ALL)),
    rule("registry:update", PROJECT_MEMBER, "Change a registry.", ("PATCH", _ONE)),
    rule("registry:delete", PROJECT_MEMBER, "Remove a registry.", ("DELETE", _ONE)),
)
