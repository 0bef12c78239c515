"""SQL on commands that must not outlive their client: what a killed agent leaves, the next one kills."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from zun.store.schema import bound_execs as execs


def insert(conn: Connection, exec_id: str, container_uuid: str, host: str, now: datetime) -> None:
    """Records that a command goes with its client; before it is started."""
    conn.execute(
        execs.insert().values(
            exec_id=exec_id, container_uuid=container_uuid, host=host, created_at=now
        )
    )


def opened(conn: Connection, exec_id: str, now: datetime) -> bool:
    """Records that a client has come for a command; whether it goes with its client."""
    mine = execs.update().where(execs.c.exec_id == exec_id)
    return conn.execute(mine.values(opened_at=now)).rowcount == 1


def delete(conn: Connection, exec_id: str) -> None:
    """The command has ended."""
    conn.execute(execs.delete().where(execs.c.exec_id == exec_id))


def on_host(conn: Connection, host: str) -> Sequence[tuple[str, str]]:
    """(exec, container) of those of a host that a client has come for."""
    query = sa.select(execs.c.exec_id, execs.c.container_uuid).where(
        execs.c.host == host, execs.c.opened_at.is_not(None)
    )
    return [(row.exec_id, row.container_uuid) for row in conn.execute(query)]


def expire(conn: Connection, before: datetime) -> int:
    """Removes those made before a moment for which nobody ever came; how many."""
    late = execs.c.opened_at.is_(None) & (execs.c.created_at <= before)
    return conn.execute(execs.delete().where(late)).rowcount
