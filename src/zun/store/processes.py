"""SQL on processes: who runs which release."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from zun.model.process import Process
from zun.store.rows import columns_of, put, values_of
from zun.store.schema import processes

_COLUMNS = columns_of(processes, Process)


def record(conn: Connection, process: Process) -> None:
    """Writes a process down, or over an older life of it."""
    values = values_of(processes, process, but=frozenset({"name"}))
    put(conn, processes, {"name": process.name}, values)


def forget(conn: Connection, name: str) -> None:
    """A process has ended in order."""
    conn.execute(processes.delete().where(processes.c.name == name))


def expire(conn: Connection, before: datetime) -> int:
    """Forgets processes not seen since; how many."""
    return conn.execute(processes.delete().where(processes.c.seen_at < before)).rowcount


def since(conn: Connection, moment: datetime) -> Sequence[Process]:
    """Those seen since, by name."""
    query = sa.select(*_COLUMNS).where(processes.c.seen_at >= moment).order_by(processes.c.name)
    return [Process(**row._mapping) for row in conn.execute(query)]
