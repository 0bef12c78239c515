"""Policy rules: the defaults by upstream's names (contract 10), one file a resource, and their enforcer."""

from __future__ import annotations

from oslo_policy import policy

from zun.api.policies import (
    base,
    capsules,
    containers,
    hosts,
    images,
    networks,
    quotas,
    registries,
    services,
)


def list_rules() -> list[policy.RuleDefault]:
    """All rules; the entry point by which oslo.policy's tools find them."""
    resources = (capsules, containers, hosts, images, networks, quotas, registries, services)
    return [*base.RULES, *(rule for resource in resources for rule in resource.RULES)]
