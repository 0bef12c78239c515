"""The host object (contract 8)."""

from __future__ import annotations

from dataclasses import asdict
from datetime import datetime
from typing import Any

from zun.api.versions import HOST_CARE, Version
from zun.api.views.links import Urls
from zun.model.host import Host


def host(row: Host, urls: Urls, version: Version, *, up: bool) -> dict[str, Any]:
    """A host and what is claimed of it; `*_used` are claims, not what is used now."""
    shown = _upstreams(row, urls)
    if version >= HOST_CARE:
        shown |= {
            "state": "up" if up else "down",
            "mode": row.mode or "enabled",
            "mode_reason": row.mode_reason,
            "last_seen_up": _time(row.last_seen_up),
            "down_since": _time(row.lost_at),
            "fenced_since": _time(row.fenced_at),
            "availability_zone": row.availability_zone,
            "image_drivers": list(row.inventory.image_drivers),
            "numa_cells": [asdict(cell) for cell in row.inventory.numa],
            "dedicated_cpus": list(row.pinnable or ()),
            "dedicated_cpus_used": list(row.pinned or ()),
        }
    return shown


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="microseconds")


def _upstreams(row: Host, urls: Urls) -> dict[str, Any]:
    inventory = row.inventory
    return {
        "uuid": row.uuid,
        "links": urls.links("hosts", row.uuid),
        "hostname": row.hostname,
        "mem_total": inventory.mem_total,
        "mem_used": row.mem_used,
        "cpus": inventory.cpus,
        "cpu_used": row.cpu_used,
        "disk_total": inventory.disk_total,
        "disk_used": row.disk_used,
        "total_containers": row.total_containers,
        "architecture": inventory.architecture,
        "os_type": inventory.os_type,
        "os": inventory.os,
        "kernel_version": inventory.kernel_version,
        "labels": inventory.labels,
        "disk_quota_supported": inventory.disk_quota_supported,
        "runtimes": list(inventory.runtimes),
        "enable_cpu_pinning": row.enable_cpu_pinning,
    }
