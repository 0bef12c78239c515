"""`zun-db-manage` on each database: what it does, what it says, and what it makes of a database that is not there."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.support import databases
from tests.support.rows import container, operation

from zun import conf
from zun.cmd import db_manage
from zun.cmd.arguments import CannotServe
from zun.cmd.database import connect
from zun.model.operation import EventKind, OperationState
from zun.store import containers, history, inspection, migrate, operations, schema
from zun.store.database import Database
from zun.work.clock import utcnow

pytestmark = pytest.mark.databases

OLD, YOUNG = timedelta(days=40), timedelta(days=10)

Manage = Callable[..., int]


def _config(folder: Path, url: str, more: str = "") -> Path:
    path = folder / "zun.conf"
    path.write_text(
        f"[database]\nconnection = {url}\nmax_retries = 1\nretry_interval = 0.1\n{more}"
    )
    return path


@pytest.fixture
def manage(folder: Path) -> Manage:
    """The command, with the database of `folder` configured."""
    path = _config(folder, databases.url_in(folder))
    return lambda *words: db_manage.main(["--config-file", str(path), *words])


def _fill(db: Database) -> None:
    """An operation that ended and an event, old and young, and one operation that has been open for long."""
    now = utcnow()
    with db.write() as conn:
        for age in (OLD, YOUNG):
            ended = operation(state=OperationState.PENDING, created_at=now - age)
            operations.open_(conn, ended)
            known = operations.get(conn, ended.uuid)
            assert known is not None
            operations.close(conn, known, OperationState.DONE, now - age, None)
        still = operation(created_at=now - OLD)
        operations.open_(conn, still)
        containers.insert(conn, container(created_at=now - OLD))


def _left(db: Database) -> tuple[int, int, int]:
    with db.read() as conn:
        return tuple(  # type: ignore[return-value]
            conn.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
            for table in (schema.operations, schema.events, schema.containers)
        )


def test_purge_counts_then_removes_what_is_old(
    db: Database, manage: Manage, capsys: pytest.CaptureFixture[str]
) -> None:
    _fill(db)
    assert manage("purge", "30", "--dry-run") == 0
    said = capsys.readouterr().out
    assert "operations: 1 would be removed" in said and "events: 2 would be removed" in said
    assert _left(db) == (3, 3, 1)
    assert manage("purge", "30", "--batch", "1") == 0
    assert "operations: 1 removed" in capsys.readouterr().out
    assert _left(db) == (2, 1, 1)
    assert manage("purge", "30") == 0
    assert "operations: 0 removed" in capsys.readouterr().out
    with db.read() as conn:
        assert (
            conn.execute(sa.select(schema.operations.c.open_key)).scalars().all().count(None) == 1
        )


def test_each_batch_is_a_transaction_of_its_own(db: Database) -> None:
    now = utcnow()
    with db.write() as conn:
        for _ in range(25):
            operations.tell(conn, operation(), EventKind.PROGRESS, now - OLD)
    removed = []
    while not removed or removed[-1]:
        with db.write() as conn:
            removed.append(history.remove(conn, "events", now, 10))
    assert removed == [10, 10, 5, 0]


@pytest.mark.parametrize("kind_of_history", history.KINDS)
def test_every_kind_of_history_can_be_counted_and_removed(
    db: Database, kind_of_history: str
) -> None:
    with db.write() as conn:
        assert history.count(conn, kind_of_history, utcnow()) == 0
        assert history.remove(conn, kind_of_history, utcnow(), 10) == 0


def test_version_check_and_upgrade(
    db: Database, manage: Manage, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert manage("version") == 0
    assert capsys.readouterr().out == f"{migrate.head()} (newest: {migrate.head()})\n"
    assert manage("check") == 0
    name = {"sqlite": "SQLite", "mariadb": "MariaDB", "postgresql": "PostgreSQL"}[kind]
    said = capsys.readouterr().out
    assert said.startswith(f"{name} ") and said.endswith("nothing is wrong\n")
    assert manage("upgrade") == 0


@pytest.mark.databases(*databases.SERVERS)
def test_check_finds_an_old_schema_and_text_that_is_not_compared_by_bytes(
    tmp_path: Path, kind: str, request: pytest.FixtureRequest, capsys: pytest.CaptureFixture[str]
) -> None:
    url = request.getfixturevalue("servers").get(kind).empty()
    words = ["--config-file", str(_config(tmp_path, url)), "check"]
    assert db_manage.main(words) == 1
    assert "the database is empty: run zun-db-manage upgrade" in capsys.readouterr().out
    db = Database(url)
    migrate.upgrade(db, "0001")
    assert db_manage.main(words) == 1
    assert f"the schema is at 0001, not at {migrate.head()}" in capsys.readouterr().out
    migrate.upgrade(db)
    other = {
        "mariadb": "ALTER TABLE quotas CONVERT TO CHARACTER SET utf8mb4 COLLATE utf8mb4_general_ci",
        "postgresql": 'ALTER TABLE quotas ALTER COLUMN project_id TYPE varchar(255) COLLATE "en-x-icu"',
    }[kind]
    with db.engine.begin() as conn:
        conn.exec_driver_sql(other)
    assert db_manage.main(words) == 1
    assert "quotas.project_id" in capsys.readouterr().out
    db.close()


@pytest.mark.databases(databases.MARIADB)
def test_check_finds_ids_that_leave_gaps(db: Database) -> None:
    with db.engine.connect() as conn:
        conn.exec_driver_sql("SET SESSION auto_increment_increment = 3")
        conn.commit()
        [found] = inspection._of_mariadb(conn)
        conn.invalidate()
    assert "auto_increment_increment is 3" in found


@pytest.mark.databases(databases.SQLITE)
@pytest.mark.parametrize(
    ("url", "cause"),
    [
        ("mysql+mysqldb://u:secret@localhost/zun?unix_socket=/nowhere", "does not answer"),
        ("postgresql+psycopg://u:secret@127.0.0.1:1/zun", "does not answer"),
        ("mysql+nodriver://u:secret@h/zun", "no URL that can be used"),
        ("mysql+mysqldb://u:sec:ret@h:x/zun", "no URL that can be used"),
        ("mysql+aiomysql://u:secret@h/zun", "the driver aiomysql is not installed"),
        ("nonsense", "no URL that can be used"),
    ],
)
def test_a_database_that_cannot_be_used_is_explained(
    tmp_path: Path, url: str, cause: str, capsys: pytest.CaptureFixture[str], kind: str
) -> None:
    assert db_manage.main(["--config-file", str(_config(tmp_path, url)), "version"]) == 1
    said = capsys.readouterr().err
    assert cause in said
    assert "secret" not in said and "sec:ret" not in said and "Traceback" not in said


@pytest.mark.databases(databases.SQLITE)
def test_the_options_reach_the_pool(tmp_path: Path, kind: str) -> None:
    more = "max_pool_size = 3\nmax_overflow = 1\npool_timeout = 1\n"
    path = _config(tmp_path, f"sqlite:///{tmp_path / 'x.sqlite'}", more)
    db = connect(conf.load([path]))
    held = [db.engine.connect() for _ in range(4)]
    with pytest.raises(sa.exc.TimeoutError):
        db.engine.connect()
    for conn in held:
        conn.close()
    db.close()
    with pytest.raises(CannotServe, match="does not answer"):
        connect(conf.load([_config(tmp_path, f"sqlite:///{tmp_path}/no/such/x.sqlite")]))


@pytest.mark.databases(databases.SQLITE)
@pytest.mark.parametrize(
    "words", [["purge", "0"], ["purge", "x"], ["purge"], ["purge", "9", "--batch", "0"]]
)
def test_nonsense_is_refused(manage: Manage, words: list[str], kind: str) -> None:
    with pytest.raises(SystemExit) as caught:
        manage(*words)
    assert caught.value.code == 2
