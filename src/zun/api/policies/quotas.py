"""Rules of quotas and quota classes (contract 10)."""

from __future__ import annotations

from oslo_policy import policy

from zun.api.policies.base import ADMIN_API, PROJECT_READER, rule

_ONE = "/v1/quotas/{project_id}"
_CLASS = "/v1/quota_classes/{class_name}"

RULES: tuple[policy.RuleDefault, ...] = (
    rule("quota:get", PROJECT_READER, "See a project's limits and use.", ("GET", _ONE)),
    rule(
        "quota:get_default",
        PROJECT_READER,
        "See the limits of projects without limits of their own.",
        ("GET", f"{_ONE}/defaults"),
    ),
    rule("quota:update", ADMIN_API, "Set a project's limits.", ("PUT", _ONE)),
    rule("quota:delete", ADMIN_API, "Give a project the default limits again.", ("DELETE", _ONE)),
    rule("quota_class:get", ADMIN_API, "See the limits of a class.", ("GET", _CLASS)),
    rule("quota_class:update", ADMIN_API, "Set the limits of a class.", ("PUT", _CLASS)),
)
