"""SQL on images."""

from __future__ import annotations

from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from zun.model.image import SORT_KEYS, HostImage
from zun.store import keyset
from zun.store.rows import columns_of, put, values_of
from zun.store.schema import host_images, images

_SELECT = sa.select(*columns_of(images, HostImage))


def insert(conn: Connection, image: HostImage) -> None:
    """Adds the row."""
    conn.execute(images.insert().values(**values_of(images, image, but=frozenset({"id"}))))


def get(conn: Connection, uuid: str) -> HostImage | None:
    """The image of this uuid, or None."""
    row = conn.execute(_SELECT.where(images.c.uuid == uuid)).first()
    return None if row is None else HostImage(**row._mapping)


def find(conn: Connection, repo: str, tag: str, host: str) -> HostImage | None:
    """The image of this name on a host, whoever's it is, or None."""
    query = _SELECT.where(images.c.repo == repo, images.c.tag == tag, images.c.host == host)
    row = conn.execute(query).first()
    return None if row is None else HostImage(**row._mapping)


def page(
    conn: Connection,
    *,
    project_id: str,
    limit: int,
    after: HostImage | None,
    sort_key: str,
    descending: bool,
) -> list[HostImage]:
    """One page by keyset: see `zun.store.keyset`."""
    assert sort_key in SORT_KEYS
    query = _SELECT.where(images.c.project_id == project_id)
    found = keyset.page(
        conn,
        query,
        images.c[sort_key],
        images.c.id,
        after=None if after is None else (getattr(after, sort_key), after.id),
        descending=descending,
        limit=limit,
        equal=[images.c.project_id],
    )
    return [HostImage(**row._mapping) for row in found]


def update(conn: Connection, uuid: str, now: datetime, **changes: Any) -> bool:
    """Sets columns; whether the row is there."""
    done = conn.execute(
        images.update().where(images.c.uuid == uuid).values(updated_at=now, **changes)
    )
    return done.rowcount == 1


def delete(conn: Connection, uuid: str) -> None:
    """Removes the row, if it is there."""
    conn.execute(images.delete().where(images.c.uuid == uuid))


def fetched(conn: Connection, image: str, host: str) -> None:
    """Records that an image was fetched on a host, under the name a user gave."""
    put(conn, host_images, {"image": image, "host": host}, {}, keep=True)


def hosts_with(conn: Connection, image: str) -> frozenset[str]:
    """The hosts on which the image was fetched once."""
    query = sa.select(host_images.c.host).where(host_images.c.image == image)
    return frozenset(conn.execute(query).scalars())


def is_fetched(conn: Connection, image: str, host: str) -> bool:
    """Whether that is recorded."""
    query = sa.select(host_images.c.host).where(
        host_images.c.image == image, host_images.c.host == host
    )
    return conn.execute(query).first() is not None
