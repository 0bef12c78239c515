"""The schema's revisions, by Alembic: one way up, from empty or from any earlier revision."""

from __future__ import annotations

import pkgutil

import sqlalchemy as sa

from zun.store.database import Database
from zun.store.errors import Unsuitable
from zun.store.migrations import versions

#: The newest of `migrations/versions`; a test holds it against what Alembic finds there.
_HEAD = "0010"


def upgrade(database: Database, revision: str = "head") -> None:
    """Brings the schema to `revision`; does nothing if it is there already. Raises Unsuitable."""
    if revision == "head" and current(database) == _HEAD:
        return
    _refuse_mysql(database)
    # Only now: Alembic and what it brings take 0.1 s and 10 MiB, at every start.
    from alembic import command
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", "zun.store:migrations")
    config.attributes["engine"] = database.engine
    command.upgrade(config, revision)


def _refuse_mysql(database: Database) -> None:
    with database.read() as conn:  # only then it is known
        mysql = conn.dialect.name == "mysql" and not getattr(conn.dialect, "is_mariadb", False)
    if mysql:
        raise Unsuitable("this is MySQL, which lacks a collation that the tables need: use MariaDB")


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


def missing(database: Database) -> str | None:
    """What is wrong with the schema for this code, in words; None if nothing is.

    A newer schema - at a revision that this code does not know - is not wrong: revisions only add, so that two releases
    can run beside each other.
    """
    at = current(database)
    if at is None:
        return "the database is empty"
    behind = at != _HEAD and at in _known()
    return f"the schema is at {at}, not at {_HEAD}" if behind else None


def _known() -> set[str]:
    """The revisions of `migrations/versions`, by the names of their modules."""
    return {module.name[1:5] for module in pkgutil.iter_modules(versions.__path__)}


def head() -> str:
    """The newest revision this code knows."""
    return _HEAD
