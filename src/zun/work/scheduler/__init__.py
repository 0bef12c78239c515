"""Choosing a host: pure, from values to a value. Taking its resources is the claim's business (store.hosts)."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from zun.model.host import Host


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceRequest:
    """What a container or a capsule needs of a host. Memory in MiB, disk in GiB.

    `one_cpu`, `one_memory`: the most that a single container of several needs; None = there is but one.
    """

    cpu: float
    memory: int
    disk: int
    cpu_policy: str = "shared"
    runtime: str | None = None
    availability_zone: str | None = None
    host: str | None = None
    wants_disk_quota: bool = False
    hints: Mapping[str, Any] = field(default_factory=dict)
    one_cpu: float | None = None
    one_memory: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The hosts that fit, best first, and for those that don't, how many each filter turned away."""

    hosts: Sequence[Host]
    rejected: Mapping[str, int]
    considered: int

    def explain(self) -> str:
        """Why none fits, for the user: "3 hosts: 2 lack memory, 1 is disabled"."""
        if not self.considered:
            return "no host has registered"
        hosts = "1 host" if self.considered == 1 else f"{self.considered} hosts"
        return f"{hosts}: " + ", ".join(f"{n} {text}" for text, n in sorted(self.rejected.items()))


Filter = Callable[[PlaceRequest, Host, datetime], bool]


def _filters(down_after: timedelta) -> Sequence[tuple[str, Filter]]:
    """The filters in the order they are asked, each with the words for those it turns away."""
    return (
        ("not the requested host", lambda r, h, now: r.host in (None, h.hostname)),
        ("in another zone", lambda r, h, now: r.availability_zone in (None, h.availability_zone)),
        ("disabled", lambda r, h, now: not h.disabled),
        (
            "down",
            lambda r, h, now: (
                not h.forced_down
                and h.last_seen_up is not None
                and now - h.last_seen_up < down_after
            ),
        ),
        (
            "without the runtime",
            lambda r, h, now: r.runtime is None or r.runtime in h.inventory.runtimes,
        ),
        (
            "without CPU pinning",
            lambda r, h, now: r.cpu_policy != "dedicated" or h.enable_cpu_pinning,
        ),
        (
            "unable to limit disk",
            lambda r, h, now: not r.wants_disk_quota or h.inventory.disk_quota_supported,
        ),
        # Whatever may be promised to all together: no single one gets more than is really there.
        (
            "short of CPU",
            lambda r, h, now: (
                (r.one_cpu or r.cpu) <= h.inventory.cpus and h.cpu_used + r.cpu <= h.cpus + 1e-9
            ),
        ),
        (
            "short of memory",
            lambda r, h, now: (
                (r.one_memory or r.memory) <= h.inventory.mem_total
                and h.mem_used + r.memory <= h.memory
            ),
        ),
        ("short of disk", lambda r, h, now: h.disk_used + r.disk <= h.disk),
    )


def choose(
    request: PlaceRequest, hosts: Sequence[Host], now: datetime, down_after: timedelta
) -> Choice:
    """The hosts that fit `request`, the emptiest first (spread)."""
    filters = _filters(down_after)
    rejected: Counter[str] = Counter()
    fit = []
    for host in hosts:
        why = next((name for name, ok in filters if not ok(request, host, now)), None)
        if why is None:
            fit.append(host)
        else:
            rejected[why] += 1
    fit.sort(key=_load)
    return Choice(hosts=fit, rejected=dict(rejected), considered=len(hosts))


def _load(host: Host) -> tuple[float, str]:
    shares = (
        host.cpu_used / host.cpus if host.cpus else math.inf,
        host.mem_used / host.memory if host.memory else math.inf,
    )
    return max(shares), host.hostname
