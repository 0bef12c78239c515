"""Rules of networks (contract 10)."""

from __future__ import annotations

from oslo_policy import policy

from zun.api.policies.base import ADMIN_API, rule

RULES: tuple[policy.RuleDefault, ...] = (
    rule("network:create", ADMIN_API, "Make a network.", ("POST", "/v1/networks")),
    rule("network:delete", ADMIN_API, "Remove a network.", ("DELETE", "/v1/networks/{network_id}")),
)
