"""Placing: a host is chosen and its resources are claimed, in one transaction."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy.engine import Connection

from zun.drivers.errors import Rejected
from zun.model.host import Claim
from zun.model.operation import host_queue
from zun.model.quota import Amounts
from zun.store import hosts, quotas
from zun.work.context import Recording, StepContext
from zun.work.scheduler import PlaceRequest, choose


def place(conn: Connection, ctx: StepContext) -> Recording:
    """Takes the best host that fits. Raises Rejected."""
    container, params = ctx.container, ctx.operation.params
    request = PlaceRequest(
        cpu=container.cpu,
        memory=container.memory,
        disk=container.disk if params.get("disk_given") else 0,
        cpu_policy=container.cpu_policy,
        runtime=container.runtime,
        availability_zone=container.availability_zone,
        host=params.get("host"),
        wants_disk_quota=bool(params.get("disk_given")),
        hints=params.get("hints", {}),
    )
    hostname, disk = take(conn, ctx, request, ctx.env.settings.default_disk)
    return Recording(
        outputs={"host": hostname},
        container={"host": hostname, "disk": disk},
        queue=host_queue(hostname),
    )


def take(
    conn: Connection, ctx: StepContext, request: PlaceRequest, default_disk: int
) -> tuple[str, int]:
    """Claims the best host that fits; its name, and the GiB of disk that it limits the owner to.

    `default_disk`: for who names none, where the host can limit disk (contract 2.2). Raises Rejected with what each
    filter said.
    """
    owner = ctx.owner
    choice = choose(request, hosts.every(conn), ctx.env.clock(), ctx.env.settings.down_after)
    for host in choice.hosts:
        disk = request.disk
        if not request.wants_disk_quota and host.inventory.disk_quota_supported:
            disk = default_disk
        claim = Claim(
            container_uuid=owner.uuid,
            host=host.hostname,
            cpu=request.cpu,
            memory=request.memory,
            disk=disk,
        )
        if hosts.claim(conn, claim):
            # At acceptance nobody knew the host: what it can't limit is not counted, what it limits is.
            quotas.count(conn, owner.project_id, Amounts(disk=disk - owner.disk))
            return host.hostname, disk
    raise Rejected(f"There are not enough hosts available ({choice.explain()}).")


def give_back(conn: Connection, ctx: StepContext) -> Mapping[str, Any]:
    """Gives the claim back; the container has no host any more."""
    hosts.release(conn, ctx.owner.uuid)
    return {"host": None}
