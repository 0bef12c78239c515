"""SQL on hosts and their services. What is claimed of them: `store.claims`; how they fail: `store.standing`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from zun.model.host import SORT_KEYS, Host, Inventory, Life, Mode, NumaCell, Service
from zun.model.session import StreamPlace
from zun.store import keyset
from zun.store.rows import columns_of, slices
from zun.store.schema import host_images, hosts, images, services

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
    services.c.lease_until,
    services.c.io_load,
).select_from(
    hosts.outerjoin(services, (services.c.host == hosts.c.hostname) & (services.c.binary == BINARY))
)
_THERE = hosts.c.removed_at.is_(None)


def _host(row: Any) -> Host:
    values = dict(row._mapping)
    inventory = values["inventory"]
    inventory["numa"] = [NumaCell(**cell) for cell in inventory.get("numa", ())]
    values["inventory"] = Inventory(**inventory)
    if values["mode"] is not None:
        values["mode"] = Mode(values["mode"])
    values["disabled"], values["forced_down"] = bool(row.disabled), bool(row.forced_down)
    return Host(**values)


def _room(host: Host) -> dict[str, Any]:
    """The columns that say what a host has to offer."""
    return {
        "inventory": asdict(host.inventory),
        "cpus": host.cpus,
        "memory": host.memory,
        "disk": host.disk,
        "enable_cpu_pinning": host.enable_cpu_pinning,
        "limits_disk": host.inventory.disk_quota_supported,
        "pinnable": None if host.pinnable is None else list(host.pinnable),
        "fence_after": host.fence_after,
    }


def register(conn: Connection, host: Host, now: datetime, *, lease: timedelta | None = None) -> int:
    """Records a host whose agent has just started, and its service; the agent's new epoch.

    Older agents of it can't beat or claim work any more. Whether it may work: `store.standing`.
    """
    room = _room(host)
    known = conn.execute(
        hosts.update()
        .where(hosts.c.hostname == host.hostname)
        .values(**room, epoch=hosts.c.epoch + 1, revision=hosts.c.revision + 1, updated_at=now)
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
    epoch: int = conn.execute(
        sa.select(hosts.c.epoch).where(hosts.c.hostname == host.hostname)
    ).scalar_one()
    if not beat(
        conn, host.hostname, now, lease=lease, epoch=epoch,
        availability_zone=host.availability_zone,
    ):  # fmt: skip
        add_service(conn, host.hostname, host.availability_zone, now, lease=lease, epoch=epoch)
    return epoch


def add_service(
    conn: Connection,
    host: str,
    availability_zone: str,
    now: datetime,
    *,
    lease: timedelta | None = None,
    epoch: int | None = None,
) -> None:
    """Records the service of a host that has none: seen now, for the first time."""
    conn.execute(
        services.insert().values(
            host=host,
            binary=BINARY,
            disabled=False,
            forced_down=False,
            last_seen_up=now,
            contact_at=now,
            lease_until=None if lease is None else now + lease,
            epoch=epoch,
            report_count=1,
            availability_zone=availability_zone,
            created_at=now,
        )
    )
    _changed(conn, host)


def beat(
    conn: Connection,
    host: str,
    now: datetime,
    *,
    lease: timedelta | None = None,
    of_epoch: int | None = None,
    **changes: Any,
) -> bool:
    """Records that the agent of `host` is alive, and promises the next beat within `lease`; whether it did.

    `of_epoch`: only if that is the epoch of the agent that may beat, else there may be something to be told:
    `store.standing`. Without: whether the service has a row.
    """
    mine = (services.c.host == host) & (services.c.binary == BINARY)
    if of_epoch is not None:
        mine &= services.c.epoch == of_epoch
    done = conn.execute(
        services.update()
        .where(mine)
        .values(
            last_seen_up=now,
            contact_at=now,
            lease_until=None if lease is None else now + lease,
            report_count=services.c.report_count + 1,
            updated_at=now,
            **changes,
        )
    )
    return done.rowcount == 1


def refresh(conn: Connection, host: Host, now: datetime) -> None:
    """Records a changed inventory of a host that is registered."""
    conn.execute(
        hosts.update()
        .where(hosts.c.hostname == host.hostname)
        .values(**_room(host), revision=hosts.c.revision + 1, updated_at=now)
    )


def _changed(conn: Connection, hostname: str) -> None:
    """Has those who hold a copy of a host read it again."""
    conn.execute(
        hosts.update().where(hosts.c.hostname == hostname).values(revision=hosts.c.revision + 1)
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
    return [_host(row) for row in conn.execute(_SELECT.where(_THERE).order_by(hosts.c.hostname))]


def in_mode(conn: Connection, mode: Mode) -> Sequence[str]:
    """The hosts an operator has put into `mode`, by name."""
    query = sa.select(hosts.c.hostname).where(_THERE, hosts.c.mode == mode)
    return list(conn.execute(query.order_by(hosts.c.hostname)).scalars())


def names_after(conn: Connection, after: str, most: int) -> Sequence[str]:
    """The next names of hosts in their order, at most `most`."""
    query = sa.select(hosts.c.hostname).where(hosts.c.hostname > after)
    return list(conn.execute(query.order_by(hosts.c.hostname).limit(most)).scalars())


def set_mode(
    conn: Connection, hostname: str, mode: Mode | None, reason: str | None, now: datetime
) -> None:
    """Sets what an operator has decided on a host; None = it works as any other."""
    conn.execute(
        hosts.update()
        .where(hosts.c.hostname == hostname)
        .values(mode=mode, mode_reason=reason, revision=hosts.c.revision + 1, updated_at=now)
    )


def revisions(conn: Connection) -> Sequence[tuple[int, int]]:
    """Of each host its id and its revision."""
    query = sa.select(hosts.c.id, hosts.c.revision).where(_THERE)
    return conn.execute(query).all()


def by_ids(conn: Connection, idents: Sequence[int]) -> list[Host]:
    """The hosts with these ids (asked in slices, so any number may be given)."""
    found: list[Host] = []
    for part in slices(idents):
        found += [_host(row) for row in conn.execute(_SELECT.where(hosts.c.id.in_(part))).all()]
    return found


def beat_counts(conn: Connection) -> dict[str, int]:
    """By host how often it has beaten."""
    query = sa.select(services.c.host, services.c.report_count).where(services.c.binary == BINARY)
    return dict(conn.execute(query).all())


def signs_of_life(conn: Connection, hostnames: Sequence[str]) -> dict[str, Life]:
    """What the last beats of these hosts told (asked in slices, so any number may be given)."""
    found: dict[str, Life] = {}
    for part in slices(hostnames):
        query = sa.select(
            services.c.host, services.c.last_seen_up, services.c.lease_until, services.c.io_load
        ).where(services.c.binary == BINARY, services.c.host.in_(part))
        found |= {host: Life(*life) for host, *life in conn.execute(query).all()}
    return found


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
        _SELECT.where(_THERE),
        hosts.c[sort_key],
        hosts.c.id,
        after=None if after is None else (getattr(after, sort_key), after.id),
        descending=descending,
        limit=limit,
        equal=(),
    )
    return [_host(row) for row in found]


def any_limits_disk(conn: Connection) -> bool:
    """Whether there is a host that can limit a container's disk."""
    return bool(conn.execute(sa.select(sa.exists().where(hosts.c.limits_disk, _THERE))).scalar())


