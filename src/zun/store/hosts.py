"""SQL on hosts, their services and what is claimed of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from zun.model.host import Claim, Host, Inventory, Service
from zun.store.rows import columns_of, values_of
from zun.store.schema import claims, hosts, services

#: The only kind of service that has rows (contract 8, Services).
BINARY = "zun-compute"

_SERVICE_COLUMNS = columns_of(services, Service)
_HOST_COLUMNS = [c for c in columns_of(hosts, Host) if c.name != "availability_zone"]
_SELECT = sa.select(
    *_HOST_COLUMNS,
    services.c.availability_zone,
    services.c.disabled,
    services.c.forced_down,
    services.c.last_seen_up,
).select_from(
    hosts.join(services, (services.c.host == hosts.c.hostname) & (services.c.binary == BINARY))
)


def _host(row: Any) -> Host:
    values = dict(row._mapping)
    values["inventory"] = Inventory(**values["inventory"])
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
        conn.execute(
            services.insert().values(
                host=host.hostname,
                binary=BINARY,
                disabled=False,
                forced_down=False,
                last_seen_up=now,
                report_count=1,
                availability_zone=host.availability_zone,
                created_at=now,
            )
        )
    epoch: int = conn.execute(
        sa.select(hosts.c.epoch).where(hosts.c.hostname == host.hostname)
    ).scalar_one()
    return epoch


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
            updated_at=now,
        )
    )


def every(conn: Connection) -> list[Host]:
    """All hosts, by name."""
    return [_host(row) for row in conn.execute(_SELECT.order_by(hosts.c.hostname))]


def page(conn: Connection, limit: int, after: Host | None, *, descending: bool) -> list[Host]:
    """One page of hosts by name."""
    name = hosts.c.hostname
    query = _SELECT
    if after is not None:
        query = query.where(name < after.hostname if descending else name > after.hostname)
    query = query.order_by(name.desc() if descending else name).limit(limit)
    return [_host(row) for row in conn.execute(query)]


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
