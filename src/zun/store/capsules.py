"""SQL on capsules. Their members are rows of `containers`, which `store.containers` reads and writes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from zun.model.capsule import SORT_KEYS, Capsule
from zun.model.lifecycle import Action, Status
from zun.store import keyset
from zun.store.rows import columns_of, hold_row, names_of, slices, values_of
from zun.store.schema import capsules, operations

_COLUMNS = columns_of(capsules, Capsule)
_NAMES = names_of(_COLUMNS)
_SELECT = sa.select(*_COLUMNS, operations.c.action).select_from(
    capsules.outerjoin(operations, operations.c.open_key == capsules.c.uuid)
)
_DERIVED = frozenset({"id", "open_action"})


def _value(row: Any) -> Capsule:
    *plain, action = row
    values = dict(zip(_NAMES, plain, strict=True))
    values["status"] = Status(values["status"])
    return Capsule(**values, open_action=Action(action) if action else None)


def insert(conn: Connection, capsule: Capsule) -> None:
    """Adds the row; those of its members are the caller's to add."""
    conn.execute(capsules.insert(), values_of(capsules, capsule, but=_DERIVED))


def get(conn: Connection, uuid: str) -> Capsule | None:
    """The capsule of this uuid, or None."""
    row = conn.execute(_SELECT.where(capsules.c.uuid == uuid)).first()
    return None if row is None else _value(row)


def hold(conn: Connection, uuid: str) -> Capsule | None:
    """As `get`, and nobody else writes to the row before this transaction ends."""
    hold_row(conn, capsules, uuid)
    return get(conn, uuid)


def find(conn: Connection, name: str, project_id: str | None, most: int = 2) -> list[Capsule]:
    """Capsules of exactly this name, in the project (None = in all), at most `most`."""
    query = _SELECT.where(capsules.c.name == name).order_by(capsules.c.id).limit(most)
    if project_id is not None:
        query = query.where(capsules.c.project_id == project_id)
    return [_value(row) for row in conn.execute(query)]


def name_taken(conn: Connection, name: str, project_id: str | None) -> bool:
    """Whether a capsule has this name, whatever its case, in the project (None = in all). Contract 3.4."""
    query = sa.select(capsules.c.id).where(sa.func.lower(capsules.c.name) == name.lower())
    if project_id is not None:
        query = query.where(capsules.c.project_id == project_id)
    return conn.execute(query.limit(1)).first() is not None


def page(
    conn: Connection,
    *,
    project_id: str | None,
    limit: int,
    after: Capsule | None,
    sort_key: str,
    descending: bool,
) -> list[Capsule]:
    """One page by keyset: the rows that follow `after` in the order of (`sort_key`, id)."""
    assert sort_key in SORT_KEYS
    query, equal = _SELECT, []
    if project_id is not None:
        query, equal = query.where(capsules.c.project_id == project_id), [capsules.c.project_id]
    found = keyset.page(
        conn,
        query,
        capsules.c[sort_key],
        capsules.c.id,
        after=None if after is None else (getattr(after, sort_key), after.id),
        descending=descending,
        limit=limit,
        equal=equal,
    )
    return [_value(row) for row in found]


def update(conn: Connection, uuid: str, now: datetime, changes: Mapping[str, Any]) -> bool:
    """Sets columns; whether the row is there."""
    mine = capsules.update().where(capsules.c.uuid == uuid)
    return conn.execute(mine.values(updated_at=now, **changes)).rowcount == 1


def update_if_idle(
    conn: Connection, seen: Capsule, now: datetime, changes: Mapping[str, Any]
) -> bool:
    """Sets columns of a row that has the host and the status it was `seen` with, and no open operation; whether it
    did."""
    hold_row(conn, capsules, seen.uuid)  # as in `containers.update_if_idle`
    mine = capsules.update().where(
        capsules.c.uuid == seen.uuid,
        capsules.c.host == seen.host,
        capsules.c.status == seen.status,
        ~sa.exists().where(operations.c.open_key == seen.uuid),
    )
    return conn.execute(mine.values(updated_at=now, **changes)).rowcount == 1


def delete(conn: Connection, uuid: str) -> bool:
    """Removes the row; whether it was there. All that goes with a capsule: `store.removal`."""
    return conn.execute(capsules.delete().where(capsules.c.uuid == uuid)).rowcount == 1


def on_host(conn: Connection, host: str) -> Sequence[Capsule]:
    """All capsules placed on `host`."""
    query = _SELECT.where(capsules.c.host == host).order_by(capsules.c.id)
    return [_value(row) for row in conn.execute(query)]


def elsewhere(
    conn: Connection, uuids: Sequence[str], host: str, *, nowhere: bool = False
) -> set[str]:
    """Those of `uuids` that are a capsule's on another host than `host`, or (`nowhere`) on none (asked in slices)."""
    found: set[str] = set()
    other = capsules.c.host != host
    if nowhere:
        other = sa.or_(other, capsules.c.host.is_(None))
    for part in slices(uuids):
        query = sa.select(capsules.c.uuid).where(capsules.c.uuid.in_(part), other)
        found |= set(conn.execute(query).scalars())
    return found


def known(conn: Connection, uuids: Sequence[str]) -> set[str]:
    """Those of `uuids` that are a capsule's (asked in slices, so any number may be given)."""
    found: set[str] = set()
    for part in slices(uuids):
        query = sa.select(capsules.c.uuid).where(capsules.c.uuid.in_(part))
        found |= {row[0] for row in conn.execute(query)}
    return found
