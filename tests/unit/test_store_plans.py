"""No statement that the service really issues reads a whole table: the traffic of a working house, explained."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import pytest
import sqlalchemy as sa
from sqlalchemy.engine.interfaces import CacheStats
from tests.support import databases
from tests.support.capsules import capsule
from tests.support.house import OTHER_PROJECT, PROJECT, Rig, caller, quick_settings
from tests.support.plans import Recorder, grown, scans, sorts
from tests.support.rows import NOW, host_image, registry
from tests.unit.conftest import Start

from zun.compute.reaper import Reaper, ReaperSettings
from zun.model import capsule as capsule_model
from zun.model import image as image_model
from zun.model import registry as registry_model
from zun.model.container import FILTERS, SORT_KEYS, Draft
from zun.model.lifecycle import Action, Status
from zun.service.queries import ListQuery
from zun.store import (
    capsules,
    claims,
    containers,
    history,
    images,
    left_behind,
    networks,
    operations,
    registries,
)
from zun.work.metrics import WorkMetrics
from zun.work.runner import take_back_expired

pytestmark = pytest.mark.databases


@pytest.fixture
def rig(start: Start) -> Rig:
    return start(settings=quick_settings(unique_names="project"))


@pytest.fixture
def planner(kind: str, request: pytest.FixtureRequest) -> Iterator[sa.Engine | None]:
    """Where statements are explained: SQLite plans by rules, the others by the sizes of tables."""
    if kind == databases.SQLITE:
        yield None
        return
    engine = sa.create_engine(request.getfixturevalue("servers").get(kind).grown(grown))
    yield engine
    engine.dispose()


def _life(rig: Rig) -> None:
    """One of everything that containers go through."""
    service = rig.house.services.containers
    draft = Draft(image="busybox", run=True, name="web", restart_policy={"Name": "no"})
    one = rig.create(draft)
    row = rig.settled(one.uuid)
    for action in (Action.PAUSE, Action.UNPAUSE, Action.STOP, Action.START, Action.REBUILD):
        assert row is not None
        service.act(caller(), row, action)
        row = rig.settled(one.uuid)
    assert row is not None
    service.rename(caller(), row, "other")
    rig.fakes.runtime.die(one.uuid, 1)
    row = rig.until(one.uuid, "Stopped")
    service.find(caller(), one.uuid)
    service.find(caller(), "other")
    service.action(row, service.actions(row)[0].request_id)
    broken = rig.create(replace(draft, image="b", name="two", command=["/no/such"]))
    rig.settled(broken.uuid)
    rig.fakes.runtime.gap()
    for other in (row, broken):
        service.delete(caller(), other, force=True, stop=False)
        rig.settled(other.uuid)


def _lists(rig: Rig) -> None:
    one = rig.create(Draft(image="busybox"), caller(PROJECT))
    row = rig.settled(one.uuid)
    assert row is not None
    service = rig.house.services.containers
    values = {**dict.fromkeys(FILTERS, "x"), "memory": 4, "auto_remove": True, "status": "Running"}
    values["task_state"] = "container_stopping"
    for key in FILTERS:
        service.list(caller(), ListQuery(limit=10, filters={key: values[key]}))
    for key in SORT_KEYS:
        for descending in (False, True):
            for marker in (None, one.uuid):
                query = ListQuery(limit=10, sort_key=key, descending=descending, marker=marker)
                service.list(caller(), query)
    for key in ("name", "host", "status"):
        everybody = ListQuery(limit=10, filters={key: values[key]}, all_projects=True)
        service.list(caller(OTHER_PROJECT), everybody)
    for listing in _LISTS[1:]:
        marker = listing.add(rig)
        for key in listing.orders:
            query = ListQuery(limit=10, sort_key=key, marker=marker)
            getattr(rig.house.services, listing.table).list(caller(), query)


def _housekeeping(rig: Rig) -> None:
    env = rig.house.agent._env
    take_back_expired(rig.db, env, rig.house.conductor._bus, rig.house.metrics)
    with rig.db.write() as conn:
        history.remove(conn, "events", NOW, 1000)
        operations.take_back(conn, NOW, by="x", epoch=3)
        operations.renew(conn, "x", 1, NOW, ["a", "b"])
        operations.forget_container(conn, "x")
        networks.release_ports(conn, "x")
        containers.on_host(conn, "host-1")
        containers.count_alone_on(conn, "host-1")
        containers.any_moving(conn, "host-1")
        networks.needed_on(conn, "host-1")
        left_behind.on(conn, "host-1")
        left_behind.forget(conn, "host-1")
        claims.release(conn, "x")
    for queue in ("@conductor", "host:host-1"):
        with rig.db.read() as conn:
            operations.claimable(conn, queue, NOW, 4)
            operations.next_due(conn, queue)
    metrics: WorkMetrics = rig.house.metrics
    Reaper(env, ReaperSettings(), metrics).sweep([])


@pytest.mark.parametrize("traffic", [_life, _lists, _housekeeping], ids=lambda f: f.__name__[1:])
def test_nothing_reads_a_whole_table(
    rig: Rig, planner: sa.Engine | None, traffic: Callable[[Rig], None]
) -> None:
    recorder = Recorder(rig.db.engine, planner)
    traffic(rig)
    plans = recorder.plans()
    assert len(plans) > 10
    assert scans(plans) == []


def test_a_page_of_a_project_comes_off_the_index_in_order(
    rig: Rig, planner: sa.Engine | None, kind: str
) -> None:
    recorder = Recorder(rig.db.engine, planner)
    one = rig.settled(rig.create(Draft(image="busybox", name="a-first")).uuid)
    assert one is not None
    recorder.seen.clear()
    for key in ("id", "name"):
        for marker in (None, one.uuid):
            query = ListQuery(limit=10, sort_key=key, marker=marker)
            rig.house.services.containers.list(caller(), query)
    lists = {t: p for t, p in recorder.plans().items() if "ORDER BY containers" in t}
    assert len(lists) >= 4
    for text, plan in lists.items():
        # Which index gives the order is for a planner to choose, who knows how many rows a project has.
        given = "ix_containers_project_id" if kind == databases.SQLITE else ""
        assert any(f"containers USING INDEX {given}" in line for line in plan), (text, plan)
        assert any("operations USING INDEX" in line and "open_key" in line for line in plan), plan
        # PostgreSQL may take a project's few rows off any index of it, and sort them.
        mine = any("containers USING INDEX ix_containers_project_id" in line for line in plan)
        assert not sorts(plan) or (mine and kind == databases.POSTGRESQL), (text, plan)


_VALUES: dict[str, Any] = {"memory": 4, "auto_remove": True, "task_state": "container_stopping"}


@dataclass(frozen=True, kw_only=True)
class Listing:
    """A list of the API: its table, what it is offered by, and how a row of it comes to be."""

    table: str
    orders: Sequence[str]
    filters: Sequence[str] = ()
    of_all: bool = True  # whether there is one of all projects
    add: Callable[[Rig], str]


def _add_container(rig: Rig) -> str:
    one = rig.settled(rig.create().uuid)
    assert one is not None
    return one.uuid


def _add(store: Any, row: Any) -> Callable[[Rig], str]:
    def add(rig: Rig) -> str:
        with rig.db.write() as conn:
            store.insert(conn, row)
        return str(row.uuid)

    return add


_LISTS = [
    Listing(table="containers", orders=SORT_KEYS, filters=FILTERS, add=_add_container),
    Listing(
        table="capsules", orders=capsule_model.SORT_KEYS, add=_add(capsules, capsule(status=Status.RUNNING))
    ),
    Listing(
        table="registries", orders=registry_model.SORT_KEYS, filters=registry_model.FILTERS,
        add=_add(registries, registry()),
    ),
    Listing(table="images", orders=image_model.SORT_KEYS, of_all=False, add=_add(images, host_image())),
]  # fmt: skip


def _scopes(listings: Sequence[Listing]) -> list[Any]:
    """Each of the lists, of one project and of all."""
    return [
        pytest.param(one, everybody, id=f"{one.table}-{'all' if everybody else 'project'}")
        for one in listings
        for everybody in ([False, True] if one.of_all else [False])
    ]


def _plans_of(
    rig: Rig, planner: sa.Engine | None, listing: Listing, query: ListQuery
) -> dict[str, list[str]]:
    recorder = Recorder(rig.db.engine, planner)
    getattr(rig.house.services, listing.table).list(caller(), query)
    # The house works meanwhile.
    plans = recorder.plans()
    return {t: p for t, p in plans.items() if f"FROM {listing.table}" in t and "ORDER BY" in t}


def _walks(text: str, plan: list[str]) -> bool:
    """Whether MariaDB reads all rows of a value on its way to the marker."""
    return bool(re.search(r"[<>] %s", text)) and any("(ref, " in line for line in plan)


@pytest.mark.databases(databases.SQLITE)
@pytest.mark.parametrize(("listing", "everybody"), _scopes([one for one in _LISTS if one.filters]))
def test_each_filter_comes_off_its_own_index_in_order(
    rig: Rig, listing: Listing, everybody: bool
) -> None:
    own = {"task_state": "open_key>", "project_id": f"ix_{listing.table}_project_id_"}
    bad = []
    for key in listing.filters:
        query = ListQuery(limit=10, filters={key: _VALUES.get(key, "x")}, all_projects=everybody)
        lines = [line for plan in _plans_of(rig, None, listing, query).values() for line in plan]
        found = any(own.get(key, f"{key}=?") in line for line in lines)
        # Few are busy: these are sorted.
        if not found or (sorts(lines) and key != "task_state"):
            bad.append((key, lines))
    assert bad == []


@pytest.mark.databases(databases.SQLITE, databases.MARIADB)
@pytest.mark.parametrize(("listing", "everybody"), _scopes(_LISTS))
def test_each_order_comes_off_an_index_from_any_row_on(
    rig: Rig, planner: sa.Engine | None, listing: Listing, everybody: bool
) -> None:
    # PostgreSQL knows how many rows a value has, and sorts them where they are few.
    uuid, bad = listing.add(rig), []
    for key, descending, marker in product(listing.orders, (False, True), (None, uuid)):
        query = ListQuery(
            limit=10, sort_key=key, descending=descending, marker=marker, all_projects=everybody
        )
        plans = _plans_of(rig, planner, listing, query)
        assert plans
        bad += [(text, plan) for text, plan in plans.items() if sorts(plan) or _walks(text, plan)]
    assert bad == []


@pytest.mark.databases(databases.SQLITE)
def test_the_statement_of_a_list_is_made_once(still: Rig) -> None:
    made: list[str] = []

    def ran(
        _conn: Any, _cursor: Any, text: str, _parameters: Any, context: Any, _many: bool
    ) -> None:
        if context.cache_hit is not CacheStats.CACHE_HIT:
            made.append(text)

    sa.event.listen(still.db.engine, "after_cursor_execute", ran)
    for listing in _LISTS:
        for expected in (True, False):
            getattr(still.house.services, listing.table).list(caller(), ListQuery(limit=10))
            assert bool(made) is expected, listing.table
            made.clear()


def test_the_test_can_tell_a_scan(rig: Rig, planner: sa.Engine | None) -> None:
    recorder = Recorder(rig.db.engine, planner)
    with rig.db.read() as conn:
        conn.execute(sa.text("SELECT uuid FROM containers WHERE workdir = 'x'"))
    [found] = scans({t: p for t, p in recorder.plans().items() if "workdir" in t})
    assert "SCAN containers" in found
