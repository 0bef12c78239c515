"""Choosing a host: pure, from values to a value. Taking its resources is the claim's business (`store.claims`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from zun.model.host import Host
from zun.work.scheduler.filters import asked
from zun.work.scheduler.values import Choice, PlaceRequest, SchedulerSettings, World
from zun.work.scheduler.weighers import cost

__all__ = ["Choice", "PlaceRequest", "SchedulerSettings", "World", "choose"]


def choose(request: PlaceRequest, hosts: Sequence[Host], world: World) -> Choice:
    """The hosts that fit `request`, best first."""
    rejected: Counter[str] = Counter()
    fit = list(hosts)
    for words, passes in asked(request, world):
        left = list(filter(passes, fit))
        if len(left) < len(fit):
            rejected[words] += len(fit) - len(left)
        fit = left
    fit.sort(key=cost(request, world))
    return Choice(hosts=fit, rejected=dict(rejected), considered=len(hosts))
