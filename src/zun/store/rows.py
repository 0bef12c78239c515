"""From a row to a frozen value, for tables whose columns are the value's fields."""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import fields
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.engine import Connection


def columns_of(table: sa.Table, value: type[Any]) -> list[sa.Column[Any]]:
    """The columns of `table` that are fields of the dataclass `value`, in the table's order."""
    names = {f.name for f in fields(value)}
    return [c for c in table.columns if c.name in names]


def names_of(columns: Sequence[sa.Column[Any]]) -> list[str]:
    """The names of `columns`, interned: as keywords of a call others are compared letter by letter with every
    parameter, which made a row into a value three times as slow."""
    return [sys.intern(str(column.name)) for column in columns]


def values_of(table: sa.Table, value: Any, *, but: frozenset[str] = frozenset()) -> dict[str, Any]:
    """A dict to insert: the fields of `value` that are columns of `table`, except `but`."""
    names = {c.name for c in table.columns} - but
    return {f.name: getattr(value, f.name) for f in fields(value) if f.name in names}


def put(
    conn: Connection,
    table: sa.Table,
    key: Mapping[str, Any],
    values: Mapping[str, Any],
    *,
    keep: bool = False,
) -> None:
    """Inserts the row of this primary key, or sets `values` in the one that is there (`keep`: leaves it as it is).

    One statement, in each database's own words: of two at once neither fails nor waits for ever.
    """
    row = {**key, **values}
    changes: dict[str, Any] = {name: table.c[name] for name in key} if keep else dict(values)
    if conn.dialect.name in ("mysql", "mariadb"):
        conn.execute(mysql.insert(table).values(row).on_duplicate_key_update(changes))
    elif conn.dialect.name == "postgresql":
        query = postgresql.insert(table).values(row)
        conn.execute(query.on_conflict_do_update(index_elements=list(key), set_=changes))
    else:
        other = sqlite.insert(table).values(row)
        conn.execute(other.on_conflict_do_update(index_elements=list(key), set_=changes))
