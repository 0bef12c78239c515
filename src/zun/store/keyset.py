"""Pages by keyset: the rows that follow the last one seen, in the order of (a column, id); flat at any depth."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row


def page(
    conn: Connection,
    query: sa.Select[Any],
    column: sa.Column[Any],
    ids: sa.Column[Any],
    *,
    after: tuple[Any, int] | None,
    descending: bool,
    limit: int,
    equal: Sequence[sa.Column[Any]] | None,
) -> list[Row[Any]]:
    """The rows of `query` after the one that has (`column`, `ids`) = `after`, at most `limit`.

    NULLs come first ascending and last descending, on every database. Read piece by piece, each a range of one index
    whatever the database: an "or" of them, or a comparison of pairs, makes some read all rows that are equal.

    `equal`: the columns that have one value each in `query`, which otherwise is read in its order; None: it may have
    a quicker way to its rows.
    """
    found: list[Row[Any]] = []
    if equal is not None:
        column = ids if column in equal else column
        keys = [column] if _tells_apart(column) else [column, ids]
        query = _by_index(query, [*equal, *keys])
    for piece, order in _pieces(column, ids, after, descending):
        part = query if piece is None else query.where(piece)
        ordered = [key.desc() if descending else key.asc() for key in order]
        found += conn.execute(part.order_by(*ordered).limit(limit - len(found))).all()
        if len(found) == limit:
            break
    return found


def _by_index(query: sa.Select[Any], columns: Sequence[sa.Column[Any]]) -> sa.Select[Any]:
    """With the index of these columns named to MariaDB, if there is one.

    Left to itself it looks an equal value up in it, and reads all rows before the page, rather than begin there.
    """
    name, table = _index_of(tuple(columns)), columns[0].table
    if name is None:
        return query
    hint = f"FORCE INDEX ({name})"
    return query.with_hint(table, hint, "mysql").with_hint(table, hint, "mariadb")


@cache
def _index_of(columns: tuple[sa.Column[Any], ...]) -> str | None:
    names, table = [column.name for column in columns], columns[0].table
    assert isinstance(table, sa.Table)
    for index in (*table.indexes, *table.constraints):
        if isinstance(index, sa.Index | sa.UniqueConstraint) and index.columns.keys() == names:
            return str(index.name)
    return None


Piece = tuple[sa.ColumnElement[bool] | None, list[sa.Column[Any]]]


def _pieces(
    column: sa.Column[Any], ids: sa.Column[Any], after: tuple[Any, int] | None, descending: bool
) -> Iterator[Piece]:
    """What follows `after`, in order: a condition, None where there is none, and what is ordered by."""
    nulls, values = (column.is_(None), [ids]), (column.is_not(None), [column, ids])
    if _tells_apart(column):
        last = None if after is None else after[1 if column is ids else 0]
        yield None if last is None else _beyond(column, last, descending), [column]
    elif after is None:
        if not column.nullable:
            yield None, [column, ids]
        else:
            yield from (values, nulls) if descending else (nulls, values)
    else:
        last, last_id = after
        yield _equal(column, last) & _beyond(ids, last_id, descending), [ids]
        if last is not None:
            yield _beyond(column, last, descending), [column, ids]
            if column.nullable and descending:
                yield nulls
        elif not descending:
            yield values


def _tells_apart(column: sa.Column[Any]) -> bool:
    return column.primary_key or bool(column.unique and not column.nullable)


def _equal(column: sa.Column[Any], value: Any) -> sa.ColumnElement[bool]:
    return column.is_(None) if value is None else column == value


def _beyond(column: sa.Column[Any], value: Any, descending: bool) -> sa.ColumnElement[bool]:
    # Bound with the column's type: SQLAlchemy orders no bare booleans.
    bound = sa.literal(value, column.type)
    return column < bound if descending else column > bound
