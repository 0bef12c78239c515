"""The schema's revisions, by Alembic: one way up, from empty or from any earlier revision."""

from __future__ import annotations

from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from zun.store.database import Database


def _config(database: Database) -> Config:
    config = Config()
    config.set_main_option("script_location", "zun.store:migrations")
    config.attributes["engine"] = database.engine
    return config


def upgrade(database: Database, revision: str = "head") -> None:
    """Brings the schema to `revision`; does nothing if it is there already."""
    command.upgrade(_config(database), revision)


def current(database: Database) -> str | None:
    """The revision the schema is at, or None if it is empty."""
    with database.engine.connect() as conn:
        return MigrationContext.configure(conn).get_current_revision()


def head() -> str:
    """The newest revision this code knows."""
    config = Config()
    config.set_main_option("script_location", "zun.store:migrations")
    found = ScriptDirectory.from_config(config).get_current_head()
    assert found is not None
    return found
