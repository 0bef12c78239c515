"""Rules of capsules (contract 10)."""

from __future__ import annotations

from oslo_policy import policy

from zun.api.policies.base import ADMIN_API, PROJECT_MEMBER, PROJECT_READER, rule

_ALL = "/v1/capsules"
_ONE = "/v1/capsules/{capsule_ident}"

#: Rules of this prefix hide one field each; operators may add more (contract 13.1-21).
FIELD_PREFIX = "capsule:get:"

RULES: tuple[policy.RuleDefault, ...] = (
    rule("capsule:create", PROJECT_MEMBER, "Create a capsule.", ("POST", _ALL)),
    rule("capsule:get", PROJECT_READER, "Show a capsule.", ("GET", _ONE)),
    rule("capsule:get_one_all_projects", ADMIN_API, "Show one of any project.", ("GET", _ONE)),
    rule("capsule:get_all", PROJECT_READER, "List the capsules of one's project.", ("GET", _ALL)),
    rule(
        "capsule:get_all_all_projects",
        ADMIN_API,
        "List those of all projects; without it `all_projects` is ignored.",
        ("GET", _ALL),
    ),
    rule("capsule:delete", PROJECT_MEMBER, "Delete a capsule.", ("DELETE", _ONE)),
    rule("capsule:delete_all_projects", ADMIN_API, "Delete one of any project.", ("DELETE", _ONE)),
    rule("capsule:get:host", ADMIN_API, "See `host`.", ("GET", _ONE), ("GET", _ALL)),
)
