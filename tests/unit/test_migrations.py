"""The migrations make the schema that the code believes in."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext

from zun.store import migrate, schema
from zun.store.database import Database


def test_migrations_make_what_the_schema_says(tmp_path: Path) -> None:
    db = Database(f"sqlite:///{tmp_path / 'zun.sqlite'}")
    migrate.upgrade(db)
    with db.read() as conn:
        context = MigrationContext.configure(conn, opts={"compare_type": True})
        assert compare_metadata(context, schema.metadata) == []
        keys = sa.inspect(conn).get_foreign_keys("containers")
    assert [key["referred_table"] for key in keys] == ["registries"]
    db.close()
