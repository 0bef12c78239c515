"""Pages by keyset: the rows that follow the last one seen, in the order of (a column, id); flat at any depth."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa


def page(
    query: sa.Select[Any],
    column: sa.Column[Any],
    ids: sa.Column[Any],
    *,
    after: tuple[Any, int] | None,
    descending: bool,
    limit: int,
) -> sa.Select[Any]:
    """`query` cut to the page after the row that has (`column`, `ids`) = `after`.

    NULLs come first ascending and last descending, on every database.
    """
    if after is not None:
        query = query.where(_follows(column, ids, *after, descending))
    ranks = [] if not column.nullable else [sa.case((column.is_(None), 0), else_=1)]
    keys = [*ranks, column] if column is ids else [*ranks, column, ids]
    return query.order_by(*(k.desc() if descending else k.asc() for k in keys)).limit(limit)


def _follows(
    column: sa.Column[Any], ids: sa.Column[Any], last: Any, last_id: int, descending: bool
) -> Any:
    later_id = ids < last_id if descending else ids > last_id
    if column is ids:
        return later_id
    # Bound with the column's type: SQLAlchemy orders no bare booleans.
    value = sa.literal(last, column.type)
    tie = (column.is_(None) if last is None else column == value) & later_id
    if last is None:
        return tie if descending else tie | column.is_not(None)
    # The first condition follows from the second: it is what an index of a server can be entered by.
    if not descending:
        return (column >= value) & (tie | (column > value))
    if column.nullable:
        return tie | (column < value) | column.is_(None)
    return (column <= value) & (tie | (column < value))
