"""Rules of hosts (contract 10)."""

from __future__ import annotations

from oslo_policy import policy

from zun.api.policies.base import ADMIN_API, rule

RULES: tuple[policy.RuleDefault, ...] = (
    rule("host:get_all", ADMIN_API, "List the hosts.", ("GET", "/v1/hosts")),
    rule("host:get", ADMIN_API, "Show a host.", ("GET", "/v1/hosts/{host_ident}")),
    rule(
        "host:drain", ADMIN_API, "Have a host get no new containers and lose those that may be moved.",
        ("POST", "/v1/hosts/{host_ident}/drain"),
    ),
    rule(
        "host:maintenance", ADMIN_API, "Have a host get no new containers, and be silent with leave.",
        ("POST", "/v1/hosts/{host_ident}/maintenance"),
    ),
    rule(
        "host:enable", ADMIN_API, "Let a host work as any other again.",
        ("POST", "/v1/hosts/{host_ident}/enable"),
    ),
    rule(
        "host:delete", ADMIN_API, "Remove a host from the records.",
        ("DELETE", "/v1/hosts/{host_ident}"),
    ),
)  # fmt: skip
