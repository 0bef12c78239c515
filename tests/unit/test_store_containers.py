"""Lists by keyset, filters, compare-and-set of the observer, and what JSON columns keep."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.house import OTHER_PROJECT, PROJECT
from tests.support.rows import NOW, container, operation

from zun.model.container import FILTERS, SORT_KEYS, Container
from zun.model.lifecycle import Action, Status
from zun.model.operation import OperationState
from zun.store import containers, migrate, operations, schema
from zun.store.database import Database

pytestmark = pytest.mark.databases

PAGED = settings(max_examples=20, deadline=None)

# Few values, so that ties are the rule.
_TEXT = st.sampled_from(["a", "B", "b", "é", "", "zz"])
_MAYBE = st.one_of(st.none(), _TEXT)
_WHEN = st.sampled_from([NOW, NOW + timedelta(microseconds=1), NOW - timedelta(days=400)])
_ROWS = st.lists(
    st.fixed_dictionaries(
        {
            "name": _TEXT,
            "project_id": st.sampled_from([PROJECT, OTHER_PROJECT]),
            "user_id": _TEXT,
            "image": _TEXT,
            "image_driver": _TEXT,
            "status": st.sampled_from(Status),
            "cpu": st.sampled_from([0.1, 0.2, 0.1 + 0.2, 1.0]),
            "memory": st.sampled_from([4, 64, 8192]),
            "disk": st.sampled_from([0, 10]),
            "host": _MAYBE,
            "hostname": _MAYBE,
            "runtime": _MAYBE,
            "auto_remove": st.booleans(),
            "created_at": _WHEN,
            "updated_at": st.one_of(st.none(), _WHEN),
            "started_at": st.one_of(st.none(), _WHEN),
        }
    ),
    max_size=12,
)


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    """One database for all examples; each begins by emptying it."""
    database = Database(f"sqlite:///{Path(tmp_path_factory.mktemp('paging')) / 'zun.sqlite'}")
    migrate.upgrade(database)
    yield database
    database.close()


def _fill(database: Database, rows: list[dict[str, Any]]) -> list[Any]:
    with database.write() as conn:
        conn.execute(schema.containers.delete())
        for row in rows:
            containers.insert(conn, container(**row))
    with database.read() as conn:
        return [c for c in _walk(conn, 1000, "id", False)]


def _walk(
    conn: sa.Connection, size: int, key: str, descending: bool, **given: Any
) -> Iterator[Any]:
    after: Any = None
    while True:
        page = containers.page(
            conn, project_id=given.get("project_id"), filters=given.get("filters", {}), limit=size,
            after=after, sort_key=key, descending=descending,
        )  # fmt: skip
        assert len(page) <= size
        yield from page
        if len(page) < size:
            return
        after = containers.get(conn, page[-1].uuid)


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("key", SORT_KEYS)
def test_pages_put_together_are_the_whole_sorted_list(
    shared: Database, key: str, descending: bool
) -> None:
    @PAGED
    @given(_ROWS, st.integers(1, 5), st.sampled_from([None, PROJECT]))
    def holds(rows: list[dict[str, Any]], size: int, project: str | None) -> None:
        everything = _fill(shared, rows)
        assert len(everything) == len(rows)
        mine = [c for c in everything if project in (None, c.project_id)]
        # NULLs first ascending, last descending, whatever the database; ties by id.
        expected = sorted(
            mine,
            key=lambda c: (
                (getattr(c, key) is not None, getattr(c, key), c.id)
                if getattr(c, key) is not None
                else (False, c.id)
            ),
            reverse=descending,
        )
        with shared.read() as conn:
            walked = list(_walk(conn, size, key, descending, project_id=project))
        assert [c.id for c in walked] == [c.id for c in expected]

    holds()


@pytest.mark.parametrize("key", [f for f in FILTERS if f != "task_state"])
def test_each_filter_selects_exactly_what_equals_it(shared: Database, key: str) -> None:
    @PAGED
    @given(_ROWS, st.data())
    def holds(rows: list[dict[str, Any]], data: st.DataObject) -> None:
        everything = _fill(shared, rows)
        values = [getattr(c, key) for c in everything if getattr(c, key) is not None]
        wanted = data.draw(st.sampled_from(values)) if values else "nothing"
        with shared.read() as conn:
            found = list(_walk(conn, 2, "id", False, filters={key: wanted}))
        assert [c.id for c in found] == [c.id for c in everything if getattr(c, key) == wanted]

    holds()


def test_filter_by_task_state(db: Database) -> None:
    idle, waiting, begun, stopping = (container() for _ in range(4))
    with db.write() as conn:
        for one in (idle, waiting, begun, stopping):
            containers.insert(conn, one)
        operations.open_(conn, operation(container_uuid=waiting.uuid))
        operations.open_(conn, operation(container_uuid=begun.uuid, begun=True))
        operations.open_(
            conn, operation(container_uuid=stopping.uuid, action=Action.STOP, steps=["x"])
        )

    def having(task: str) -> list[str]:
        with db.read() as conn:
            return [c.uuid for c in _walk(conn, 10, "id", False, filters={"task_state": task})]

    assert having("container_creating") == [begun.uuid]
    assert having("container_stopping") == [stopping.uuid]
    assert having("container_pausing") == []
    assert having("nonsense") == []


def test_a_container_comes_back_as_it_was_put_in(db: Database) -> None:
    odd = {"\u043a\u043b": "\u2028\u0437\U0001f40b", 'q"uote\\': "line\nbreak", "": "empty"}
    one = container(
        environment=odd,
        labels=odd,
        command=["sh", "-c", "echo '\u0436' \x01 \U0001f40b"],
        entrypoint=[],
        addresses={"net": [{"addr": "10.0.0.2", "version": 4}]},
        healthcheck={"test": "\u03b1", "interval": 3},
        restart_policy={"Name": "on-failure", "MaximumRetryCount": "3"},
        ports=[80, 443],
        exposed_ports=["80/tcp"],
        mounts=[{"type": "file", "source": "/x", "destination": "/ü"}],
        name="n",
        auto_heal=True,
        finished_at=datetime(1970, 1, 1),
        exit_code=-1,
    )
    with db.write() as conn:
        containers.insert(conn, one)
    with db.read() as conn:
        back = containers.get(conn, one.uuid)
    assert back is not None
    for field in fields(Container):
        if field.name != "id":
            assert getattr(back, field.name) == getattr(one, field.name), field.name


def test_names_are_found_exactly_and_taken_whatever_their_case(db: Database) -> None:
    with db.write() as conn:
        for name, project in (("web", PROJECT), ("WEB", PROJECT), ("web", OTHER_PROJECT)):
            containers.insert(conn, container(name=name, project_id=project))
    with db.read() as conn:
        assert len(containers.find(conn, "web", PROJECT)) == 1
        assert len(containers.find(conn, "web", None)) == 2
        assert containers.find(conn, "we", PROJECT) == []
        assert containers.find(conn, "w%", None) == []
        assert containers.name_taken(conn, "wEb", PROJECT)
        assert not containers.name_taken(conn, "other", None)


def test_the_observers_write_needs_the_status_it_saw_and_no_open_operation(db: Database) -> None:
    one = container(status=Status.RUNNING, host="host-1")
    with db.write() as conn:
        containers.insert(conn, one)
        assert not containers.update_if_idle(conn, one.uuid, "host-2", one.status, NOW, exit_code=1)
        assert not containers.update_if_idle(
            conn, one.uuid, "host-1", Status.STOPPED, NOW, exit_code=1
        )
        operations.open_(conn, operation(container_uuid=one.uuid))
        assert not containers.update_if_idle(
            conn, one.uuid, "host-1", Status.RUNNING, NOW, exit_code=1
        )
        busy = operations.open_of(conn, one.uuid)
        assert busy is not None
        operations.close(conn, busy, OperationState.DONE, NOW, None)
        assert containers.update_if_idle(conn, one.uuid, "host-1", Status.RUNNING, NOW, exit_code=1)
        assert not containers.update_if_idle(
            conn, "gone", "host-1", Status.RUNNING, NOW, exit_code=1
        )


def test_the_database_refuses_a_status_that_is_none(db: Database) -> None:
    one = container()
    # MariaDB's driver does not count it among the integrity errors.
    with pytest.raises(sa.exc.DBAPIError, match="ck_containers_status"), db.write() as conn:
        containers.insert(conn, one)
        containers.update(conn, one.uuid, NOW, status="Sleeping")
    with db.read() as conn:
        assert containers.get(conn, one.uuid) is None, "the transaction was rolled back"


def test_missing_asks_in_slices(db: Database) -> None:
    rows = [container() for _ in range(3)]
    with db.write() as conn:
        for row in rows:
            containers.insert(conn, row)
    strangers = [f"no-{n}" for n in range(1200)]
    with db.read() as conn:
        assert containers.missing(conn, [*strangers, *(r.uuid for r in rows)]) == set(strangers)
        assert containers.missing(conn, []) == set()
