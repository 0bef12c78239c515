"""Placing: a host is chosen and its resources are claimed, in one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from typing import Any

from sqlalchemy.engine import Connection

from zun.drivers.errors import DriverError, Rejected, Unavailable
from zun.model.container import Container
from zun.model.host import Claim, Host
from zun.model.lifecycle import Action
from zun.model.operation import host_queue
from zun.model.placement import ties_of
from zun.model.quota import Amounts
from zun.store import claims, hosts, left_behind, quotas, ties
from zun.work import kinds
from zun.work.context import ELSEWHERE, Recording, StepContext
from zun.work.placement import NoneFits
from zun.work.scheduler import PlaceRequest
from zun.work.scheduler.filters import TRIED


def request_of(
    container: Container, asked: Mapping[str, Any], excluded: Sequence[str] = ()
) -> PlaceRequest:
    """What a container needs of a host, whom it is tied to apart; `asked`: what its create request said of that."""
    disk_given = bool(asked.get("disk_given"))
    return PlaceRequest(
        cpu=container.cpu,
        memory=container.memory,
        disk=container.disk if disk_given else 0,
        cpu_policy=container.cpu_policy,
        runtime=container.runtime,
        image_driver=container.image_driver,
        image=container.image,
        availability_zone=container.availability_zone,
        host=asked.get("host"),
        wants_disk_quota=disk_given,
        hints=asked.get("hints") or {},
        excluded=excluded,
    )


def place(conn: Connection, ctx: StepContext) -> Recording:
    """Takes the best host that fits, for whatever it has on another. Raises Rejected with what each filter said."""
    container = ctx.container
    request = request_of(container, container.placement or ctx.operation.params, ctx.refused_by())
    wished = ties_of(request.hints)
    near = ties.neighbours(conn, container.uuid, container.project_id, wished)
    held = claims.held_by(conn, container.uuid)
    request = replace(request, neighbours=near)
    hostname, disk = take(conn, ctx, request, ctx.env.settings.default_disk, held is None)
    left = None if held is None or container.host is None else asdict(held)
    if ctx.operation.action is Action.RECREATE and container.host is not None:
        left_behind.add(conn, container.host, [container.uuid])
    return Recording(
        outputs={"host": hostname, "left": left},
        # Whatever it is on the host it leaves, here it has no id yet.
        container={"host": hostname, "disk": disk, "container_id": None},
        queue=host_queue(hostname),
    )


def take(
    conn: Connection,
    ctx: StepContext,
    request: PlaceRequest,
    default_disk: int,
    first: bool = False,
) -> tuple[str, int]:
    """Claims the best host that fits; its name, and the GiB of disk that it limits the owner to.

    `default_disk`: for who names none, where the host can limit disk (contract 2.2). `first`: it was seen to have no
    claim. Raises Rejected with what each filter said.
    """
    owner = ctx.owner

    def wanted(host: Host) -> Claim:
        disk = request.disk
        if not request.wants_disk_quota and host.inventory.disk_quota_supported:
            disk = default_disk
        return Claim(
            container_uuid=owner.uuid, host=host.hostname, cpu=request.cpu, memory=request.memory,
            disk=disk,
        )  # fmt: skip

    try:
        host, claim = ctx.env.placing().take(conn, request, wanted, ctx.env.clock(), first=first)
    except NoneFits as exc:
        raise _why(ctx, exc) from exc
    # At acceptance nobody knew the host: what it can't limit is not counted, what it limits is.
    quotas.count(conn, owner.project_id, Amounts(disk=claim.disk - owner.disk))
    return host.hostname, claim.disk


def _why(ctx: StepContext, none: NoneFits) -> DriverError:
    """None fits. Who has no place yet is refused; who is to leave one waits, for room may be made."""
    text, before = none.public, ctx.output(ELSEWHERE).get("why")
    if before is not None:
        alone = set(none.choice.rejected) == {TRIED}
        text = before if alone else f"{text} The last host that was tried: {before}"
    return Unavailable(text) if "leave" in ctx.operation.params else Rejected(text)


def give_back(conn: Connection, ctx: StepContext) -> Mapping[str, Any]:
    """Gives the claim back: the owner has no host any more, or again the one it was to leave, if there is that yet."""
    owner = ctx.owner
    placed = next((ctx.output(s) for s in kinds.PLACES if s in ctx.operation.outputs), None)
    if placed is None:  # it was never done: it is done and recorded at once
        if owner.host is None or hosts.find(conn, owner.host) is not None:
            return {}
        placed = {}  # and the host it was to leave has been removed
    left = placed.get("left")
    if left is None or hosts.find(conn, left["host"]) is None:
        claims.release(conn, owner.uuid)
        return {"host": None}
    claims.restore(conn, Claim(**left))
    quotas.count(conn, owner.project_id, Amounts(disk=left["disk"] - owner.disk))
    return {"host": left["host"], "disk": left["disk"]}
