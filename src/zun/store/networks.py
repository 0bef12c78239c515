"""SQL on the networks and ports of the Docker network driver. The unique keys are the allocator.

What writes raises Contended where another took the same at the same time: the transaction is to be begun anew.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from zun.model.lifecycle import Action
from zun.model.names import new_uuid, port_uuid
from zun.model.network import Network, Port
from zun.model.operation import host_queue
from zun.store import locks
from zun.store.errors import Contended
from zun.store.rows import columns_of, values_of
from zun.store.schema import capsules, containers, networks, operations, ports

_NETWORK = sa.select(*columns_of(networks, Network))
_PORT = sa.select(*columns_of(ports, Port))

#: The first addresses of a subnet are the network's own and its gateway's.
_FIRST_HOST = 2


#: The name of a project's own network, made on demand.
DEFAULT = "default"


class Exhausted(Exception):
    """No subnet in the pool, or no address in the subnet, is free."""


@contextmanager
def _raced() -> Iterator[None]:
    """Whoever finds that another was quicker - took the address, used the network - begins anew and sees what it did.

    Raises Contended.
    """
    try:
        yield
    except IntegrityError as exc:
        raise Contended("another took the address or the network first") from exc


def get(conn: Connection, uuid: str) -> Network | None:
    """The network of this uuid, or None."""
    row = conn.execute(_NETWORK.where(networks.c.uuid == uuid)).first()
    return None if row is None else Network(**row._mapping)


def find(conn: Connection, project_id: str, ident: str) -> Sequence[Network]:
    """The project's networks of this uuid or name."""
    query = _NETWORK.where(
        networks.c.project_id == project_id,
        sa.or_(networks.c.uuid == ident, networks.c.name == ident),
    )
    return [Network(**row._mapping) for row in conn.execute(query)]


def ensure(
    conn: Connection,
    project_id: str,
    name: str,
    pool: Sequence[str],
    now: datetime,
    *,
    avoid: Collection[str] = (),
) -> Network:
    """The project's network of this name, made with the first free subnet of `pool` if it isn't there.

    `avoid`: subnets that a host refused. Raises Exhausted.
    """
    known = find(conn, project_id, name)
    if known:
        return known[0]
    # Else all who make their networks at once would want the same subnet, and all but one begin anew.
    locks.hold(conn, "subnets")
    known = find(conn, project_id, name)
    if known:
        return known[0]
    subnet = _free_subnet(conn, pool, avoid)
    new = Network(uuid=new_uuid(), project_id=project_id, name=name, subnet=subnet)
    with _raced():
        conn.execute(networks.insert().values(**values_of(networks, new), created_at=now))
    return new


def create(
    conn: Connection, project_id: str, name: str, pool: Sequence[str], now: datetime
) -> Network | None:
    """A new network of this name, with the first free subnet of `pool`; None if there is one. Raises Exhausted."""
    if find(conn, project_id, name):
        return None
    return ensure(conn, project_id, name, pool, now)


def delete_if_unused(conn: Connection, uuid: str) -> bool:
    """Removes a network that was made on demand if it has no port; whether it is gone.

    One that somebody made is theirs to remove.
    """
    _delete(conn, uuid, networks.c.name == DEFAULT)
    return get(conn, uuid) is None


def delete(conn: Connection, uuid: str) -> bool:
    """Removes the network if it has no port; whether it is gone."""
    _delete(conn, uuid)
    return get(conn, uuid) is None


def _delete(conn: Connection, uuid: str, *where: sa.ColumnElement[bool]) -> None:
    used = sa.exists().where(ports.c.network_uuid == uuid)
    with _raced():
        conn.execute(networks.delete().where(networks.c.uuid == uuid, ~used, *where))


def renumber(
    conn: Connection, uuid: str, pool: Sequence[str], avoid: Collection[str]
) -> Network | None:
    """Gives a network that has no port the first free subnet of `pool` that is not to be avoided.

    None if it has one, or is gone. Raises Exhausted.
    """
    used = sa.exists().where(ports.c.network_uuid == uuid)
    free = _free_subnet(conn, pool, avoid)
    with _raced():
        done = conn.execute(
            networks.update().where(networks.c.uuid == uuid, ~used).values(subnet=free)
        )
    return get(conn, uuid) if done.rowcount == 1 else None