def find(conn: Connection, ident: str) -> Host | None:
    """The host of this uuid or name, or None."""
    row = conn.execute(
        _SELECT.where(_THERE, sa.or_(hosts.c.uuid == ident, hosts.c.hostname == ident))
    ).first()
    return None if row is None else _host(row)


def remove(conn: Connection, hostname: str, hidden_at: datetime | None) -> None:
    """Removes the row of a host, and what is known of the images there; `hidden_at`: keeps the row, out of sight."""
    conn.execute(host_images.delete().where(host_images.c.host == hostname))
    if hidden_at is None:
        conn.execute(images.delete().where(images.c.host == hostname))
        conn.execute(hosts.delete().where(hosts.c.hostname == hostname))
        return
    conn.execute(
        hosts.update()
        .where(hosts.c.hostname == hostname)
        .values(removed_at=hidden_at, mode=None, mode_reason=None, revision=hosts.c.revision + 1)
    )


def uuid_of(conn: Connection, hostname: str) -> str | None:
    """The uuid of a host of this name, also of one that was removed by force; None if there never was one."""
    return conn.execute(sa.select(hosts.c.uuid).where(hosts.c.hostname == hostname)).scalar()


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
    _changed(conn, host)
    row = conn.execute(sa.select(*_SERVICE_COLUMNS).where(mine)).first()
    return None if row is None else Service(**row._mapping)


#: How the reason begins for which an agent has disabled its own service; everything else is an operator's.
ILL = "AUTO: "


def mark_ill(conn: Connection, host: str, reason: str | None, now: datetime) -> None:
    """Keeps new containers off a host whose agent has found it ill; None = it is well again.

    What an operator has disabled stays so, with his reason.
    """
    mine = (services.c.host == host) & (services.c.binary == BINARY)
    if reason is None:
        marked = services.c.disabled_reason.startswith(ILL, autoescape=True)
        change = services.update().where(mine, services.c.disabled.is_(True), marked)
        done = conn.execute(change.values(disabled=False, disabled_reason=None, updated_at=now))
    else:
        change = services.update().where(mine, services.c.disabled.is_(False))
        done = conn.execute(
            change.values(disabled=True, disabled_reason=f"{ILL}{reason}"[:255], updated_at=now)
        )
    if done.rowcount:
        _changed(conn, host)


def delete_service(conn: Connection, host: str, binary: str) -> bool:
    """Removes a service; whether it was there."""
    mine = (services.c.host == host) & (services.c.binary == binary)
    _changed(conn, host)
    return conn.execute(services.delete().where(mine)).rowcount == 1


def zones(conn: Connection) -> set[str]:
    """The zones of all services, down and disabled ones too; "" = none was given."""
    return set(conn.execute(sa.select(services.c.availability_zone).distinct()).scalars())
