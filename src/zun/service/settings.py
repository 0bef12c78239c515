"""Choices of the operator that the use cases need."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import timedelta

from zun.model.quota import RESOURCES, UNLIMITED, Limits


@dataclass(frozen=True, slots=True, kw_only=True)
class QuotaSettings:
    """Limits of projects for which nothing else is set. `enforced` False: nothing is limited (NoopQuotaDriver)."""

    containers: int = 40
    cpu: int = 20
    memory: int = 51200
    disk: int = 100
    enforced: bool = True

    @property
    def limits(self) -> Limits:
        """By resource."""
        return {name: getattr(self, name) if self.enforced else UNLIMITED for name in RESOURCES}


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceSettings:
    """Times in seconds, memory in MiB, disk in GiB. `unique_names`: "", "project" or "global" (contract 3.4)."""

    default_cpu: float = 1.0
    default_memory: int = 512
    default_disk: int = 10
    default_image_driver: str = "docker"
    image_drivers: Sequence[str] = ("docker",)
    default_schedule_zone: str | None = None
    unique_names: str = ""
    operation_seconds: float = 900.0
    ask_seconds: float = 60.0
    execute_seconds: float = 60.0
    execute_bytes: int = 1024 * 1024
    log_bytes: int = 8 * 1024 * 1024
    down_after: timedelta = timedelta(seconds=180)
    quota: QuotaSettings = field(default_factory=QuotaSettings)
    archive_bytes: int = 64 * 1024 * 1024
    subnet_pool: Sequence[str] = ()
    recreate_projects: Sequence[
        str
    ] = ()  # whose containers are movable unless they say otherwise; "*" = all
    token_seconds: int = 60
    session_limit: int | None = 86_400  # seconds a session may take; None = any
    idle_limit: int | None = 3_600  # seconds without a byte; None = any
    push_registries: Sequence[str] = ()  # patterns of domains
    init_seconds: float = 3600.0
