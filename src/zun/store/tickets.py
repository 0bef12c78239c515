"""SQL on tickets: each is taken at most once."""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from zun.model.session import AgentTicket, StreamRequest, agent_path, digest_of
from zun.store.schema import tickets

#: Seconds in which whoever makes a ticket for an agent comes with it.
_AT_ONCE = 30


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


def insert_for_agent(
    conn: Connection, host_uuid: str, project_id: str, request: StreamRequest, now: datetime
) -> AgentTicket:
    """Adds a ticket with which `request` may be put to the agent of a host, at once."""
    made = AgentTicket(ticket=secrets.token_urlsafe(32), proof=secrets.token_urlsafe(32))
    insert(
        conn,
        digest=digest_of(made.ticket),
        path=agent_path(host_uuid),
        project_id=project_id,
        content={**request.content(), "proof": made.proof},
        expires_at=now + timedelta(seconds=_AT_ONCE),
    )
    return made


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
