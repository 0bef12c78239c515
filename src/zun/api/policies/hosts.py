"""Rules of hosts (contract 10)."""

from __future__ import annotations

from oslo_policy import policy

from zun.api.policies.base import ADMIN_API, rule

RULES: tuple[policy.RuleDefault, ...] = (
    rule("host:get_all", ADMIN_API, "List the hosts.", ("GET", "/v1/hosts")),
    rule("host:get", ADMIN_API, "Show a host.", ("GET", "/v1/hosts/{host_ident}")),
)
