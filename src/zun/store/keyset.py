"""Pages by keyset: the rows that follow the last one seen, in the order of (a column, id); flat at any depth."""

from __future__ import annotations

from collections.abc import Iterator
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
) -> list[Row[Any]]:
    """The rows of `query` after the one that has (`column`, `ids`) = `after`, at most `limit`.

    NULLs come first ascending and last descending, on every database. Read piece by piece, each a range of one index
    whatever the database: an "or" of them, or a comparison of pairs, makes some read all rows that are equal.
    """
    found: list[Row[Any]] = []
    for piece, order in _pieces(column, ids, after, descending):
        part = query if piece is None else query.where(piece)
        keys = [key.desc() if descending else key.asc() for key in order]
        found += conn.execute(part.order_by(*keys).limit(limit - len(found))).all()
        if len(found) == limit:
            break
    return found


Piece = tuple[sa.ColumnElement[bool] | None, list[sa.Column[Any]]]


def _pieces(
    column: sa.Column[Any], ids: sa.Column[Any], after: tuple[Any, int] | None, descending: bool
) -> Iterator[Piece]:
    """What follows `after`, in order: a condition, None where there is none, and what is ordered by."""
    nulls, values = (column.is_(None), [ids]), (column.is_not(None), [column, ids])
    if column is ids:
        yield None if after is None else _beyond(ids, after[1], descending), [ids]
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


def _equal(column: sa.Column[Any], value: Any) -> sa.ColumnElement[bool]:
    return column.is_(None) if value is None else column == value


def _beyond(column: sa.Column[Any], value: Any, descending: bool) -> sa.ColumnElement[bool]:
    # Bound with the column's type: SQLAlchemy orders no bare booleans.
    bound = sa.literal(value, column.type)
    return column < bound if descending else column > bound
