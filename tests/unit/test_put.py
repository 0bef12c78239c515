"""An upsert in the words of each database."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy.dialects import mysql, postgresql, sqlite

from zun.store.rows import put
from zun.store.schema import project_usage, quotas

KEY = {"project_id": "p", "resource": "cpu"}


def _said(dialect: Any, *args: Any, **kwargs: Any) -> str:
    said: list[str] = []
    conn: Any = SimpleNamespace(
        dialect=dialect, execute=lambda query: said.append(str(query.compile(dialect=dialect)))
    )
    put(conn, *args, **kwargs)
    (text,) = said
    return " ".join(text.split())


@pytest.mark.parametrize("dialect", [postgresql.dialect(), sqlite.dialect()])
def test_on_conflict(dialect: Any) -> None:
    text = _said(dialect, quotas, KEY, {"hard_limit": 1})
    assert "ON CONFLICT (project_id, resource) DO UPDATE SET hard_limit" in text
    kept = _said(dialect, project_usage, {"project_id": "p"}, {"containers": 0}, keep=True)
    assert kept.endswith("DO UPDATE SET project_id = project_usage.project_id")


def test_on_duplicate_key() -> None:
    text = _said(mysql.dialect(), quotas, KEY, {"hard_limit": 1})
    assert "ON DUPLICATE KEY UPDATE hard_limit = %s" in text
    kept = _said(mysql.dialect(), project_usage, {"project_id": "p"}, {"containers": 0}, keep=True)
    assert kept.endswith("ON DUPLICATE KEY UPDATE project_id = project_usage.project_id")
