"""The schema's revisions, by Alembic: one way up, from empty or from any earlier revision."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
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
    # Asked by every health report: read directly, for Alembic's own way logs two lines each time.
    with database.read() as conn:
        if not sa.inspect(conn).has_table("alembic_version"):
            return None
        revision: str | None = conn.execute(
            sa.text("SELECT version_num FROM alembic_version")
        ).scalar()
        return revision


def head() -> str:
    """The newest revision this code knows."""
    config = Config()
    config.set_main_option("script_location", "zun.store:migrations")
    found = ScriptDirectory.from_config(config).get_current_head()
    assert found is not None
    return found
