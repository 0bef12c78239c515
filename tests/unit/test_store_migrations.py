"""The revisions make exactly the tables the code knows, on each database, from empty and from every revision.

They only expand: the release before goes on working on the tables of this one, so that processes of both run at once.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from tests.support import databases
from tests.support.rows import NOW, container, host, operation

from zun.store import containers, hosts, inspection, migrate, operations, schema
from zun.store.database import Database
from zun.store.errors import Unsuitable

pytestmark = pytest.mark.databases


def _revisions() -> list[str]:
    config = Config()
    config.set_main_option("script_location", "zun.store:migrations")
    return [r.revision for r in ScriptDirectory.from_config(config).walk_revisions()][::-1]


@pytest.fixture
def empty(tmp_path: Path, kind: str, request: pytest.FixtureRequest) -> Iterator[Database]:
    """A database without tables."""
    url = f"sqlite:///{tmp_path / 'm.sqlite'}"
    if kind != databases.SQLITE:
        url = request.getfixturevalue("servers").get(kind).empty()
    database = Database(url)
    yield database
    database.close()


def _is_that_of_the_code(db: Database) -> None:
    with db.engine.connect() as conn:
        context = MigrationContext.configure(conn, opts={"compare_type": True})
        assert compare_metadata(context, schema.metadata) == []
        # Alembic compares neither CHECK constraints nor collations.
        for table in schema.metadata.sorted_tables:
            wanted = {
                _words(str(c.sqltext))
                for c in table.constraints
                if isinstance(c, sa.CheckConstraint)
            }
            checks = sa.inspect(conn).get_check_constraints(table.name)
            assert {_words(c["sqltext"]) for c in checks} == wanted, table.name
        assert inspection.not_by_bytes(conn) == []
    assert migrate.current(db) == migrate.head() == _revisions()[-1]


def _words(condition: str) -> tuple[str, frozenset[str]]:
    """The column and the values of `column IN (...)`, in whatever words a database keeps it."""
    return re.findall(r"\w+", condition)[0], frozenset(re.findall(r"'(\w+)'", condition))


def test_upgrade_from_empty_gives_the_tables_of_the_code(empty: Database) -> None:
    assert migrate.current(empty) is None
    migrate.upgrade(empty)
    _is_that_of_the_code(empty)


@pytest.mark.parametrize("revision", _revisions()[:-1])
def test_upgrade_from_any_revision_keeps_the_rows(empty: Database, revision: str) -> None:
    migrate.upgrade(empty, revision)
    assert migrate.current(empty) == revision
    # The values of a column's own type survive what the later revisions do to it.
    one, busy, place = container(), operation(), host(hostname="h")
    with empty.write() as conn:
        known = {name: _columns(conn, name) for name in ("containers", "operations", "hosts")}
        for table, row in (
            (schema.containers, containers.values_of(schema.containers, one)),
            (schema.operations, operations.values_of(schema.operations, busy)),
        ):
            values = {k: v for k, v in row.items() if k in known[table.name] and k != "id"}
            conn.execute(table.insert().inline(), values)
    migrate.upgrade(empty)
    _is_that_of_the_code(empty)
    with empty.write() as conn:
        found = containers.get(conn, one.uuid)
        assert found is not None and (found.created_at, found.cpu) == (one.created_at, one.cpu)
        again = operations.get(conn, busy.uuid)
        assert again is not None and again.deadline == busy.deadline
        assert hosts.register(conn, place, NOW) == 1


def test_every_revision_can_be_stopped_at_and_gone_on_from(empty: Database) -> None:
    for revision in _revisions():
        migrate.upgrade(empty, revision)
        assert migrate.current(empty) == revision
    migrate.upgrade(empty)
    _is_that_of_the_code(empty)


@pytest.mark.databases(
    *databases.SERVERS
)  # a file belongs to one service, which upgrades it before it serves
def test_two_upgrades_at_once_are_one(empty: Database) -> None:
    program = "import sys; from zun.store import database, migrate; migrate.upgrade(database.Database(sys.argv[1]))"
    started = [subprocess.Popen([sys.executable, "-c", program, empty.url]) for _ in range(2)]
    assert [process.wait(60) for process in started] == [0, 0]
    _is_that_of_the_code(empty)


@pytest.mark.databases(databases.MARIADB)
def test_mysql_is_refused(empty: Database) -> None:
    with empty.read() as conn:
        conn.dialect.is_mariadb = False  # type: ignore[attr-defined]
    with pytest.raises(Unsuitable, match="MariaDB"):
        migrate.upgrade(empty)
    assert migrate.current(empty) is None


# ---- only expand


@dataclass(frozen=True)
class Shape:
    """What the code before relies on in a table."""

    columns: Mapping[str, bool]  # name -> whether an insert must name it
    unique: frozenset[frozenset[str]]


def _columns(conn: sa.Connection, table: str) -> Mapping[str, bool]:
    return {
        str(c["name"]): not c["nullable"] and c["default"] is None
        for c in sa.inspect(conn).get_columns(table)
    }


def _shape(db: Database) -> Mapping[str, Shape]:
    with db.read() as conn:
        inspector = sa.inspect(conn)
        found = {}
        for table in inspector.get_table_names():
            keys = [inspector.get_pk_constraint(table)["constrained_columns"]]
            keys += [c["column_names"] for c in inspector.get_unique_constraints(table)]
            found[table] = Shape(_columns(conn, table), frozenset(frozenset(k) for k in keys))
    return found


def breaches(before: Mapping[str, Shape], after: Mapping[str, Shape]) -> list[str]:
    """What of `after` the code that knows `before` could not live with."""
    found = []
    for table, old in before.items():
        new = after.get(table)
        if new is None:
            found.append(f"{table} is gone")
            continue
        found += [f"{table}.{c} is gone" for c in old.columns if c not in new.columns]
        for column, needed in new.columns.items():
            if needed and not old.columns.get(column, False):
                found.append(f"{table}.{column} must be given")
        found += [
            f"{table}: {sorted(key)} must be unique"
            for key in new.unique - old.unique
            if key & old.columns.keys()
        ]
        found += [f"{table}: {sorted(key)} is unique no more" for key in old.unique - new.unique]
    return found


def test_revisions_only_expand(empty: Database) -> None:
    before: Mapping[str, Shape] = {}
    for revision in _revisions():
        migrate.upgrade(empty, revision)
        after = _shape(empty)
        assert breaches(before, after) == [], revision
        before = after


def test_the_test_can_tell_a_breach() -> None:
    old = {"t": Shape({"id": True, "a": True, "b": False}, frozenset({frozenset({"id"})}))}
    wider = {
        "t": Shape({**old["t"].columns, "c": False}, old["t"].unique),
        "u": Shape({"id": True}, frozenset()),
    }
    assert breaches(old, wider) == []
    other = Shape(
        {"id": True, "b": True, "c": True}, frozenset({frozenset({"id"}), frozenset({"b"})})
    )
    assert breaches(old, {"t": other}) == [
        "t.a is gone",
        "t.b must be given",
        "t.c must be given",
        "t: ['b'] must be unique",
    ]
    assert breaches(old, {}) == ["t is gone"]
