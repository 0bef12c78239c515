"""Rules of services (contract 10)."""

from __future__ import annotations

from oslo_policy import policy

from zun.api.policies.base import ADMIN_API, rule

RULES: tuple[policy.RuleDefault, ...] = (
    rule("zun-service:get_all", ADMIN_API, "List the services.", ("GET", "/v1/services")),
)
