"""SQL on how a host stands: heard of, silent, fenced. Time is the database's own: hosts and conductors disagree.

A beat needs one row (the service's) and one statement, as long as nothing has happened to the host. Whoever changes how
a host stands empties the `epoch` there, so that its agent's next beat looks at the host. Writers lock the service's row
first, then the host's.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from zun.store.hosts import BINARY
from zun.store.schema import hosts, services

_SERVICE = services.c.binary == BINARY


def now(conn: Connection, local: datetime) -> datetime:
    """What time it is where all writers meet: the database's clock; on SQLite, which has one machine, `local`."""
    match conn.dialect.name:
        case "mysql" | "mariadb":
            text = "SELECT UTC_TIMESTAMP(6)"
        case "postgresql":
            text = "SELECT clock_timestamp() AT TIME ZONE 'UTC'"
        case _:
            return local
    moment: datetime = conn.execute(sa.text(text)).scalar_one()
    return moment


def is_local(conn: Connection) -> bool:
    """Whether the clock where all writers meet is this machine's."""
    return conn.dialect.name == "sqlite"


@dataclass(frozen=True, slots=True, kw_only=True)
class Standing:
    """How a host stands. `epoch`: of the agent that may work."""

    epoch: int
    lost: bool
    fenced: bool
    forced_down: bool
    known: bool  # whether its service has a row


def of(conn: Connection, hostname: str) -> Standing | None:
    """How a host stands, or None if there is none."""
    query = (
        sa.select(
            hosts.c.epoch, hosts.c.lost_at, hosts.c.fenced_at, services.c.forced_down, services.c.id
        )
        .select_from(hosts.outerjoin(services, (services.c.host == hosts.c.hostname) & _SERVICE))
        .where(hosts.c.hostname == hostname)
    )
    row = conn.execute(query).first()
    if row is None:
        return None
    return Standing(
        epoch=row.epoch,
        lost=row.lost_at is not None,
        fenced=row.fenced_at is not None,
        forced_down=bool(row.forced_down),
        known=row.id is not None,
    )


def may_work(conn: Connection, hostname: str, epoch: int) -> bool:
    """Whether the agent of this epoch may begin work; until the transaction ends nobody can fence it."""
    query = sa.select(hosts.c.id).where(
        hosts.c.hostname == hostname, hosts.c.epoch == epoch, hosts.c.fenced_at.is_(None)
    )
    return conn.execute(query.with_for_update(read=True)).first() is not None


def lost_since(conn: Connection, hostname: str) -> datetime | None:
    """When a lost host was last heard of; None if it is not lost. Until the transaction ends it stays so."""
    held = sa.select(hosts.c.lost_at).where(hosts.c.hostname == hostname).with_for_update()
    lost_at: datetime | None = conn.execute(held).scalar()
    if lost_at is None:
        return None
    seen = sa.select(services.c.last_seen_up).where(services.c.host == hostname, _SERVICE)
    return conn.execute(seen).scalar() or lost_at


def is_fenced(conn: Connection, hostname: str) -> bool:
    """Whether a host is fenced; until the transaction ends it stays so."""
    held = sa.select(hosts.c.fenced_at).where(hosts.c.hostname == hostname).with_for_update()
    return conn.execute(held).scalar() is not None


def admit(conn: Connection, hostname: str, epoch: int, *, cleaned: bool) -> bool:
    """Lets the agent of this epoch work, and beat; whether it may.

    `cleaned`: it has removed from its engine what is no longer its own, which one that was fenced must have done.
    Not while an operator says that the host is down.
    """
    free = sa.or_(services.c.forced_down.is_(False), services.c.forced_down.is_(None))
    mine = (services.c.host == hostname) & _SERVICE
    if conn.execute(services.update().where(mine, free).values(epoch=epoch)).rowcount == 0:
        return False
    here = [hosts.c.hostname == hostname, hosts.c.epoch == epoch]
    if not cleaned:
        here.append(hosts.c.fenced_at.is_(None))
    done = conn.execute(
        hosts.update()
        .where(*here)
        .values(lost_at=None, fenced_at=None, removed_at=None, revision=hosts.c.revision + 1)
    )
    if done.rowcount == 0:
        conn.execute(services.update().where(mine).values(epoch=None))
    return done.rowcount == 1


def contact(conn: Connection, hostname: str, epoch: int, moment: datetime) -> bool:
    """Records that an agent is there whose engine does not answer: no beat, nothing to fence; whether it may work."""
    conn.execute(
        services.update().where(services.c.host == hostname, _SERVICE).values(contact_at=moment)
    )
    return may_work(conn, hostname, epoch)


