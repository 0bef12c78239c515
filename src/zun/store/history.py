"""What is kept only to be looked up: events, operations that ended, and rights that are spent. Removed by age."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from zun.store.schema import events, idempotency_keys, operations, sessions, tickets

#: Table -> the column that says since when a row is history. An operation that is open has no end.
_SINCE: Mapping[sa.Table, sa.Column[Any]] = {
    events: events.c.created_at,
    operations: operations.c.finished_at,
    idempotency_keys: idempotency_keys.c.created_at,
    sessions: sessions.c.expires_at,
    tickets: tickets.c.expires_at,
}

#: By the names under which they are shown.
KINDS: Mapping[str, sa.Table] = {table.name: table for table in _SINCE}


def count(conn: Connection, kind: str, before: datetime) -> int:
    """How many rows of a kind are older."""
    table = KINDS[kind]
    query = sa.select(sa.func.count()).select_from(table).where(_SINCE[table] < before)
    return conn.execute(query).scalar_one()


def remove(conn: Connection, kind: str, before: datetime, most: int) -> int:
    """Removes rows of a kind that are older, at most `most` at a time; how many."""
    table = KINDS[kind]
    keys = list(table.primary_key.columns)
    old = sa.select(*keys).where(_SINCE[table] < before).order_by(_SINCE[table]).limit(most)
    rows = [tuple(row) for row in conn.execute(old)]
    if rows:
        mine = (
            keys[0].in_([row[0] for row in rows]) if len(keys) == 1 else sa.tuple_(*keys).in_(rows)
        )
        conn.execute(table.delete().where(mine))
    return len(rows)
