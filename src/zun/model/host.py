"""Hosts, the services on them, and what containers claim of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from enum import StrEnum
from typing import NamedTuple


class Mode(StrEnum):
    """What an operator has decided on a host: in both it gets no new containers.

    DRAINING: those that may move are moved. MAINTENANCE: all stay, and its silence is no failure.
    """

    DRAINING = "draining"
    MAINTENANCE = "maintenance"


@dataclass(frozen=True, slots=True, kw_only=True)
class NumaCell:
    """CPUs that are near to one another and to `memory` (MiB)."""

    id: int
    cpus: Sequence[int]
    memory: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Inventory:
    """What a host has, as its engine and kernel say it. Memory in MiB, disk in GiB."""

    cpus: int
    mem_total: int
    disk_total: int
    architecture: str
    os_type: str
    os: str
    kernel_version: str
    labels: Mapping[str, str] = field(default_factory=dict)
    runtimes: Sequence[str] = ()
    default_runtime: str = "runc"
    disk_quota_supported: bool = False
    numa: Sequence[NumaCell] = ()  # empty where it is not known
    image_drivers: Sequence[str] = ()  # empty where it is not known


@dataclass(frozen=True, slots=True, kw_only=True)
class Host:
    """One row of `hosts`: the inventory and what is claimed of it (contract 8, Hosts).

    `epoch` grows each time the host's agent starts: writes of an older agent are refused.
    """

    id: int = 0
    uuid: str
    hostname: str
    inventory: Inventory
    availability_zone: str
    # What may be claimed: the inventory times the allocation ratios, less the reserves.
    cpus: float = 0.0
    memory: int = 0
    disk: int = 0
    cpu_used: float = 0.0
    mem_used: int = 0
    disk_used: int = 0
    total_containers: int = 0
    enable_cpu_pinning: bool = False
    pinnable: Sequence[int] | None = None  # CPUs that may be given to one container each
    pinned: Sequence[int] | None = None  # those that are
    cpus_pinned: int = 0  # how many; they count in `cpu_used` but not against `cpus`
    epoch: int = 0
    revision: int = 0
    fence_after: float | None = (
        None  # seconds after which its agent, out of touch, stops what may move
    )
    mode: Mode | None = None
    mode_reason: str | None = None
    contact_at: datetime | None = None
    lost_at: datetime | None = None
    fenced_at: datetime | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    # From the host's zun-compute service row.
    disabled: bool = False
    forced_down: bool = False
    last_seen_up: datetime | None = None
    lease_until: datetime | None = None
    io_load: float | None = None  # 0..1: the share of time in which something waits for the disk

    @property
    def free_cpus(self) -> frozenset[int]:
        """The CPUs that may still be given to one container."""
        return frozenset(self.pinnable or ()) - frozenset(self.pinned or ())


class Life(NamedTuple):
    """The newest sign of life of a host: see `Host`."""

    last_seen_up: datetime | None
    lease_until: datetime | None
    io_load: float | None


def beats(
    now: datetime,
    down_after: timedelta,
    last_seen_up: datetime | None,
    lease_until: datetime | None,
) -> bool:
    """Whether a service has been heard of lately: within `down_after`, and within its own lease if it has one."""
    if last_seen_up is None or now - last_seen_up >= down_after:
        return False
    return lease_until is None or now < lease_until


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """One row of `services` (contract 8, Services). `state` is derived by whoever knows the time."""

    id: int
    host: str
    binary: str
    disabled: bool
    disabled_reason: str | None
    forced_down: bool
    last_seen_up: datetime | None
    report_count: int
    availability_zone: str
    created_at: datetime
    updated_at: datetime | None
    lease_until: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What one container takes of one host. Memory in MiB, disk in GiB; `cpuset`: the CPUs that are its own."""

    container_uuid: str
    host: str
    cpu: float
    memory: int
    disk: int
    cpuset: Sequence[int] | None = None


#: Columns hosts may be sorted by (contract 2.0); the first is the default.
SORT_KEYS: tuple[str, ...] = (
    "hostname", "uuid", "cpu_used", "mem_used", "disk_used", "total_containers", "created_at",
    "updated_at",
)  # fmt: skip
