"""A container's port on its project's network: record first, then the network on this host."""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy.engine import Connection

from zun.drivers.errors import Conflict, DriverError, Lacking, Rejected
from zun.drivers.network import NetworkSpec, PortSpec
from zun.model.names import subnet_uuid
from zun.model.network import Network, Port
from zun.model.operation import CONDUCTOR_QUEUE
from zun.store import networks
from zun.work.context import Env, Recording, StepContext

#: How many subnets a host may refuse before the operation fails.
_SUBNET_TRIES = 16


def connect(ctx: StepContext) -> Recording:
    """Gives the container a port, and makes sure its network stands on this host.

    The lock keeps a release of the same network from removing it between the two.
    """
    means = ctx.env.on_host()
    nets = ctx.operation.params.get("nets") or [{"network": None, "address": None}]
    with means.locks.of(ctx.owner.project_id):
        for net in nets:
            stand(ctx, net["network"], net["address"])
    with ctx.env.db.read() as conn:
        return Recording(container=shown(conn, ctx.owner.uuid))


def stand(ctx: StepContext, network_uuid: str | None, address: str | None) -> Port:
    """The port, on a network that stands on this host; no `network_uuid` = the project's default network."""
    refused: set[str] = set()
    while True:
        network, port = _recorded(ctx, network_uuid, address, refused)
        try:
            ctx.env.on_host().network.ensure_network(_spec(network), ctx.deadline)
            return port
        except Conflict:
            # The subnet is taken by something else on this host. Another may be had as long as nobody else has
            # an address in this one.
            refused.add(network.subnet)
            if not _renumbered(ctx, network, port, refused) or address is not None:
                raise


def _renumbered(ctx: StepContext, network: Network, port: Port, refused: Collection[str]) -> bool:
    def write(conn: Connection) -> bool:
        networks.release_port(conn, port.uuid)
        try:
            if len(refused) < _SUBNET_TRIES:
                pool = ctx.env.settings.subnet_pool
                return networks.renumber(conn, network.uuid, pool, refused) is not None
        except networks.Exhausted:
            pass
        networks.delete_if_unused(conn, network.uuid)
        return False

    return ctx.env.db.run(write)


def _recorded(
    ctx: StepContext, network_uuid: str | None, address: str | None, refused: Collection[str]
) -> tuple[Network, Port]:
    env, container = ctx.env, ctx.owner

    def write(conn: Connection) -> tuple[Network, Port]:
        network = networks.get(conn, network_uuid) if network_uuid else networks.ensure(
            conn, container.project_id, networks.DEFAULT, env.settings.subnet_pool, env.clock(),
            avoid=refused,
        )  # fmt: skip
        if network is None:
            raise Rejected(f"Network {network_uuid} is gone.")
        return network, networks.ensure_port(conn, network, container.uuid, address)

    try:
        return env.db.run(write, twice=True)
    except networks.Exhausted as exc:
        raise Rejected(f"The container can't be connected to a network: {exc}.") from exc


def _spec(network: Network) -> NetworkSpec:
    return NetworkSpec(
        uuid=network.uuid, project_id=network.project_id, name=network.name, subnet=network.subnet
    )


def shown(conn: Connection, container_uuid: str) -> Mapping[str, Any]:
    """The container's columns that show its ports."""
    mine = networks.ports_of(conn, container_uuid)
    return {"addresses": {port.network_uuid: [_shown(port)] for port in mine}}


def _shown(port: Port) -> dict[str, Any]:
    # Contract 3.5.
    return {
        "addr": port.address,
        "version": ipaddress.ip_address(port.address).version,
        "port": port.uuid,
        "subnet_id": subnet_uuid(port.network_uuid),
        "preserve_on_delete": False,
    }


def port_specs(env: Env, container_uuid: str) -> Sequence[PortSpec]:
    """The container's ports, as drivers want them."""
    with env.db.read() as conn:
        return [spec_of(port) for port in networks.ports_of(conn, container_uuid)]


def spec_of(port: Port) -> PortSpec:
    """A port, as drivers want it."""
    return PortSpec(
        uuid=port.uuid, network_uuid=port.network_uuid, container_uuid=port.container_uuid,
        address=port.address,
    )  # fmt: skip


def stand_again(ctx: StepContext) -> None:
    """Makes sure all networks of the container stand on this host, for an engine that has lost them."""
    means = ctx.env.on_host()
    with ctx.env.db.read() as conn:
        mine = [networks.get(conn, p.network_uuid) for p in networks.ports_of(conn, ctx.owner.uuid)]
    for network in mine:
        if network is not None:
            with means.locks.of(ctx.owner.project_id):
                means.network.forget(network.uuid)
                means.network.ensure_network(_spec(network), ctx.deadline)


def stand_here(ctx: StepContext) -> Recording:
    """Makes the networks of a container that comes from another host stand on this one; its ports stay its own.

    Its address stays too, unless this host refuses the subnet and nobody else has an address in it.
    """
    with ctx.env.db.read() as conn:
        mine = networks.ports_of(conn, ctx.container.uuid)
    with ctx.env.on_host().locks.of(ctx.container.project_id):
        for port in mine:
            try:
                stand(ctx, port.network_uuid, None)
            except Conflict as exc:
                raise Lacking(exc.public) from exc
    with ctx.env.db.read() as conn:
        return Recording(container=shown(conn, ctx.container.uuid))


def leave_again(ctx: StepContext) -> None:
    """Takes back what the container needed of this host: networks that nobody else here needs. Its ports stay."""
    env, means = ctx.env, ctx.env.on_host()
    with env.db.read() as conn:
        mine = networks.ports_of(conn, ctx.container.uuid)
    for port in mine:
        with means.locks.of(ctx.container.project_id):
            with env.db.read() as conn:
                shared = networks.others_on_host(
                    conn, port.network_uuid, ctx.container.uuid, means.host
                )
            if not shared:
                _remove(ctx, port.network_uuid)


def leave(ctx: StepContext) -> Recording:
    """The same, as a step of a move: what follows is a conductor's, and another host's."""
    leave_again(ctx)
    return Recording(queue=CONDUCTOR_QUEUE)


def disconnect(ctx: StepContext) -> None:
    """Frees the container's ports; a network that no container on this host needs any more goes from it."""
    with ctx.env.db.read() as conn:
        mine = networks.ports_of(conn, ctx.owner.uuid)
    for port in mine:
        release_one(ctx, port.network_uuid, port.uuid)


def release_one(ctx: StepContext, network_uuid: str, port_uuid: str) -> None:
    """Frees one port.

    The network goes first: were the port's record gone before, a crash would leave a network nobody knows of.
    """
    env, means = ctx.env, ctx.env.on_host()
    with means.locks.of(ctx.owner.project_id):
        with env.db.read() as conn:
            shared = networks.others_on_host(conn, network_uuid, ctx.owner.uuid, means.host)
        if not shared:
            _remove(ctx, network_uuid)

        def write(conn: Connection) -> None:
            networks.release_port(conn, port_uuid)
            networks.delete_if_unused(conn, network_uuid)

        env.db.run(write, twice=True)


def _remove(ctx: StepContext, network_uuid: str) -> None:
    try:
        ctx.env.on_host().network.remove_network(network_uuid, ctx.deadline)
    except DriverError as exc:
        # Something that is not ours hangs on it. It is no reason to keep the container; the reaper comes back to it.
        if exc.retryable:
            raise


def release(ctx: StepContext) -> Recording:
    """The same, as a step of a delete."""
    disconnect(ctx)
    return Recording(container={"addresses": None})
