"""The revisions make exactly the tables the code knows, from empty and from every revision."""

from __future__ import annotations

from pathlib import Path

import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from zun.store import migrate, schema
from zun.store.database import Database


def _database(folder: Path) -> Database:
    return Database(f"sqlite:///{folder / 'm.sqlite'}")


def _revisions() -> list[str]:
    config = Config()
    config.set_main_option("script_location", "zun.store:migrations")
    return [r.revision for r in ScriptDirectory.from_config(config).walk_revisions()][::-1]


def test_upgrade_from_empty_gives_the_tables_of_the_code(tmp_path: Path) -> None:
    db = _database(tmp_path)
    assert migrate.current(db) is None
    migrate.upgrade(db)
    with db.engine.connect() as conn:
        context = MigrationContext.configure(conn, opts={"compare_type": True})
        assert compare_metadata(context, schema.metadata) == []
        _checks_are_those_of_the_code(conn)
    assert migrate.current(db) == migrate.head()
    db.close()


def _checks_are_those_of_the_code(conn: sa.Connection) -> None:
    # Alembic compares no CHECK constraints: the statuses the database allows are those of the state machine.
    for table in schema.metadata.sorted_tables:
        wanted = {
            str(c.sqltext) for c in table.constraints if isinstance(c, sa.CheckConstraint)
        }  # fmt: skip
        found = {c["sqltext"] for c in sa.inspect(conn).get_check_constraints(table.name)}
        assert found == wanted, table.name


def test_upgrading_twice_changes_nothing(tmp_path: Path) -> None:
    db = _database(tmp_path)
    migrate.upgrade(db)
    with db.engine.connect() as conn:
        before = conn.execute(sa.text("SELECT name, sql FROM sqlite_master ORDER BY 1")).all()
    migrate.upgrade(db)
    with db.engine.connect() as conn:
        assert (
            conn.execute(sa.text("SELECT name, sql FROM sqlite_master ORDER BY 1")).all() == before
        )
    db.close()


def test_every_revision_can_be_stopped_at_and_gone_on_from(tmp_path: Path) -> None:
    db = _database(tmp_path)
    for revision in _revisions():
        migrate.upgrade(db, revision)
        assert migrate.current(db) == revision
    assert migrate.current(db) == migrate.head()
    db.close()