def _free_subnet(conn: Connection, pool: Sequence[str], avoid: Collection[str]) -> str:
    taken = {row[0] for row in conn.execute(sa.select(networks.c.subnet))} | set(avoid)
    subnet = next((s for s in pool if s not in taken), None)
    if subnet is None:
        raise Exhausted("no subnet is free")
    return subnet


def every(conn: Connection) -> Sequence[Network]:
    """All networks."""
    return [Network(**row._mapping) for row in conn.execute(_NETWORK)]


def ensure_port(
    conn: Connection, network: Network, container_uuid: str, wanted: str | None = None
) -> Port:
    """The container's port on the network, made with the lowest free address (or `wanted`) if it isn't there.

    Raises Exhausted: none is free, or `wanted` is taken.
    """
    mine = (ports.c.network_uuid == network.uuid) & (ports.c.container_uuid == container_uuid)
    row = conn.execute(_PORT.where(mine)).first()
    if row is not None:
        return Port(**row._mapping)
    conn.execute(
        sa.select(networks.c.uuid).where(networks.c.uuid == network.uuid).with_for_update()
    )
    taken = {
        r[0]
        for r in conn.execute(
            sa.select(ports.c.address).where(ports.c.network_uuid == network.uuid)
        )
    }
    subnet = ipaddress.ip_network(network.subnet)
    candidates = (
        [wanted]
        if wanted
        else (str(subnet[n]) for n in range(_FIRST_HOST, subnet.num_addresses - 1))
    )
    address = next((a for a in candidates if a not in taken), None)
    if address is None:
        raise Exhausted(
            f"no address is free in {network.subnet}"
            if not wanted
            else f"address {wanted} is in use"
        )
    port = Port(
        uuid=port_uuid(container_uuid, network.uuid),
        network_uuid=network.uuid,
        container_uuid=container_uuid,
        address=address,
    )
    with _raced():
        conn.execute(ports.insert().values(**values_of(ports, port)))
    return port


def ports_of(conn: Connection, container_uuid: str) -> Sequence[Port]:
    """The ports of a container, in a fixed order."""
    query = _PORT.where(ports.c.container_uuid == container_uuid).order_by(ports.c.uuid)
    return [Port(**row._mapping) for row in conn.execute(query)]


def others_on_host(conn: Connection, network_uuid: str, container_uuid: str, host: str) -> bool:
    """Whether another container or capsule placed on `host` has a port on the network."""
    query = (
        sa.select(ports.c.uuid)
        .outerjoin(containers, containers.c.uuid == ports.c.container_uuid)
        .outerjoin(capsules, capsules.c.uuid == ports.c.container_uuid)
        .where(
            ports.c.network_uuid == network_uuid,
            ports.c.container_uuid != container_uuid,
            sa.or_(containers.c.host == host, capsules.c.host == host),
        )
    )
    return conn.execute(query.limit(1)).first() is not None


def needed_on(conn: Connection, host: str) -> set[str]:
    """The uuids of the networks on which a container or a capsule placed on `host` has a port.

    Not of those that are on their way to be another host's.
    """
    found: set[str] = set()
    leaves = sa.exists().where(
        operations.c.open_key == ports.c.container_uuid,
        operations.c.action == Action.RECREATE,
        operations.c.queue != host_queue(host),
    )
    for owners in (containers, capsules):
        query = (
            sa.select(ports.c.network_uuid)
            .join(owners, owners.c.uuid == ports.c.container_uuid)
            .where(owners.c.host == host, ~leaves)
        )
        found |= set(conn.execute(query.distinct()).scalars())
    return found


def release_port(conn: Connection, uuid: str) -> None:
    """Frees one port; freeing it twice is no error."""
    conn.execute(ports.delete().where(ports.c.uuid == uuid))


def release_ports(conn: Connection, container_uuid: str) -> None:
    """Frees all ports of a container, and networks that have no other."""
    mine = ports_of(conn, container_uuid)
    conn.execute(ports.delete().where(ports.c.container_uuid == container_uuid))
    for port in mine:
        delete_if_unused(conn, port.network_uuid)


def address_taken(conn: Connection, network_uuid: str, address: str) -> bool:
    """Whether a port of the network has this address."""
    query = sa.select(ports.c.uuid).where(
        ports.c.network_uuid == network_uuid, ports.c.address == address
    )
    return conn.execute(query).first() is not None
