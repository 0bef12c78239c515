"""The enforcer by which oslo.policy's tools find our rules and the operator's (entry point oslo.policy.enforcer)."""

from __future__ import annotations

from oslo_policy import policy

from zun.api.policies.enforcer import enforcer_of
from zun.conf import load


def enforcer() -> policy.Enforcer:
    """With the policy file that the usual configuration files name."""
    return enforcer_of(load(prog="zun"))
