"""SQL on what containers claim of hosts. The row of a host is locked before its claims are changed, by every writer."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from zun.model.host import Claim
from zun.store.hosts import BINARY
from zun.store.rows import columns_of, values_of
from zun.store.schema import claims, hosts, services

_SLACK = 1e-9  # sums of tenths of a CPU are not exact
_DRIFT = 1e-3  # of a CPU: more than any database's arithmetic makes of the same numbers
_COLUMNS = columns_of(claims, Claim)
_HELD = sa.select(*_COLUMNS).where(claims.c.container_uuid == sa.bindparam("of_container"))
_SHARED = hosts.c.cpu_used - hosts.c.cpus_pinned  # what those have who have no CPUs of their own

# Said once, with values beside it: compiled once.
_CPU, _MEMORY, _DISK = (
    sa.bindparam("of_cpu", type_=sa.Float),
    sa.bindparam("of_memory", type_=sa.Integer),
    sa.bindparam("of_disk", type_=sa.Integer),
)
_TAKE = (
    hosts.update()
    .where(
        hosts.c.hostname == sa.bindparam("of_host"),
        hosts.c.mem_used + _MEMORY <= hosts.c.memory,
        hosts.c.disk_used + _DISK <= hosts.c.disk,
    )
    .values(
        cpu_used=hosts.c.cpu_used + _CPU,
        mem_used=hosts.c.mem_used + _MEMORY,
        disk_used=hosts.c.disk_used + _DISK,
        total_containers=hosts.c.total_containers + 1,
        revision=hosts.c.revision + 1,
    )
)
_TAKE_SHARED = _TAKE.where(hosts.c.cpus + _SLACK >= _SHARED + _CPU)


def _open() -> sa.ColumnElement[bool]:
    """Whether a host takes new containers now, whatever was believed when it was chosen."""
    alive = sa.exists().where(
        services.c.host == hosts.c.hostname,
        services.c.binary == BINARY,
        services.c.disabled.is_(False),
        services.c.forced_down.is_(False),
        services.c.last_seen_up > sa.bindparam("of_seen_after"),
    )
    closed = (hosts.c.mode, hosts.c.lost_at, hosts.c.fenced_at, hosts.c.removed_at)
    return sa.and_(alive, *(column.is_(None) for column in closed))


_OPEN = _open()
_TAKE_OPEN, _TAKE_SHARED_OPEN = _TAKE.where(_OPEN), _TAKE_SHARED.where(_OPEN)


def claim(
    conn: Connection,
    wanted: Claim,
    *,
    seen_after: datetime | None = None,
    pinned: Sequence[int] | None = None,
    first: bool = False,
) -> bool:
    """Takes resources of a host if they are free, by one conditional update; whether it did.

    A container has one claim: repeating the same one succeeds and takes nothing more; another takes its place, and
    where that is refused it keeps what it had. `seen_after`: only of a host that takes new containers, and was heard
    of later than that. With a `cpuset`, these CPUs are taken from a host where just `pinned` are taken yet.
    `first`: this transaction has looked, and the container has no claim.
    """
    held = None if first else held_by(conn, wanted.container_uuid)
    if held == wanted:
        return True
    if held is not None:
        lock(conn, sorted({held.host, wanted.host}))
        if held.host == wanted.host:
            _delete(conn, held)  # what it has is free for it
    query = _taking(wanted, pinned or (), seen_after is not None)
    values: dict[str, Any] = {
        "of_host": wanted.host,
        "of_cpu": wanted.cpu,
        "of_memory": wanted.memory,
        "of_disk": wanted.disk,
    }
    if seen_after is not None:
        values["of_seen_after"] = seen_after
    taken = conn.execute(query, values).rowcount == 1
    if held is not None:
        if taken and held.host != wanted.host:
            _delete(conn, held)
        elif not taken and held.host == wanted.host:
            restore(conn, held)
    if taken:
        conn.execute(claims.insert(), values_of(claims, wanted))
    return taken


def _taking(wanted: Claim, pinned: Sequence[int], only_open: bool) -> sa.Update:
    if not wanted.cpuset:
        return _TAKE_SHARED_OPEN if only_open else _TAKE_SHARED
    taken = sorted({*pinned, *wanted.cpuset})
    return (
        (_TAKE_OPEN if only_open else _TAKE)
        .where(hosts.c.pinned == sorted(pinned) if pinned else _none_pinned())
        .values(pinned=taken, cpus_pinned=len(taken))
    )


def _none_pinned() -> sa.ColumnElement[bool]:
    return sa.or_(hosts.c.pinned.is_(None), hosts.c.cpus_pinned == 0)


def restore(conn: Connection, wanted: Claim) -> None:
    """Gives a container a claim whether or not there is room: what it claims runs, or has a right to."""
    held = held_by(conn, wanted.container_uuid)
    lock(conn, sorted({wanted.host, *([held.host] if held else [])}))
    if held is not None:
        _delete(conn, held)
    conn.execute(claims.insert(), values_of(claims, wanted))
    recount(conn, wanted.host)


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
        "CPU": (_SHARED, wanted.cpu - held.cpu, hosts.c.cpus + _SLACK),
        "memory": (hosts.c.mem_used, wanted.memory - held.memory, hosts.c.memory),
        "disk": (hosts.c.disk_used, wanted.disk - held.disk, hosts.c.disk),
    }
    fits = {name: used + add <= room for name, (used, add, room) in more.items() if add > 0}
    here = hosts.c.hostname == held.host
    done = conn.execute(
        hosts.update().where(here, *fits.values()).values(revision=hosts.c.revision + 1)
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
    recount(conn, held.host)
    return []


def held_by(conn: Connection, container_uuid: str) -> Claim | None:
    """The claim of a container, or None."""
    row = conn.execute(_HELD, {"of_container": container_uuid}).first()
    return None if row is None else Claim(**row._mapping)


def release(conn: Connection, container_uuid: str) -> None:
    """Gives back what a container claimed; nothing to give back is no error."""
    held = held_by(conn, container_uuid)
    if held is not None:
        lock(conn, [held.host])
        _delete(conn, held)


def _delete(conn: Connection, held: Claim) -> None:
    conn.execute(claims.delete().where(claims.c.container_uuid == held.container_uuid))
    recount(conn, held.host)


def lock(conn: Connection, hostnames: Iterable[str]) -> None:
    """Holds the rows of hosts until the transaction ends; give them by name, so that none waits for ever."""
    for hostname in hostnames:
        conn.execute(
            hosts.update().where(hosts.c.hostname == hostname).values(revision=hosts.c.revision + 1)
        )


def recount(conn: Connection, host: str) -> None:
    """Sums up what is claimed of a host anew; its row must be locked.

    Rather than subtracting: floats would drift, and a sum can't be wrong. Within the update, so that every database
    reads what is there now and not what was there when the transaction began.
    """
    mine = claims.c.host == host

    def total(column: sa.ColumnElement[Any], nothing: float) -> Any:
        return sa.select(sa.func.coalesce(column, nothing)).where(mine).scalar_subquery()

    pinned = pinned_on(conn, host)
    conn.execute(
        hosts.update()
        .where(hosts.c.hostname == host)
        .values(
            cpu_used=total(sa.func.sum(claims.c.cpu), 0.0),
            mem_used=total(sa.func.sum(claims.c.memory), 0),
            disk_used=total(sa.func.sum(claims.c.disk), 0),
            total_containers=total(sa.func.count(), 0),
            pinned=pinned or None,
            cpus_pinned=len(pinned),
            revision=hosts.c.revision + 1,
        )
    )


def pinned_on(conn: Connection, host: str) -> Sequence[int]:
    """The CPUs of a host that containers have for their own, as they are now."""
    sets = sa.select(claims.c.cpuset).where(claims.c.host == host, claims.c.cpuset.is_not(None))
    found = conn.execute(sets.with_for_update(read=True)).scalars()
    return sorted({cpu for cpuset in found for cpu in cpuset})


def claims_on(conn: Connection, host: str) -> Sequence[Claim]:
    """All claims on a host."""
    query = sa.select(*_COLUMNS).where(claims.c.host == host)
    return [Claim(**row._mapping) for row in conn.execute(query)]


def drifting(conn: Connection, among: Sequence[str]) -> Sequence[str]:
    """Those of the hosts `among` whose rows do not say what their claims sum up to, for `correct` to look closely."""
    sums = (
        sa.select(
            claims.c.host,
            sa.func.sum(claims.c.cpu).label("cpu"),
            sa.func.sum(claims.c.memory).label("memory"),
            sa.func.sum(claims.c.disk).label("disk"),
            sa.func.count().label("containers"),
        )
        .where(claims.c.host.in_(among))
        .group_by(claims.c.host)
        .subquery()
    )
    pairs = (
        (hosts.c.mem_used, sums.c.memory),
        (hosts.c.disk_used, sums.c.disk),
        (hosts.c.total_containers, sums.c.containers),
    )
    query = (
        sa.select(hosts.c.hostname)
        .select_from(hosts.outerjoin(sums, sums.c.host == hosts.c.hostname))
        .where(
            hosts.c.hostname.in_(among),
            sa.or_(
                sa.func.abs(hosts.c.cpu_used - sa.func.coalesce(sums.c.cpu, 0.0)) > _DRIFT,
                *(used != sa.func.coalesce(total, 0) for used, total in pairs),
            ),
        )
    )
    return list(conn.execute(query).scalars())


def correct(conn: Connection, host: str) -> Mapping[str, tuple[float, float]]:
    """Compares what a host's row says is used with its claims, and corrects it: resource -> (recorded, counted).

    Empty unless something was wrong.
    """
    lock(conn, [host])
    before = _figures(conn, host)
    recount(conn, host)
    after = _figures(conn, host)
    return {
        name: (before[name], after[name])
        for name in before
        if abs(before[name] - after[name]) > _DRIFT
    }


def _figures(conn: Connection, host: str) -> dict[str, float]:
    row = conn.execute(
        sa.select(
            hosts.c.cpu_used.label("cpu"),
            hosts.c.mem_used.label("memory"),
            hosts.c.disk_used.label("disk"),
            hosts.c.total_containers.label("containers"),
            hosts.c.cpus_pinned.label("pinned"),
        ).where(hosts.c.hostname == host)
    ).first()
    return {} if row is None else {name: float(value) for name, value in row._mapping.items()}