@dataclass(frozen=True, slots=True, kw_only=True)
class Silent:
    """A host that has not beaten for too long, or that an operator has declared down."""

    hostname: str
    last_seen_up: datetime | None
    contact_at: datetime | None
    forced_down: bool
    lost: bool
    fenced: bool
    mode: str | None
    fence_after: float | None


def _silent(moment: datetime, down_after: timedelta) -> sa.ColumnElement[bool]:
    late = sa.case(
        (services.c.lease_until.is_not(None), services.c.lease_until <= moment),
        else_=services.c.last_seen_up <= moment - down_after,
    )
    return sa.or_(services.c.forced_down, late)


def _gone(moment: datetime, down_after: timedelta) -> sa.ColumnElement[bool]:
    """A host without a service: its agent records it anew with its next beat, if there is one."""
    last = sa.func.coalesce(hosts.c.updated_at, hosts.c.created_at)
    return sa.and_(services.c.id.is_(None), last <= moment - down_after)


def silent(conn: Connection, moment: datetime, down_after: timedelta) -> Sequence[Silent]:
    """The hosts nobody has heard of for too long, by name."""
    query = (
        sa.select(
            hosts.c.hostname, services.c.last_seen_up, services.c.contact_at,
            sa.func.coalesce(services.c.forced_down, sa.false()).label("forced_down"),
            hosts.c.lost_at, hosts.c.fenced_at, hosts.c.mode, hosts.c.fence_after,
        )
        .select_from(hosts.outerjoin(services, (services.c.host == hosts.c.hostname) & _SERVICE))
        .where(
            hosts.c.removed_at.is_(None),
            sa.or_(_gone(moment, down_after), _silent(moment, down_after)),
        )
        .order_by(hosts.c.hostname)
    )  # fmt: skip
    return [
        Silent(
            hostname=row.hostname, last_seen_up=row.last_seen_up, contact_at=row.contact_at,
            forced_down=bool(row.forced_down), lost=row.lost_at is not None,
            fenced=row.fenced_at is not None, mode=row.mode, fence_after=row.fence_after,
        )
        for row in conn.execute(query)
    ]  # fmt: skip


def lose(conn: Connection, hostname: str, moment: datetime, down_after: timedelta) -> bool:
    """Takes a host for down if it is still silent; whether this was news."""
    mine = (services.c.host == hostname) & _SERVICE
    doubt = services.update().where(mine, _silent(moment, down_after)).values(epoch=None)
    if conn.execute(doubt).rowcount == 0 and _has_service(conn, mine):
        return False
    done = conn.execute(
        hosts.update()
        .where(hosts.c.hostname == hostname, hosts.c.lost_at.is_(None))
        .values(lost_at=moment, revision=hosts.c.revision + 1)
    )
    return done.rowcount == 1


def fence(
    conn: Connection, hostname: str, moment: datetime, contact_before: datetime | None
) -> int | None:
    """Forbids a lost host everything until it has cleaned up; its new epoch, or None if it may not be done now.

    `contact_before`: only if its agent was last in touch before that; None = only if an operator says it is down.
    """
    mine = (services.c.host == hostname) & _SERVICE
    why: sa.ColumnElement[bool] = services.c.forced_down.is_(True)
    if contact_before is not None:
        why = sa.or_(why, services.c.contact_at <= contact_before)
    if conn.execute(services.update().where(mine, why).values(epoch=None)).rowcount == 0:
        return None
    return _bump(conn, hostname, moment)


def lose_removed(conn: Connection, hostname: str, moment: datetime) -> None:
    """Takes a host for down that an operator removes, if nobody has yet."""
    conn.execute(
        hosts.update()
        .where(hosts.c.hostname == hostname, hosts.c.lost_at.is_(None))
        .values(lost_at=moment, revision=hosts.c.revision + 1)
    )


def fence_removed(conn: Connection, hostname: str, moment: datetime) -> int | None:
    """The same for a host that an operator removes by force: should it ever return, it cleans up first."""
    return _bump(conn, hostname, moment)


def _bump(conn: Connection, hostname: str, moment: datetime) -> int | None:
    done = conn.execute(
        hosts.update()
        .where(
            hosts.c.hostname == hostname, hosts.c.fenced_at.is_(None), hosts.c.lost_at.is_not(None)
        )
        .values(epoch=hosts.c.epoch + 1, fenced_at=moment, revision=hosts.c.revision + 1)
    )
    if done.rowcount == 0:
        return None
    epoch: int = conn.execute(
        sa.select(hosts.c.epoch).where(hosts.c.hostname == hostname)
    ).scalar_one()
    return epoch


def _has_service(conn: Connection, mine: sa.ColumnElement[bool]) -> bool:
    return conn.execute(sa.select(services.c.id).where(mine)).first() is not None
