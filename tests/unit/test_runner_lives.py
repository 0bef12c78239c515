"""Stopping, starting again, leases: an operation outlives whoever works on it, and is worked on by one at a time."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy.engine import Connection
from tests.support.envs import HOST, HOST_ID, env, metrics, runner
from tests.support.house import Fakes, Rig, caller, eventually, make, quick_settings, running
from tests.support.rows import container, host, operation
from tests.unit.conftest import Start

from zun.bus.local import LocalBus
from zun.conductor.conductor import Conductor
from zun.drivers.fake import Act, Block
from zun.model.container import Draft
from zun.model.lifecycle import Action, Status
from zun.model.operation import EventKind, Operation, OperationState, host_queue
from zun.service.intents import Intents
from zun.store import claims, containers, hosts, operations, schema
from zun.store.database import Database
from zun.work.clock import utcnow
from zun.work.context import Env
from zun.work.runner import Claimant, Runner, take_back_expired

pytestmark = pytest.mark.databases

S = OperationState
PAST = timedelta(hours=-1)


def again(folder: Path, fakes: Fakes) -> Rig:
    """The next life of the service, on the same database and the same engine."""
    fakes.runtime._closed.clear()
    return make(folder, fakes)


def last(rig: Rig, uuid: str) -> Operation:
    with rig.db.read() as conn:
        return operations.of_container(conn, uuid)[0]


# ---- stop and start


def test_a_stop_waits_for_the_step_and_the_next_life_does_the_rest(
    folder: Path, fakes: Fakes
) -> None:
    go, entered = threading.Event(), threading.Event()
    fakes.runtime.script("create", Block(go, entered=entered))
    first = make(folder, fakes)
    first.house.start()
    one = first.create()
    assert entered.wait(30)
    stopped: list[bool] = []
    stopper = threading.Thread(target=lambda: stopped.append(first.house.stop(30)))
    stopper.start()
    runner = first.house.agent._runner
    assert runner is not None
    eventually(runner._stopping.is_set, "it is told to stop")
    go.set()
    stopper.join(30)
    assert stopped == [True]
    second = again(folder, fakes)
    left = last(second, one.uuid)
    assert (left.state, left.claimed_by) == (S.PENDING, None)
    assert left.steps[left.position] == "runtime_start", "what was done is recorded"
    second.house.start()
    try:
        row = second.settled(one.uuid)
        assert row is not None
        assert row.status is Status.RUNNING
        assert fakes.runtime.called("create") == 1
    finally:
        second.house.stop(30)


def test_a_stop_during_a_pull_is_no_failure(folder: Path, fakes: Fakes) -> None:
    go, entered = threading.Event(), threading.Event()
    fakes.images.script("pull", Block(go, entered=entered))
    first = make(folder, fakes)
    first.house.start()
    one = first.create()
    assert entered.wait(30)
    assert first.house.stop(30), "nobody waits for the pull"
    go.set()
    second = again(folder, fakes)
    assert last(second, one.uuid).state is S.PENDING
    second.house.start()
    try:
        row = second.settled(one.uuid)
        assert row is not None
        assert (row.status, row.status_reason) == ("Running", None)
    finally:
        second.house.stop(30)


def test_a_stop_that_can_not_wait_says_so_and_the_next_life_fences_the_old(
    folder: Path, fakes: Fakes
) -> None:
    go, entered = threading.Event(), threading.Event()
    fakes.runtime.script("create", Block(go, entered=entered))
    first = make(folder, fakes)
    first.house.start()
    one = first.create()
    assert entered.wait(30)
    assert not first.house.stop(0.2)
    second = again(folder, fakes)
    second.house.start()
    try:
        row = second.settled(one.uuid)
        assert row is not None
        assert row.status is Status.RUNNING
        with second.db.read() as conn:
            kinds = [e.kind for e in operations.events_of(conn, last(second, one.uuid).uuid)]
        assert EventKind.TAKEN_BACK in kinds
        before = last(second, one.uuid)
        go.set()
        eventually(lambda: not first.house.agent._runner._mine)  # type: ignore[union-attr]
        assert last(second, one.uuid) == before, "the old life writes nothing any more"
        assert list(fakes.runtime.uuids()) == [one.uuid]
    finally:
        go.set()
        second.house.stop(30)
        first.db.close()


def test_what_was_accepted_while_nobody_worked_is_done_later(folder: Path, fakes: Fakes) -> None:
    first = make(folder, fakes)
    ones = [first.create() for _ in range(5)]
    first.db.close()
    with running(folder, fakes) as rig:
        for one in ones:
            row = rig.settled(one.uuid)
            assert row is not None
            assert row.status is Status.RUNNING
    assert fakes.runtime.called("create") == 5


# ---- leases. No house: runners side by side on one journal.


@pytest.fixture
def journal(db: Database, fakes: Fakes) -> Iterator[tuple[Database, Operation]]:
    """A placed container whose engine part is to be created."""
    one = container(status=Status.CREATING, host=HOST)
    work = operation(
        container_uuid=one.uuid, queue=host_queue(HOST), steps=["ports", "image", "runtime_create"],
        created_at=utcnow(), deadline=utcnow() + timedelta(minutes=10), params={"run": False},
    )  # fmt: skip
    with db.write() as conn:
        hosts.register(conn, host(HOST, uuid=HOST_ID), utcnow())
        containers.insert(conn, one)
        operations.open_(conn, work)
    yield db, work


def _get(db: Database, uuid: str) -> Operation:
    with db.read() as conn:
        found = operations.get(conn, uuid)
    assert found is not None
    return found


def _expire_lease(db: Database, uuid: str) -> None:
    with db.write() as conn:
        conn.execute(
            schema.operations.update()
            .where(schema.operations.c.uuid == uuid)
            .values(claimed_until=utcnow() + PAST)
        )


def _ended(db: Database, uuid: str) -> bool:
    return _get(db, uuid).state is S.DONE


def _stop(*runners: Runner) -> None:
    for one in runners:
        assert one.stop(30)


def test_another_takes_over_after_the_lease_and_the_first_is_fenced(
    journal: tuple[Database, Operation], fakes: Fakes
) -> None:
    db, work = journal
    go, entered = threading.Event(), threading.Event()
    fakes.runtime.script("create", Block(go, entered=entered))
    surroundings = env(db, fakes)
    first, second = runner(surroundings, "a"), runner(surroundings, "b")
    first.start()
    assert entered.wait(30)
    held = _get(db, work.uuid)
    assert held.claimed_by == "a"
    bus = LocalBus()
    assert take_back_expired(db, surroundings, bus, metrics()) == 0, (
        "a lease that runs is respected"
    )
    _expire_lease(db, work.uuid)
    second.start()
    assert take_back_expired(db, surroundings, bus, metrics()) == 1
    eventually(lambda: _ended(db, work.uuid))
    done = _get(db, work.uuid)
    go.set()
    eventually(lambda: not first._mine)
    assert _get(db, work.uuid) == done
    assert list(fakes.runtime.uuids()) == [work.container_uuid]
    _stop(first, second)


def test_nobody_works_twice_at_once_on_what_it_lost(
    journal: tuple[Database, Operation], fakes: Fakes
) -> None:
    db, work = journal
    go, entered = threading.Event(), threading.Event()
    most, inside, guard = [0], [0], threading.Lock()

    def enter() -> None:
        with guard:
            inside[0] += 1
            most[0] = max(most[0], inside[0])
        entered.set()
        assert go.wait(30)
        with guard:
            inside[0] -= 1

    fakes.runtime.script("create", Act(before=enter), Act(before=enter))
    surroundings = env(db, fakes)
    only = runner(surroundings)
    only.start()
    assert entered.wait(30)
    _expire_lease(db, work.uuid)
    assert take_back_expired(db, surroundings, LocalBus(), metrics()) == 1
    only._take()  # what its dispatcher does
    assert _get(db, work.uuid).state is S.PENDING, "it is not claimed while its old worker lives"
    go.set()
    eventually(lambda: _ended(db, work.uuid))
    assert most == [1]
    _stop(only)


def test_an_operation_that_was_dropped_is_found_by_its_lease_while_others_go_on(
    start: Start,
) -> None:
    dropped = threading.Event()

    def drop(point: str) -> None:
        if point == "settle:stop:done" and not dropped.is_set():
            dropped.set()
            raise OSError("the disk was full for a moment")

    settings = quick_settings()
    agent = replace(settings.agent, runner=replace(settings.agent.runner, lease=0.6))
    rig = start(
        settings=replace(settings, agent=agent),
        checkpoint=drop,
    )
    one = rig.create()
    row = rig.settled(one.uuid)
    assert row is not None
    go, entered = threading.Event(), threading.Event()
    rig.fakes.runtime.script("create", Block(go, entered=entered))
    busy = rig.create()  # keeps the runner's leases renewed
    assert entered.wait(30)
    rig.house.services.containers.act(caller(), row, Action.STOP)
    assert dropped.wait(30)
    row = rig.settled(one.uuid)
    assert row is not None
    assert row.status is Status.STOPPED
    with rig.db.read() as conn:
        held = operations.open_of(conn, busy.uuid)
    assert held is not None
    assert held.state is S.RUNNING, "the lease of what is worked on was renewed"
    assert rig.fakes.runtime.called("create") == 2
    go.set()
    rig.settled(busy.uuid)


def test_who_comes_too_late_looks_further_down_the_queue_and_leaves_nothing_behind(
    db: Database, fakes: Fakes, monkeypatch: pytest.MonkeyPatch
) -> None:
    until = utcnow() + timedelta(hours=1)
    with db.write() as conn:
        for _ in range(100):
            operations.open_(conn, operation(queue=host_queue(HOST), deadline=until))
        first, *_, last_one = operations.claimable(conn, host_queue(HOST), utcnow(), 100)
    tried: list[int] = []
    claim_all = operations.claim_all

    def too_late(conn: Connection, ones: Sequence[Operation], *given: Any) -> Sequence[Operation]:
        tried.extend(one.id for one in ones)
        return () if len(tried) <= 40 else claim_all(conn, ones, *given)

    monkeypatch.setattr(operations, "claim_all", too_late)
    only = runner(env(db, fakes), settings={"workers": 1})
    only.start()
    eventually(lambda: not _open_in(db, host_queue(HOST)))
    _stop(only)
    lost = tried[:40]
    assert lost[0] == first.id
    assert len(set(lost)) > 10, "it does not run after the same one again and again"
    assert max(lost) < last_one.id, "but not to the end of the queue"
    assert sorted(tried[40:]) == list(range(first.id, last_one.id + 1)), "each is claimed once"


def test_what_was_claimed_ahead_is_put_back_by_who_stops(db: Database, fakes: Fakes) -> None:
    until = utcnow() + timedelta(hours=1)
    with db.write() as conn:
        for _ in range(9):
            operations.open_(conn, operation(queue=host_queue(HOST), deadline=until))
    begun, go = threading.Event(), threading.Event()

    def wait(point: str) -> None:
        begun.set()
        assert go.wait(30)

    with db.write() as conn:
        first = operations.claimable(conn, host_queue(HOST), utcnow(), 1)[0]
        containers.insert(conn, container(uuid=first.container_uuid))
    only = runner(env(db, fakes), settings={"workers": 1, "ahead": 4}, checkpoint=wait)
    only.start()
    assert begun.wait(30)
    assert _states(db).count(S.RUNNING) == 5, "the one that is worked on, and four"
    stopper = threading.Thread(target=lambda: only.stop(30))
    stopper.start()
    assert only._stopping.wait(30)
    go.set()
    stopper.join()
    assert S.RUNNING not in _states(db)


def _states(db: Database) -> list[S]:
    with db.read() as conn:
        return [one.state for one in operations.open_in(conn, host_queue(HOST), 100)]


def _open_in(db: Database, queue: str) -> int:
    with db.read() as conn:
        return operations.open_counts(conn).get(queue, 0)


def test_twenty_conductors_place_each_container_once(folder: Path, fakes: Fakes) -> None:
    with running(folder, fakes) as rig:
        bare = Env(db=rig.db, clock=utcnow, settings=rig.house.agent._env.settings)
        bus = rig.house.conductor._bus
        others = [
            Conductor(
                bare, bus, Claimant(name=f"conductor:{n}", epoch=1),
                quick_settings().conductor, metrics(),
                intents=Intents(rig.db, bus, utcnow, 60.0),
            )
            for n in range(20)
        ]  # fmt: skip
        for other in others:
            other.start()
        ones = [rig.create(Draft(image="busybox", run=True)) for _ in range(15)]
        for one in ones:
            row = rig.settled(one.uuid)
            assert row is not None
        with rig.db.read() as conn:
            claimed = claims.claims_on(conn, "host-1")
            placed = hosts.find(conn, "host-1")
        for other in others:
            assert other.stop(30)
    assert placed is not None
    running_ones = fakes.runtime.called("create")
    assert placed.total_containers == len(claimed) == running_ones == 8, "one CPU each of eight"
