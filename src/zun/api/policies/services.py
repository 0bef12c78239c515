"""Rules of services and availability zones (contract 10)."""

from __future__ import annotations

from oslo_policy import policy

from zun.api.policies.base import ADMIN_API, PROJECT_READER, rule

_ALL = "/v1/services"

RULES: tuple[policy.RuleDefault, ...] = (
    rule("zun-service:get_all", ADMIN_API, "List the services.", ("GET", _ALL)),
    rule("zun-service:delete", ADMIN_API, "Forget a service.", ("DELETE", _ALL)),
    rule("zun-service:enable", ADMIN_API, "Use a host again.", ("PUT", f"{_ALL}/enable")),
    rule(
        "zun-service:disable",
        ADMIN_API,
        "Keep new containers off a host.",
        ("PUT", f"{_ALL}/disable"),
    ),
    rule(
        "zun-service:force_down",
        ADMIN_API,
        "Declare a service down, or take that back.",
        ("PUT", f"{_ALL}/force_down"),
    ),
    rule(
        "availability_zones:get_all",
        PROJECT_READER,
        "List the availability zones.",
        ("GET", "/v1/availability_zones"),
    ),
)
