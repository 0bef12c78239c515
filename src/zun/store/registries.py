"""SQL on private registries."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

from zun.model.registry import SORT_KEYS, Registry
from zun.store import keyset
from zun.store.rows import columns_of, values_of
from zun.store.schema import registries

_COLUMNS = columns_of(registries, Registry)
_SELECT = sa.select(*_COLUMNS)
_NO_ID = frozenset({"id"})


class InUse(Exception):
    """A container refers to the registry."""


def _value(row: Any) -> Registry:
    return Registry(**row._mapping)


def insert(conn: Connection, registry: Registry) -> None:
    """Adds the row."""
    conn.execute(registries.insert().values(**values_of(registries, registry, but=_NO_ID)))


def get(conn: Connection, uuid: str, *, hold: bool = False) -> Registry | None:
    """The registry of this uuid, or None. `hold`: it can't be removed before this transaction ends."""
    query = _SELECT.where(registries.c.uuid == uuid)
    row = conn.execute(query.with_for_update(read=True) if hold else query).first()
    return None if row is None else _value(row)


def find(conn: Connection, name: str, project_id: str | None, most: int = 2) -> list[Registry]:
    """Registries of exactly this name, in the project (None = in all), at most `most`."""
    query = _SELECT.where(registries.c.name == name).order_by(registries.c.id).limit(most)
    if project_id is not None:
        query = query.where(registries.c.project_id == project_id)
    return [_value(row) for row in conn.execute(query)]


def at(conn: Connection, project_id: str, domains: Collection[str]) -> list[Registry]:
    """The project's registries of these domains, whatever path follows."""
    mine = [
        (registries.c.domain == domain)
        | registries.c.domain.startswith(f"{domain}/", autoescape=True)
        for domain in sorted(domains)
    ]
    query = _SELECT.where(registries.c.project_id == project_id, sa.or_(*mine))
    return [_value(row) for row in conn.execute(query.order_by(registries.c.id))]


def page(
    conn: Connection,
    *,
    project_id: str | None,
    filters: Mapping[str, Any],
    limit: int,
    after: Registry | None,
    sort_key: str,
    descending: bool,
) -> Sequence[Registry]:
    """One page by keyset: the rows that follow `after` in the order of (`sort_key`, id)."""
    assert sort_key in SORT_KEYS
    query, equal = _SELECT, []
    if project_id is not None:
        query, equal = query.where(registries.c.project_id == project_id), [registries.c.project_id]
    for key, wanted in filters.items():
        query = query.where(registries.c[key] == wanted)
        equal.append(registries.c[key])
    found = keyset.page(
        conn,
        query,
        registries.c[sort_key],
        registries.c.id,
        after=None if after is None else (getattr(after, sort_key), after.id),
        descending=descending,
        limit=limit,
        equal=equal,
    )
    return [_value(row) for row in found]


def update(conn: Connection, uuid: str, now: datetime, **changes: Any) -> bool:
    """Sets columns; whether the row is there."""
    query = registries.update().where(registries.c.uuid == uuid)
    return conn.execute(query.values(updated_at=now, **changes)).rowcount == 1


def delete(conn: Connection, uuid: str) -> None:
    """Removes the row, if it is there. Raises InUse, which the database itself makes sure of."""
    try:
        conn.execute(registries.delete().where(registries.c.uuid == uuid))
    except IntegrityError as exc:
        raise InUse from exc


def sealed(conn: Connection) -> Sequence[tuple[str, str]]:
    """(uuid, sealed password) of all registries that have one."""
    query = sa.select(registries.c.uuid, registries.c.password)
    rows = conn.execute(query.where(registries.c.password.is_not(None)).order_by(registries.c.id))
    return [(uuid, token) for uuid, token in rows]


def reseal(conn: Connection, uuid: str, old: str, new: str) -> bool:
    """Replaces a sealed password that is still `old`; whether it was."""
    mine = (registries.c.uuid == uuid) & (registries.c.password == old)
    return conn.execute(registries.update().where(mine).values(password=new)).rowcount == 1
