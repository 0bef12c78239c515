"""SQL on the labels of containers, as selectors look for them: by digests, which any index can hold."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from zun.store.schema import container_labels as labels

#: Rows that a filter leads to from which on a list is read in its own order instead, and each row is asked.
_MANY = 1000


def selector(key: str, value: str | None) -> str:
    """The digest of a label's key, or of key and value."""
    text = key if value is None else f"{key}\0{value}"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def insert(conn: Connection, container_uuid: str, given: Mapping[str, str]) -> None:
    """Adds what finds a container by its labels."""
    digests = {selector(key, wanted) for key, value in given.items() for wanted in (None, value)}
    if digests:
        conn.execute(
            labels.insert(),
            [{"selector": digest, "container_uuid": container_uuid} for digest in sorted(digests)],
        )


def delete(conn: Connection, container_uuid: str) -> None:
    """Removes them."""
    conn.execute(labels.delete().where(labels.c.container_uuid == container_uuid))


def matches(
    conn: Connection, uuid: sa.Column[Any], key: str, value: str | None
) -> tuple[sa.ColumnElement[bool], bool]:
    """The condition that the container of the column `uuid` has the label; and whether few have it.

    A label that few have leads to its containers; of one that many have, each container is asked.
    """
    mine = labels.c.selector == selector(key, value)
    theirs = sa.select(labels.c.container_uuid).where(mine)
    if not are_many(conn, theirs):
        return uuid.in_(theirs), True
    return sa.exists().where(mine, labels.c.container_uuid == uuid), False


def are_many(conn: Connection, some: sa.Select[Any]) -> bool:
    """Whether so many rows come of it that a list is better read in its own order."""
    return conn.execute(some.limit(1).offset(_MANY - 1)).first() is not None
