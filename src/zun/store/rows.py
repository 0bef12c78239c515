"""From a row to a frozen value, for tables whose columns are the value's fields."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

import sqlalchemy as sa


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
