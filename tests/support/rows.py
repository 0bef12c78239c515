"""Values to put into the store, with a sensible default for all that a test does not care about."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

from tests.support.house import PROJECT

from zun.model.container import Container
from zun.model.host import Host, Inventory
from zun.model.image import HostImage
from zun.model.lifecycle import Action, Status
from zun.model.names import new_uuid
from zun.model.operation import CONDUCTOR_QUEUE, Operation, OperationState
from zun.model.registry import Registry

NOW = datetime(2026, 1, 2, 3, 4, 5, 678901)
LATER = NOW + timedelta(minutes=10)


def container(**changes: Any) -> Container:
    """A running busybox."""
    values: dict[str, Any] = {
        "uuid": new_uuid(), "name": "c", "project_id": PROJECT, "user_id": "u", "image": "busybox",
        "image_driver": "docker", "status": Status.RUNNING, "cpu": 1.0, "memory": 64, "created_at": NOW,
    }  # fmt: skip
    return Container(**{**values, **changes})


def operation(**changes: Any) -> Operation:
    """A create that waits for a conductor."""
    values: dict[str, Any] = {
        "uuid": new_uuid(), "action": Action.CREATE, "container_uuid": new_uuid(), "project_id": PROJECT,
        "user_id": "u", "request_id": "req-1", "queue": CONDUCTOR_QUEUE, "state": OperationState.PENDING,
        "steps": ["place"], "prior_status": Status.CREATING, "deadline": LATER, "created_at": NOW,
    }  # fmt: skip
    return Operation(**{**values, **changes})


def host(hostname: str = "host-1", **changes: Any) -> Host:
    """A host with room for ten small containers, that has just been heard of."""
    inventory = Inventory(
        cpus=10, mem_total=1000, disk_total=100, architecture="x86_64", os_type="linux", os="Debian",
        kernel_version="6", runtimes=("runc",),
    )  # fmt: skip
    values: dict[str, Any] = {
        "uuid": new_uuid(), "hostname": hostname, "inventory": inventory, "availability_zone": "nova",
        "cpus": 10.0, "memory": 1000, "disk": 100, "last_seen_up": NOW,
    }  # fmt: skip
    return Host(**{**values, **changes})


def registry(**changes: Any) -> Registry:
    """One that asks for no password."""
    values: dict[str, Any] = {
        "uuid": new_uuid(), "name": "r", "domain": "r.example.com", "username": "u", "password": None,
        "project_id": PROJECT, "user_id": "u", "created_at": NOW,
    }  # fmt: skip
    return Registry(**{**values, **changes})


def host_image(**changes: Any) -> HostImage:
    """A busybox on a host."""
    values: dict[str, Any] = {
        "uuid": new_uuid(), "project_id": PROJECT, "user_id": "u", "host": "host-1", "repo": "busybox",
        "tag": "latest", "image_id": "sha256:0", "size": 1_000_000, "created_at": NOW,
    }  # fmt: skip
    return HostImage(**{**values, **changes})
