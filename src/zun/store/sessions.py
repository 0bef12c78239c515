"""SQL on interactive sessions: the tokens of users' URLs, each good once."""

from __future__ import annotations

import secrets
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from zun.model.lifecycle import ALLOWED, Action
from zun.model.session import Denied, Session, StreamKind, digest_of
from zun.store.rows import columns_of, values_of
from zun.store.schema import containers, sessions

_COLUMNS = columns_of(sessions, Session)
_ACTIONS = {StreamKind.ATTACH: Action.ATTACH, StreamKind.EXEC: Action.EXECUTE}


def issue(conn: Connection, session: Session) -> str:
    """A new token for `session`. Unused attach tokens of the same container are void from now on (contract 5.2)."""
    if session.kind is StreamKind.ATTACH:
        conn.execute(
            sessions.update()
            .where(
                sessions.c.container_uuid == session.container_uuid,
                sessions.c.kind == StreamKind.ATTACH,
                sessions.c.used_at.is_(None),
                sessions.c.expires_at > session.issued_at,
            )
            .values(expires_at=session.issued_at)
        )
    token = secrets.token_urlsafe(32)
    conn.execute(sessions.insert().values(digest=digest_of(token), **values_of(sessions, session)))
    return token


def look(
    conn: Connection, digest: str, container_uuid: str, exec_id: str | None, now: datetime
) -> Session | Denied:
    """What `redeem` would answer, without using the token up."""
    row = conn.execute(sa.select(*_COLUMNS).where(sessions.c.digest == digest)).first()
    if row is None:
        return Denied.UNKNOWN
    values = {**row._mapping, "kind": StreamKind(row.kind), "tty": bool(row.tty)}
    session = Session(**values)
    return (
        _mismatch(session, container_uuid, exec_id, now) or _not_running(conn, session) or session
    )


def redeem(
    conn: Connection, digest: str, container_uuid: str, exec_id: str | None, now: datetime
) -> Session | Denied:
    """The session of the token with this digest, which nobody gets again, or why not; in a write transaction.

    A token is not used up by a request that is denied, nor while its container isn't running.
    """
    session = look(conn, digest, container_uuid, exec_id, now)
    if isinstance(session, Denied):
        return session
    mine = sessions.update().where(sessions.c.digest == digest, sessions.c.used_at.is_(None))
    return session if conn.execute(mine.values(used_at=now)).rowcount == 1 else Denied.USED


def _mismatch(
    session: Session, container_uuid: str, exec_id: str | None, now: datetime
) -> Denied | None:
    if session.container_uuid != container_uuid:
        return Denied.OTHER_CONTAINER
    if session.exec_id != exec_id:
        return Denied.OTHER_EXEC
    if session.used_at is not None:
        return Denied.USED
    return Denied.EXPIRED if session.expires_at <= now else None


def _not_running(conn: Connection, session: Session) -> Denied | None:
    status = conn.execute(
        sa.select(containers.c.status).where(containers.c.uuid == session.container_uuid)
    ).scalar()
    return None if status in ALLOWED[_ACTIONS[session.kind]] else Denied.NOT_RUNNING


def container_of(conn: Connection, exec_id: str) -> str | None:
    """The uuid of the container an exec was made for; None if that is not known, or no more."""
    query = sa.select(sessions.c.container_uuid).where(sessions.c.exec_id == exec_id)
    found: str | None = conn.execute(query).scalar()
    return found


def expire(conn: Connection, before: datetime) -> int:
    """Removes tokens that expired before a moment; how many. Those newly spent stay a while, so that a refusal can
    say what is wrong with them."""
    return conn.execute(sessions.delete().where(sessions.c.expires_at <= before)).rowcount
