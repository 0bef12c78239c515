"""The values the scheduler takes and gives."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from zun.model.host import Host, Life
from zun.model.placement import ALONE, Neighbours


@dataclass(frozen=True, slots=True, kw_only=True)
class PlaceRequest:
    """What a container, or a capsule as one, needs of a host. Memory in MiB, disk in GiB.

    `excluded`: hosts that have refused it, or that it leaves. `one_cpu`, `one_memory`: the most that a single container
    of several needs; None = there is but one.
    """

    cpu: float
    memory: int
    disk: int
    cpu_policy: str = "shared"
    runtime: str | None = None
    image_driver: str | None = None
    image: str | None = None
    availability_zone: str | None = None
    host: str | None = None
    wants_disk_quota: bool = False
    hints: Mapping[str, Any] = field(default_factory=dict)
    neighbours: Neighbours = ALONE
    excluded: Collection[str] = ()
    one_cpu: float | None = None
    one_memory: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class SchedulerSettings:
    """The operator's choices.

    filters: names of those that are asked besides the ones that keep a promise (see `filters`); None = all.
    spread: the emptiest host first, else the fullest. The weights say how many times the share of a host that is in use
    (0..1) another reason counts. sample: how many hosts are looked at first where there are more.
    """

    filters: Sequence[str] | None = None
    spread: bool = True
    image_weight: float = 0.02
    io_weight: float = 0.1
    soft_affinity_weight: float = 1.0
    sample: int = 100
    most_places: int = 3  # hosts that may refuse one container


@dataclass(frozen=True, slots=True, kw_only=True)
class World:
    """What is the case around the hosts. `beats`: newer than what their values say; `having`: those with the image."""

    now: datetime
    down_after: timedelta
    settings: SchedulerSettings = field(default_factory=SchedulerSettings)
    beats: Mapping[str, Life] = field(default_factory=dict)
    having: Collection[str] = ()

    def life(self, host: Host) -> Life:
        """The newest sign of life of a host."""
        return self.beats.get(host.hostname) or Life(
            host.last_seen_up, host.lease_until, host.io_load
        )


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
