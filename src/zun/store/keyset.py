"""Pages of a table by keyset: where the last page ended, not how many rows came before."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa


def page(
    query: sa.Select[Any],
    table: sa.Table,
    sort_key: str,
    after: Any,
    limit: int,
    *,
    descending: bool,
) -> sa.Select[Any]:
    """`query` for the rows that follow the value `after` (None = from the start) in the order of (`sort_key`, id).

    NULLs come first ascending and last descending, on every database.
    """
    column, ids = table.c[sort_key], table.c.id
    if after is not None:
        last = getattr(after, sort_key)
        query = query.where(_follows(column, ids, last, after.id, descending))
    ranks = [] if not column.nullable else [sa.case((column.is_(None), 0), else_=1)]
    keys = [*ranks, column] if sort_key == "id" else [*ranks, column, ids]
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
    if descending:
        return tie | (column < value) | column.is_(None)
    return tie | (column > value)
