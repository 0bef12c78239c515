"""What hosts answer (contract 8)."""

from __future__ import annotations

from zun.api.schemas.responses.base import (
    BOOLEAN,
    INTEGER,
    NUMBER,
    STRING,
    STRINGS,
    TEXTS,
    TIME,
    UUID,
    Operation,
    Resource,
    Schema,
    Success,
    listing,
    nullable,
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
#: Shown from microversion 1.48 on.
_OWN: dict[str, Schema] = {
    "state": {"enum": ["up", "down"]},
    "mode": {"enum": ["enabled", "draining", "maintenance"]},
    "mode_reason": nullable(STRING),
    "last_seen_up": nullable(TIME),
    "down_since": nullable(TIME),
    "fenced_since": nullable(TIME),
    "availability_zone": STRING,
    "image_drivers": STRINGS,
    "numa_cells": listing(ref("NumaCell")),
    "dedicated_cpus": listing(INTEGER),
    "dedicated_cpus_used": listing(INTEGER),
}
_CELL = {"id": INTEGER, "cpus": listing(INTEGER), "memory": INTEGER}
_SHOWN = Success(what="The host as it is now.", schema=ref("Host"))

RESOURCE = Resource(
    name="hosts",
    what="The hosts containers run on; for administrators.",
    schemas={
        "Host": shape({**_HOST, **_OWN}, optional=tuple(_OWN)),
        "NumaCell": shape(_CELL),
    },
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
        "state": "Whether it is heard of, and let in.",
        "mode": "What an operator has decided: `draining` and `maintenance` keep new containers off.",
        "mode_reason": "Why.",
        "reason": "Why, for other operators to read.",
        "last_seen_up": "When it was last heard of, UTC.",
        "down_since": "Since when it is taken for down; its containers are Unknown.",
        "fenced_since": "Since when it may do nothing before it has removed what is other hosts' by now.",
        "availability_zone": "Its zone.",
        "image_drivers": "Image drivers it has.",
        "numa_cells": "Its CPUs by the memory they are near to.",
        "id": "The kernel's number of the cell.",
        "NumaCell.cpus": "The numbers of its CPUs.",
        "memory": "Memory of the cell, MiB.",
        "dedicated_cpus": "CPUs that containers may have for their own.",
        "dedicated_cpus_used": "Those that containers have.",
        "force": "Also if containers are on it: they are given up.",
    },
    operations={
        "GET /v1/hosts": Operation(
            summary="List hosts",
            answers={200: Success(what="A page.", schema=page("hosts", ref("Host")))},
        ),
        "GET /v1/hosts/{host}": Operation(
            summary="Show a host", answers={200: Success(what="The host.", schema=ref("Host"))}
        ),
        "DELETE /v1/hosts/{host}": Operation(
            summary="Remove a host",
            description="One that is down and has no containers. With `force`, its containers are given up: Error.",
            answers={204: Success(what="It is gone from the records.")},
            errors=(409,),
        ),
        "POST /v1/hosts/{host}/drain": Operation(
            summary="Drain a host",
            description="It gets no new containers, and those that may be moved are made anew on other hosts.",
            answers={200: _SHOWN},
        ),
        "POST /v1/hosts/{host}/maintenance": Operation(
            summary="Put a host into maintenance",
            description="It gets no new containers; nothing is moved, also when it falls silent.",
            answers={200: _SHOWN},
        ),
        "POST /v1/hosts/{host}/enable": Operation(
            summary="Let a host work as any other", answers={200: _SHOWN}
        ),
    },
)
