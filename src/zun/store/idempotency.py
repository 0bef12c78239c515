"""SQL on idempotency keys: which container the key of a project made."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from zun.store.schema import idempotency_keys as keys


class KeyTaken(Exception):
    """The project has used this key."""


@dataclass(frozen=True, slots=True)
class Use:
    """What a key was used for."""

    body_digest: str
    container_uuid: str


def find(conn: Connection, project_id: str, key_digest: str, since: datetime) -> Use | None:
    """What the project used the key for, not before `since`; None if for nothing."""
    row = conn.execute(
        sa.select(keys.c.body_digest, keys.c.container_uuid).where(
            keys.c.project_id == project_id,
            keys.c.key_digest == key_digest,
            keys.c.created_at >= since,
        )
    ).first()
    return None if row is None else Use(row.body_digest, row.container_uuid)


def insert(
    conn: Connection, project_id: str, key_digest: str, use: Use, *, since: datetime, now: datetime
) -> None:
    """Notes the use of a key; a use before `since` counts no more. Raises KeyTaken, and the transaction is lost."""
    conn.execute(
        keys.delete().where(
            keys.c.project_id == project_id,
            keys.c.key_digest == key_digest,
            keys.c.created_at < since,
        )
    )
    values = {"body_digest": use.body_digest, "container_uuid": use.container_uuid}
    try:
        conn.execute(
            keys.insert().values(
                project_id=project_id, key_digest=key_digest, created_at=now, **values
            )
        )
    except IntegrityError as exc:
        raise KeyTaken from exc


def expire(conn: Connection, before: datetime, most: int) -> int:
    """Removes uses older than `before`; how many. `most` bounds one transaction roughly, by age."""
    latest = conn.execute(
        sa.select(keys.c.created_at)
        .where(keys.c.created_at < before)
        .order_by(keys.c.created_at)
        .offset(most - 1)
        .limit(1)
    ).scalar()
    until = keys.c.created_at < before if latest is None else keys.c.created_at <= latest
    return conn.execute(keys.delete().where(until)).rowcount
