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
    tests = asked(request, world)
    rejected: Counter[str] = Counter()
    fit = []
    for host in hosts:
        for words, passes in tests:
            if not passes(host):
                rejected[words] += 1
                break
        else:
            fit.append(host)
    fit.sort(key=cost(request, world))
    return Choice(hosts=fit, rejected=dict(rejected), considered=len(hosts))
