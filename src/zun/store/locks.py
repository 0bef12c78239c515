"""Rows to hold while something is read and decided that no unique key can decide."""

from __future__ import annotations

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from zun.store.rows import put
from zun.store.schema import locks


def hold(conn: Connection, name: str) -> None:
    """Returns when nobody else holds `name` any more; it is held until this transaction ends.

    Held before anything else, so that two who hold several never wait for each other. SQLite needs none: it has one
    writer at a time.
    """
    if conn.dialect.name == "sqlite":
        return
    query = sa.select(locks.c.name).where(locks.c.name == name).with_for_update()
    if conn.execute(query).first() is None:
        put(conn, locks, {"name": name}, {}, keep=True)
