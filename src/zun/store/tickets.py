"""SQL on tickets: each is taken at most once."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from zun.store.schema import tickets


def insert(
    conn: Connection,
    *,
    digest: str,
    path: str,
    project_id: str,
    content: Mapping[str, Any],
    expires_at: datetime,
) -> None:
    """Adds a ticket by its digest."""
    conn.execute(
        tickets.insert().values(
            digest=digest,
            path=path,
            project_id=project_id,
            content=content,
            expires_at=expires_at,
        )
    )


def take(
    conn: Connection, digest: str, path: str, now: datetime
) -> tuple[str, Mapping[str, Any]] | None:
    """The project and content of a ticket for `path`, which nobody gets again; None if there is no valid one."""
    found = conn.execute(
        sa.select(tickets.c.project_id, tickets.c.content, tickets.c.path, tickets.c.expires_at)
        .where(tickets.c.digest == digest)
    ).first()  # fmt: skip
    if found is None or found.path != path or found.expires_at <= now:
        return None
    gone = conn.execute(tickets.delete().where(tickets.c.digest == digest))
    return (found.project_id, found.content) if gone.rowcount == 1 else None


def expire(conn: Connection, now: datetime) -> int:
    """Removes tickets that nobody came with in time; how many."""
    return conn.execute(tickets.delete().where(tickets.c.expires_at <= now)).rowcount
