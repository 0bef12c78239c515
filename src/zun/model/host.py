"""Hosts, the services on them, and what containers claim of them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime


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
    epoch: int = 0
    created_at: datetime | None = None
    updated_at: datetime | None = None
    # From the host's zun-compute service row.
    disabled: bool = False
    forced_down: bool = False
    last_seen_up: datetime | None = None


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


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """What one container takes of one host. Memory in MiB, disk in GiB."""

    container_uuid: str
    host: str
    cpu: float
    memory: int
    disk: int


#: Columns hosts may be sorted by (contract 2.0); the first is the default.
SORT_KEYS: tuple[str, ...] = (
    "hostname", "uuid", "cpu_used", "mem_used", "disk_used", "total_containers", "created_at",
    "updated_at",
)  # fmt: skip
