"""What the API needs to know of the configuration: one frozen value, passed on, never a global."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiSettings:
    """Bounds and choices of the operator (contract 11); every field has upstream's default."""

    max_limit: int = 1000  # [api]max_limit: rows of one page at most, and by default
    max_body: int = 1024 * 1024  # bytes of a request body; above it 413
    max_archive: int = 64 * 1024 * 1024  # likewise for put_archive
    minimum_cpus: float = 0.1
    maximum_cpus: float = 16.0
    minimum_memory: int = 4  # MiB
    maximum_memory: int = 8192
    minimum_disk: int = 1  # GiB
    maximum_disk: int = 160
    image_drivers: tuple[str, ...] = ("glance", "docker")
    default_availability_zone: str = "nova"  # shown where a service has none (contract 8)
    max_wait: int = 3600  # seconds a request may wait for a status
    max_execute: int = 86_400  # seconds a command may be waited for
    streams_url: str | None = (
        None  # where long-lived answers are served; None = the port, on our host
    )
    streams_port: int | None = None  # None = nowhere, unless streams_url says where
    wsproxy_url: str | None = None  # where sessions are; None = the port, on our host
    wsproxy_port: int | None = None  # None = nowhere, unless wsproxy_url says where
    wsproxy_secure: bool = False  # it has a certificate of its own
    console_url: str | None = None  # None = wsproxy's own, by http
