"""SQL on what hosts that were given up may still have: written down when its row leaves such a host.

An engine does not always list all it has, so one that returns is asked for these by name. They are hints: what a
container is, and whose, its row says.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from zun.store.rows import put
from zun.store.schema import left_behind


def add(conn: Connection, host: str, uuids: Iterable[str]) -> None:
    """Remembers that the host may have containers, or a sandbox, of these uuids."""
    for uuid in uuids:
        put(conn, left_behind, {"host": host, "uuid": uuid}, {}, keep=True)


def on(conn: Connection, host: str) -> Sequence[str]:
    """The uuids of what the host may have."""
    query = sa.select(left_behind.c.uuid).where(left_behind.c.host == host)
    return list(conn.execute(query.order_by(left_behind.c.uuid)).scalars())


def forget(conn: Connection, host: str) -> None:
    """The host has removed all of it."""
    conn.execute(left_behind.delete().where(left_behind.c.host == host))
