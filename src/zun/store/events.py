"""SQL on the events, for whoever follows them: append-only rows, `id` is the cursor."""

from __future__ import annotations

from collections.abc import Collection, Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from zun.model.operation import Event, EventKind
from zun.store.rows import columns_of
from zun.store.schema import events

_COLUMNS = columns_of(events, Event)
_NAMES = [column.name for column in _COLUMNS]


def newest(conn: Connection) -> int:
    """The greatest id there is to see; 0 where there is none."""
    return conn.execute(sa.select(sa.func.max(events.c.id))).scalar() or 0


def oldest(conn: Connection) -> int:
    """The smallest id kept; 0 where there is none."""
    return conn.execute(sa.select(sa.func.min(events.c.id))).scalar() or 0


def newest_of(conn: Connection, container_uuid: str) -> int:
    """The greatest id of a container's events; 0 where there is none."""
    query = sa.select(sa.func.max(events.c.id)).where(events.c.container_uuid == container_uuid)
    return conn.execute(query).scalar() or 0


def after(
    conn: Connection,
    cursor: int,
    most: int,
    *,
    until: int | None = None,
    project_id: str | None = None,
    container_uuid: str | None = None,
    kinds: Collection[EventKind] = (),
) -> Sequence[Event]:
    """Events with ids above `cursor` (up to `until`), at most `most`, in the order of their ids."""
    query = sa.select(*_COLUMNS).where(events.c.id > cursor)
    if until is not None:
        query = query.where(events.c.id <= until)
    if container_uuid is not None:
        query = query.where(events.c.container_uuid == container_uuid)
    if project_id is not None:
        query = query.where(events.c.project_id == project_id)
    if kinds:
        query = query.where(events.c.kind.in_(sorted(kinds)))
    return [_value(row) for row in conn.execute(query.order_by(events.c.id).limit(most))]


def _value(row: sa.Row[tuple[object, ...]]) -> Event:
    values = dict(zip(_NAMES, row, strict=True))
    return Event(**{**values, "kind": EventKind(values["kind"])})  # type: ignore[arg-type]
