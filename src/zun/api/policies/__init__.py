"""Policy rules: the defaults by upstream's names (contract 10), one file a resource, and their enforcer."""

from __future__ import annotations

from oslo_policy import policy

from zun.api.policies import base, containers, hosts, images, networks, services


def list_rules() -> list[policy.RuleDefault]:
    """All rules; the entry point by which oslo.policy's tools find them."""
    return [
        *base.RULES,
        *containers.RULES,
        *hosts.RULES,
        *images.RULES,
        *networks.RULES,
        *services.RULES,
    ]
