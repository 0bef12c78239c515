"""What hosts answer (contract 8)."""

from __future__ import annotations

from zun.api.schemas.responses.base import (
    BOOLEAN,
    INTEGER,
    NUMBER,
    STRING,
    STRINGS,
    TEXTS,
    UUID,
    Operation,
    Resource,
    Success,
    listing,
    page,
    ref,
    shape,
)

_HOST = {
    "uuid": UUID,
    "links": listing(ref("Link")),
    "hostname": STRING,
    "mem_total": INTEGER,
    "mem_used": INTEGER,
    "cpus": NUMBER,
    "cpu_used": NUMBER,
    "disk_total": INTEGER,
    "disk_used": INTEGER,
    "total_containers": INTEGER,
    "architecture": STRING,
    "os_type": STRING,
    "os": STRING,
    "kernel_version": STRING,
    "labels": TEXTS,
    "disk_quota_supported": BOOLEAN,
    "runtimes": STRINGS,
    "enable_cpu_pinning": BOOLEAN,
}

RESOURCE = Resource(
    name="hosts",
    what="The hosts containers run on; for administrators.",
    schemas={"Host": shape(_HOST)},
    fields={
        "sort_key": "The field to sort by: hostname.",
        "host": "A uuid or a hostname.",
        "hosts": "The hosts of the page.",
        "hostname": "The name of the host.",
        "mem_total": "Memory, MiB.",
        "mem_used": "Memory claimed by containers, MiB.",
        "cpus": "CPUs.",
        "cpu_used": "CPUs claimed by containers.",
        "disk_total": "Disk, GiB.",
        "disk_used": "Disk claimed by containers, GiB.",
        "total_containers": "Containers on it.",
        "architecture": "Of its CPUs.",
        "os_type": "The kind of operating system.",
        "os": "The operating system.",
        "kernel_version": "The version of its kernel.",
        "labels": "Labels of its engine.",
        "disk_quota_supported": "Whether the disk of a container can be limited.",
        "runtimes": "OCI runtimes it has.",
        "enable_cpu_pinning": "Whether containers may have CPUs of their own.",
    },
    operations={
        "GET /v1/hosts": Operation(
            summary="List hosts",
            answers={200: Success(what="A page.", schema=page("hosts", ref("Host")))},
        ),
        "GET /v1/hosts/{host}": Operation(
            summary="Show a host", answers={200: Success(what="The host.", schema=ref("Host"))}
        ),
    },
)
