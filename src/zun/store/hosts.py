"""SQL on hosts, their services and what is claimed of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from zun.model.host import SORT_KEYS, Claim, Host, Inventory, Service
from zun.model.session import StreamPlace
from zun.store import keyset
from zun.store.rows import columns_of, values_of
from zun.store.schema import claims, hosts, services

#: The only kind of service that has rows (contract 8, Services).
BINARY = "zun-compute"

_SERVICE_COLUMNS = columns_of(services, Service)
_HOST_COLUMNS = [c for c in columns_of(hosts, Host) if c.name != "availability_zone"]
# A host outlives its service's row, which an operator may delete: it has never been seen then, and gets nothing.
_SELECT = sa.select(
    *_HOST_COLUMNS,
    sa.func.coalesce(services.c.availability_zone, "").label("availability_zone"),
    sa.func.coalesce(services.c.disabled, sa.false()).label("disabled"),
    sa.func.coalesce(services.c.forced_down, sa.false()).label("forced_down"),
    services.c.last_seen_up,
).select_from(
    hosts.outerjoin(services, (services.c.host == hosts.c.hostname) & (services.c.binary == BINARY))
)


def _host(row: Any) -> Host:
    values = dict(row._mapping)
    values["inventory"] = Inventory(**values["inventory"])
    values["disabled"], values["forced_down"] = bool(row.disabled), bool(row.forced_down)
    return Host(**values)


def register(conn: Connection, host: Host, now: datetime) -> int:
    """Records a host whose agent has just started, and its service; the agent's new epoch."""
    inventory = asdict(host.inventory)
    room = {
        "inventory": inventory,
        "cpus": host.cpus,
        "memory": host.memory,
        "disk": host.disk,
        "enable_cpu_pinning": host.enable_cpu_pinning,
        "limits_disk": host.inventory.disk_quota_supported,
    }
    known = conn.execute(
        hosts.update()
        .where(hosts.c.hostname == host.hostname)
        .values(**room, epoch=hosts.c.epoch + 1, updated_at=now)
    )
    if known.rowcount == 0:
        conn.execute(
            hosts.insert().values(
                uuid=host.uuid,
                hostname=host.hostname,
                cpu_used=0.0,
                mem_used=0,
                disk_used=0,
                total_containers=0,
                epoch=1,
                created_at=now,
                **room,
            )
        )
    if not beat(conn, host.hostname, now, availability_zone=host.availability_zone):
        add_service(conn, host.hostname, host.availability_zone, now)
    epoch: int = conn.execute(
        sa.select(hosts.c.epoch).where(hosts.c.hostname == host.hostname)
    ).scalar_one()
    return epoch


def add_service(conn: Connection, host: str, availability_zone: str, now: datetime) -> None:
    """Records the service of a host that has none: seen now, for the first time."""
    conn.execute(
        services.insert().values(
            host=host,
            binary=BINARY,
            disabled=False,
            forced_down=False,
            last_seen_up=now,
            report_count=1,
            availability_zone=availability_zone,
            created_at=now,
        )
    )


def beat(conn: Connection, host: str, now: datetime, **changes: Any) -> bool:
    """Records that the agent of `host` is alive; whether its service has a row."""
    done = conn.execute(
        services.update()
        .where(services.c.host == host, services.c.binary == BINARY)
        .values(
            last_seen_up=now, report_count=services.c.report_count + 1, updated_at=now, **changes
        )
    )
    return done.rowcount == 1


def refresh(conn: Connection, host: Host, now: datetime) -> None:
    """Records a changed inventory of a host that is registered."""
    conn.execute(
        hosts.update()
        .where(hosts.c.hostname == host.hostname)
        .values(
            inventory=asdict(host.inventory),
            cpus=host.cpus,
            memory=host.memory,
            disk=host.disk,
            limits_disk=host.inventory.disk_quota_supported,
            updated_at=now,
        )
    )


def set_stream_address(conn: Connection, hostname: str, address: str | None) -> None:
    """Records where the agent of a host serves byte streams, "host:port"; None = nowhere."""
    conn.execute(hosts.update().where(hosts.c.hostname == hostname).values(stream_address=address))


def stream_place(conn: Connection, hostname: str) -> StreamPlace | None:
    """Where the agent of a host serves byte streams; None where it serves none, or there is no such host."""
    row = conn.execute(
        sa.select(hosts.c.uuid, hosts.c.stream_address).where(hosts.c.hostname == hostname)
    ).first()
    if row is None or row.stream_address is None:
        return None
    return StreamPlace(host_uuid=row.uuid, address=row.stream_address)


def every(conn: Connection) -> list[Host]:
    """All hosts, by name."""
    return [_host(row) for row in conn.execute(_SELECT.order_by(hosts.c.hostname))]


def page(
    conn: Connection,
    limit: int,
    after: Host | None,
    *,
    sort_key: str = "hostname",
    descending: bool,
) -> list[Host]:
    """One page of hosts by keyset: those that follow `after` in the order of (`sort_key`, id)."""
    assert sort_key in SORT_KEYS
    found = keyset.page(
        conn,
        _SELECT,
        hosts.c[sort_key],
        hosts.c.id,
        after=None if after is None else (getattr(after, sort_key), after.id),
        descending=descending,
        limit=limit,
    )
    return [_host(row) for row in found]


def any_limits_disk(conn: Connection) -> bool:
    """Whether there is a host that can limit a container's disk."""
    return bool(conn.execute(sa.select(sa.exists().where(hosts.c.limits_disk))).scalar())


def find(conn: Connection, ident: str) -> Host | None:
    """The host of this uuid or name, or None."""
    row = conn.execute(
        _SELECT.where(sa.or_(hosts.c.uuid == ident, hosts.c.hostname == ident))
    ).first()
    return None if row is None else _host(row)


