"""The host object (contract 8)."""

from __future__ import annotations

from typing import Any

from zun.api.views.links import Urls
from zun.model.host import Host


def host(row: Host, urls: Urls) -> dict[str, Any]:
    """A host and what is claimed of it; `*_used` are claims, not what is used now."""
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
