"""From a row to a frozen value, for tables whose columns are the value's fields."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import fields
from typing import Any, TypeVar

import sqlalchemy as sa
from sqlalchemy.dialects import mysql, postgresql, sqlite
from sqlalchemy.engine import Connection
from sqlalchemy.exc import IntegrityError

_MARIADB_DUPLICATE = 1062

#: How many values one statement is asked about: databases bound its parameters (SQLite at 999 in older builds).
_AT_ONCE = 500

_T = TypeVar("_T")


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


def slices(values: Sequence[_T]) -> Iterator[Sequence[_T]]:
    """`values` in parts, each few enough to be asked about in one statement; nothing where there are none."""
    for start in range(0, len(values), _AT_ONCE):
        yield values[start : start + _AT_ONCE]


def hold_row(conn: Connection, table: sa.Table, uuid: str) -> None:
    """Returns when nobody else writes to the row of this uuid; nobody does before this transaction ends.

    A statement of its own: MariaDB can't hold one table of a join alone.
    """
    if conn.dialect.name != "sqlite":  # which has one writer at a time
        conn.execute(sa.select(table.c.id).where(table.c.uuid == uuid).with_for_update())


def insert_new(
    conn: Connection, table: sa.Table, values: Mapping[str, Any], unique: Sequence[str]
) -> bool:
    """Inserts a row unless one has the same values in the columns `unique`; whether it did.

    An error would end the whole transaction in PostgreSQL, so that nothing could be looked at after it.
    """
    if conn.dialect.name in ("mysql", "mariadb"):
        try:
            conn.execute(table.insert(), dict(values))
        except IntegrityError as exc:
            if exc.orig is None or exc.orig.args[0] != _MARIADB_DUPLICATE:
                raise
            return False
        return True
    module = postgresql if conn.dialect.name == "postgresql" else sqlite
    query = module.insert(table).on_conflict_do_nothing(index_elements=list(unique))
    # By what comes back: the driver's count of inserted rows is -1 where ids are asked for.
    made = query.returning(table.c[unique[0]])
    return conn.execute(made, dict(values)).first() is not None


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