def all_services(conn: Connection) -> Sequence[Service]:
    """All services, in the order they first reported."""
    query = sa.select(*_SERVICE_COLUMNS).order_by(services.c.id)
    return [Service(**row._mapping) for row in conn.execute(query)]


def change_service(
    conn: Connection, host: str, binary: str, now: datetime, **changes: Any
) -> Service | None:
    """Sets columns of a service; the new value, or None if there is none. Never its heartbeat (defect 13.2-39)."""
    mine = (services.c.host == host) & (services.c.binary == binary)
    conn.execute(services.update().where(mine).values(updated_at=now, **changes))
    row = conn.execute(sa.select(*_SERVICE_COLUMNS).where(mine)).first()
    return None if row is None else Service(**row._mapping)


def delete_service(conn: Connection, host: str, binary: str) -> bool:
    """Removes a service; whether it was there."""
    mine = (services.c.host == host) & (services.c.binary == binary)
    return conn.execute(services.delete().where(mine)).rowcount == 1


def zones(conn: Connection) -> set[str]:
    """The zones of all services, down and disabled ones too; "" = none was given."""
    return set(conn.execute(sa.select(services.c.availability_zone).distinct()).scalars())


def claim(conn: Connection, wanted: Claim) -> bool:
    """Takes resources of a host if they are free, by one conditional update; whether it did.

    A container has one claim: repeating the same one succeeds and takes nothing more.
    """
    held = held_by(conn, wanted.container_uuid)
    if held == wanted:
        return True
    if held is not None:
        release(conn, wanted.container_uuid)
    done = conn.execute(
        hosts.update()
        .where(
            hosts.c.hostname == wanted.host,
            hosts.c.cpu_used + wanted.cpu <= hosts.c.cpus + 1e-9,
            hosts.c.mem_used + wanted.memory <= hosts.c.memory,
            hosts.c.disk_used + wanted.disk <= hosts.c.disk,
        )
        .values(
            cpu_used=hosts.c.cpu_used + wanted.cpu,
            mem_used=hosts.c.mem_used + wanted.memory,
            disk_used=hosts.c.disk_used + wanted.disk,
            total_containers=hosts.c.total_containers + 1,
        )
    )
    if done.rowcount != 1:
        return False
    conn.execute(claims.insert().values(**values_of(claims, wanted)))
    return True


def reclaim(conn: Connection, wanted: Claim, *, most: bool = False) -> Sequence[str]:
    """Changes the claim of a container that has one, by one conditional update; what the host lacks for it, in words.

    `most`: of each resource the greater of what is held and what is wanted. Less than is held is never refused.
    """
    held = held_by(conn, wanted.container_uuid)
    if held is None:
        return ["a claim"]
    if most:
        wanted = replace(
            wanted,
            cpu=max(held.cpu, wanted.cpu),
            memory=max(held.memory, wanted.memory),
            disk=max(held.disk, wanted.disk),
        )
    more = {
        "CPU": (hosts.c.cpu_used, wanted.cpu - held.cpu, hosts.c.cpus + 1e-9),
        "memory": (hosts.c.mem_used, wanted.memory - held.memory, hosts.c.memory),
        "disk": (hosts.c.disk_used, wanted.disk - held.disk, hosts.c.disk),
    }
    fits = {name: used + add <= room for name, (used, add, room) in more.items() if add > 0}
    here = hosts.c.hostname == held.host
    done = conn.execute(
        hosts.update()
        .where(here, *fits.values())
        .values({used: used + add for used, add, _ in more.values()})
    )
    if done.rowcount != 1:
        return [
            name
            for name, fit in fits.items()
            if conn.execute(sa.select(hosts.c.id).where(here, fit)).first() is None
        ]
    conn.execute(
        claims.update()
        .where(claims.c.container_uuid == wanted.container_uuid)
        .values(cpu=wanted.cpu, memory=wanted.memory, disk=wanted.disk)
    )
    _recount(conn, held.host)
    return []


def held_by(conn: Connection, container_uuid: str) -> Claim | None:
    """The claim of a container, or None."""
    query = sa.select(*columns_of(claims, Claim)).where(claims.c.container_uuid == container_uuid)
    row = conn.execute(query).first()
    return None if row is None else Claim(**row._mapping)


def release(conn: Connection, container_uuid: str) -> None:
    """Gives back what a container claimed; nothing to give back is no error."""
    held = held_by(conn, container_uuid)
    if held is None:
        return
    conn.execute(claims.delete().where(claims.c.container_uuid == container_uuid))
    _recount(conn, held.host)


def _recount(conn: Connection, host: str) -> None:
    # Summed anew rather than subtracted: floats would drift, and a sum can't be wrong.
    mine = claims.c.host == host
    sums = sa.select(
        sa.func.coalesce(sa.func.sum(claims.c.cpu), 0.0),
        sa.func.coalesce(sa.func.sum(claims.c.memory), 0),
        sa.func.coalesce(sa.func.sum(claims.c.disk), 0),
        sa.func.count(),
    ).where(mine)
    cpu, memory, disk, number = conn.execute(sums).one()
    conn.execute(
        hosts.update()
        .where(hosts.c.hostname == host)
        .values(cpu_used=cpu, mem_used=memory, disk_used=disk, total_containers=number)
    )


def claims_on(conn: Connection, host: str) -> Sequence[Claim]:
    """All claims on a host."""
    query = sa.select(*columns_of(claims, Claim)).where(claims.c.host == host)
    return [Claim(**row._mapping) for row in conn.execute(query)]
