"""A container's networks after its birth: one comes, one goes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy.engine import Connection

from zun.drivers.errors import Unsupported
from zun.drivers.network import PortSpec
from zun.drivers.runtime import CanConnect
from zun.model.names import network_name
from zun.store import networks
from zun.work.context import Recording, StepContext
from zun.work.steps import ports


def connect(ctx: StepContext) -> Recording:
    """Gives the container a port on the network of the request (none = the project's default), and connects it."""
    runtime, means, params = _connecting(ctx), ctx.env.on_host(), ctx.operation.params
    with means.locks.of(ctx.container.project_id):
        port = ports.stand(ctx, params.get("network"), params.get("address"))
        spec = ports.spec_of(port)
        for attachment in means.network.plan([spec]):
            runtime.connect(ctx.container.uuid, attachment, ctx.deadline)
    with ctx.env.db.read() as conn:
        return Recording(
            outputs={"network": port.network_uuid}, container=ports.shown(conn, ctx.container.uuid)
        )


def leave(ctx: StepContext) -> None:
    """Takes the port of the request away again, from the engine first."""
    runtime, uuid = _connecting(ctx), ctx.container.uuid
    for spec in _mine(ctx):
        runtime.disconnect(uuid, network_name(spec.network_uuid), ctx.deadline)
        ports.release_one(ctx, spec.network_uuid, spec.uuid)


def addresses(conn: Connection, ctx: StepContext) -> Mapping[str, Any]:
    """The addresses that are left."""
    return ports.shown(conn, ctx.container.uuid)


def disconnect(ctx: StepContext) -> Recording:
    """Disconnects the container from the network of the request; the port is kept until that is done."""
    runtime = _connecting(ctx)
    network = network_name(ctx.operation.params["network"])
    runtime.disconnect(ctx.container.uuid, network, ctx.deadline)
    return Recording()


def connect_again(ctx: StepContext) -> None:
    """Takes a disconnect back."""
    runtime, means = _connecting(ctx), ctx.env.on_host()
    for attachment in means.network.plan(_mine(ctx)):
        runtime.connect(ctx.container.uuid, attachment, ctx.deadline)


def left(ctx: StepContext) -> Recording:
    """Frees the port; the network goes from this host with its last container."""
    for spec in _mine(ctx):
        ports.release_one(ctx, spec.network_uuid, spec.uuid)
    with ctx.env.db.read() as conn:
        return Recording(container=ports.shown(conn, ctx.container.uuid))


def _mine(ctx: StepContext) -> list[PortSpec]:
    """The container's port on the network of the request, if it has one there."""
    wanted = ctx.operation.params.get("network")
    if wanted is None:
        with ctx.env.db.read() as conn:
            found = networks.find(conn, ctx.container.project_id, networks.DEFAULT)
        wanted = found[0].uuid if found else None
    specs = ports.port_specs(ctx.env, ctx.container.uuid)
    return [spec for spec in specs if spec.network_uuid == wanted]


def _connecting(ctx: StepContext) -> CanConnect:
    runtime = ctx.env.on_host().runtime
    if not isinstance(runtime, CanConnect):
        raise Unsupported("The runtime of this host can't change a container's networks.")
    return runtime
