"""SQL on the labels of containers, as selectors look for them: by digests, which any index can hold."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from zun.store.schema import container_labels as labels


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


def matches(uuid: sa.Column[Any], key: str, value: str | None) -> sa.ColumnElement[bool]:
    """The condition that the container of the column `uuid` has the label."""
    return uuid.in_(
        sa.select(labels.c.container_uuid).where(labels.c.selector == selector(key, value))
    )
