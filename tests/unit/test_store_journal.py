"""The journal's promises: one open operation a container, compare-and-set, leases, successors, history."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest
from tests.support.rows import LATER, NOW, operation

from zun.model.lifecycle import Action
from zun.model.names import new_uuid
from zun.model.operation import CLOSED, EventKind, Operation, OperationState
from zun.store import history, operations
from zun.store.database import Database

pytestmark = pytest.mark.databases

S = OperationState


def _open(db: Database, one: Operation) -> Operation:
    with db.write() as conn:
        operations.open_(conn, one)
    return _get(db, one.uuid)


def _get(db: Database, uuid: str) -> Operation:
    with db.read() as conn:
        found = operations.get(conn, uuid)
    assert found is not None
    return found


def _claim(db: Database, one: Operation, by: str = "me", epoch: int = 1) -> Operation | None:
    with db.write() as conn:
        return operations.claim(conn, one, by, epoch, NOW + timedelta(seconds=60), True)


def test_of_several_those_are_claimed_that_nobody_wrote_to(db: Database) -> None:
    states = (S.PENDING, S.PENDING, S.PENDING, S.UNDO_PENDING, S.UNDO_PENDING, S.PENDING)
    with db.write() as conn:
        for state in states:
            operations.open_(conn, operation(queue="@c", state=state))
    with db.read() as conn:
        waiting = operations.claimable(conn, "@c", NOW, 9)
    assert _claim(db, waiting[1], by="other") is not None
    with db.write() as conn:
        operations.supersede(conn, waiting[2])
    assert _claim(db, waiting[3]) is not None, "by an older life of this claimant"

    def claim_all() -> Sequence[Operation]:
        with db.write() as conn:
            until = NOW + timedelta(seconds=60)
            return operations.claim_all(conn, waiting, "me", 2, until, False)

    won = claim_all()
    assert [one.id for one in won] == [waiting[n].id for n in (0, 4, 5)]
    assert [one.state for one in won] == [S.RUNNING, S.UNDOING, S.RUNNING]
    for one in won:
        assert _get(db, one.uuid) == one, "as it is returned"
    assert claim_all() == []
    assert _get(db, waiting[1].uuid).claimed_by == "other"
    assert _get(db, waiting[2].uuid).claimed_by is None


def test_eight_conductors_that_claim_the_same_ones_at_once_get_each_once(db: Database) -> None:
    with db.write() as conn:
        for _ in range(40):
            operations.open_(conn, operation(queue="@c"))
    with db.read() as conn:
        waiting = operations.claimable(conn, "@c", NOW, 40)
    start = threading.Barrier(8)

    def claim(number: int) -> Sequence[Operation]:
        start.wait(30)
        some = waiting[number : number + 24]
        until = NOW + timedelta(seconds=60)
        return db.run(lambda conn: operations.claim_all(conn, some, f"c{number}", 1, until, False))

    with ThreadPoolExecutor(8) as pool:
        won = list(pool.map(claim, range(8)))
    claimed = [(one.id, f"c{number}") for number, ones in enumerate(won) for one in ones]
    assert sorted(ident for ident, _ in claimed) == [one.id for one in waiting[:31]]
    with db.read() as conn:
        now = {one.id: one.claimed_by for one in operations.open_in(conn, "@c", 40)}
    assert all(now[ident] == by for ident, by in claimed)


def test_twenty_threads_open_and_one_does(db: Database) -> None:
    container = new_uuid()

    def attempt(_: int) -> bool:
        try:
            with db.write() as conn:
                operations.open_(conn, operation(container_uuid=container))
        except operations.AlreadyOpen:
            return False
        return True

    with ThreadPoolExecutor(20) as pool:
        assert sum(pool.map(attempt, range(20))) == 1
    with db.read() as conn:
        only = operations.of_container(conn, container)
        assert len(only) == 1
        assert [e.kind for e in operations.events_of(conn, only[0].uuid)] == [EventKind.ACCEPTED]


def test_closed_ones_do_not_count(db: Database) -> None:
    container = new_uuid()
    for _ in range(3):
        one = _open(db, operation(container_uuid=container))
        with db.write() as conn:
            assert operations.close(conn, one, S.DONE, NOW, None)
    with db.read() as conn:
        assert operations.open_of(conn, container) is None
        assert len(operations.of_container(conn, container)) == 3


def test_twenty_threads_claim_and_one_does(db: Database) -> None:
    one = _open(db, operation())
    with ThreadPoolExecutor(20) as pool:
        won = [c for c in pool.map(lambda n: _claim(db, one, f"t{n}"), range(20)) if c]
    assert len(won) == 1
    now = _get(db, one.uuid)
    assert (now.claimed_by, now.state) == (won[0].claimed_by, S.RUNNING)


def test_a_write_on_an_old_version_writes_nothing(db: Database) -> None:
    one = _open(db, operation())
    with db.write() as conn:
        assert operations.change(conn, one, position=1) is not None
        assert operations.change(conn, one, position=7) is None
        assert operations.close(conn, one, S.FAILED, NOW, "late") is None
    now = _get(db, one.uuid)
    assert (now.position, now.state, now.error) == (1, S.PENDING, None)


def test_what_change_returns_is_what_is_stored(db: Database) -> None:
    one = _open(db, operation(params={"mounts": [{"source": "eA=="}], "x": "é"}))
    with db.write() as conn:
        new = operations.change(
            conn, one, state=S.UNDOING, outputs={"place": {"host": "h"}}, error="ö", attempts=3
        )
    assert new == _get(db, one.uuid)


@pytest.mark.parametrize("state", sorted(CLOSED))
def test_close_frees_the_container_wipes_the_parameters_and_wakes_the_successor(
    db: Database, state: OperationState
) -> None:
    container = new_uuid()
    first = _open(db, operation(container_uuid=container, params={"mounts": ["secret"]}))
    with db.write() as conn:
        operations.supersede(conn, first)
    delete = operation(
        container_uuid=container, action=Action.DELETE, state=S.WAITING, supersedes=first.uuid
    )
    delete = _open(db, delete)
    first = _get(db, first.uuid)
    assert first.cancelling
    assert _claimable(db, delete.queue) == [first.uuid], "the delete waits"
    with db.write() as conn:
        closed = operations.close(conn, first, state, NOW, "why")
    assert closed is not None
    assert closed.params == {}
    stored = _get(db, first.uuid)
    assert (stored.params, stored.state, stored.error, stored.finished_at) == (
        {}, state, "why", NOW,
    )  # fmt: skip
    assert _claimable(db, delete.queue) == [delete.uuid]
    with db.read() as conn:
        woken = operations.successor_of(conn, first)
    assert woken is not None
    assert (woken.uuid, woken.state) == (delete.uuid, S.PENDING)


def _claimable(db: Database, queue: str, most: int = 100) -> list[str]:
    with db.read() as conn:
        return [o.uuid for o in operations.claimable(conn, queue, NOW, most)]


def test_claimable_is_this_queue_waiting_due_oldest_first(db: Database) -> None:
    def add(**changes: object) -> str:
        return _open(db, operation(**changes)).uuid

    first = add(queue="host:a")
    add(queue="host:b")
    add(queue="host:a", state=S.WAITING)
    add(queue="host:a", state=S.RUNNING)
    add(queue="host:a", not_before=NOW + timedelta(microseconds=1))
    due = add(queue="host:a", not_before=NOW)
    undo = add(queue="host:a", state=S.UNDO_PENDING)
    assert _claimable(db, "host:a") == [first, due, undo]
    assert _claimable(db, "host:a", 2) == [first, due]
    with db.read() as conn:
        further = operations.claimable(conn, "host:a", NOW, 9, past=1)
        assert [one.uuid for one in further] == [due, undo]
        assert not operations.claimable(conn, "host:a", NOW, 9, past=3)
    with db.read() as conn:
        assert operations.next_due(conn, "host:a") == NOW
        assert operations.next_due(conn, "host:b") is None


def test_taking_up_an_undo_goes_on_undoing(db: Database) -> None:
    one = _open(db, operation(state=S.UNDO_PENDING))
    mine = _claim(db, one)
    assert mine is not None
    assert mine.state is S.UNDOING


def test_what_only_a_newer_release_can_read_is_left_to_it(db: Database) -> None:
    """Else one wish of a new kind would keep an older process from all others of its queue."""
    known, newer, held = (_open(db, operation(queue="host:a")) for _ in range(3))
    _claim(db, held)
    with db.write() as conn:
        conn.execute(
            operations.operations.update()
            .where(operations.operations.c.uuid.in_([newer.uuid, held.uuid]))
            .values(action="teleport", not_before=NOW - timedelta(seconds=1))
        )
    assert _claimable(db, "host:a") == [known.uuid]
    with db.write() as conn:
        assert [o.uuid for o in operations.open_in(conn, "host:a", 10)] == [known.uuid]
        assert operations.next_due(conn, "host:a") is None
        assert operations.take_back(conn, LATER, by="me", epoch=2) == []
        assert operations.take_back(conn, LATER) == []
        assert operations.open_counts(conn) == {"host:a": 3}


def test_take_back_by_epoch_takes_only_an_older_life_of_the_same_claimant(db: Database) -> None:
    old, undoing, now, other = (_open(db, operation()) for _ in range(4))
    with db.write() as conn:
        operations.change(conn, undoing, state=S.UNDO_PENDING)
    claimed_old = _claim(db, old, "compute:a", 1)
    assert claimed_old is not None
    assert _claim(db, _get(db, undoing.uuid), "compute:a", 1)
    assert _claim(db, now, "compute:a", 2)
    assert _claim(db, other, "compute:b", 1)
    with db.write() as conn:
        freed = operations.take_back(conn, NOW, by="compute:a", epoch=2)
    assert {f.uuid for f in freed} == {old.uuid, undoing.uuid}
    assert _get(db, old.uuid).state is S.PENDING
    assert _get(db, undoing.uuid).state is S.UNDO_PENDING
    assert _get(db, now.uuid).state is S.RUNNING
    assert _get(db, other.uuid).state is S.RUNNING
    with db.read() as conn:
        told = operations.events_of(conn, old.uuid)[-1]
    assert (told.kind, told.detail) == (EventKind.TAKEN_BACK, {"from": "compute:a"})
    with db.write() as conn:
        assert operations.change(conn, claimed_old, position=1) is None, "the old life is fenced"


def test_take_back_by_lease_and_renewal(db: Database) -> None:
    lost, kept = _open(db, operation()), _open(db, operation())
    assert _claim(db, lost, "a", 1)
    assert _claim(db, kept, "b", 1)
    with db.write() as conn:
        operations.renew(conn, "b", 1, LATER, [kept.uuid])
        operations.renew(conn, "a", 2, LATER, [lost.uuid])  # another life: not its lease
        operations.renew(conn, "a", 1, LATER, [])  # none that it still works on
        freed = operations.take_back(conn, NOW + timedelta(seconds=61))
    assert [f.uuid for f in freed] == [lost.uuid]
    assert _get(db, kept.uuid).claimed_until == LATER


def test_renewal_does_not_fence_the_one_it_is_for(db: Database) -> None:
    mine = _claim(db, _open(db, operation()), "a", 1)
    assert mine is not None
    with db.write() as conn:
        operations.renew(conn, "a", 1, LATER, [mine.uuid])
        assert operations.change(conn, mine, position=1)


def test_history_expires_in_slices(db: Database) -> None:
    with db.write() as conn:
        for age in (40, 35, 31, 5):
            operations.tell_observed(conn, "c", "p", NOW - timedelta(days=age), {"age": age})
        before = NOW - timedelta(days=30)
        assert history.remove(conn, "events", before, 2) == 2
        assert history.remove(conn, "events", before, 2) == 1
        assert history.remove(conn, "events", before, 2) == 0


def test_forgetting_a_container_leaves_its_open_operation_and_its_events(db: Database) -> None:
    container = new_uuid()
    first = _open(db, operation(container_uuid=container))
    with db.write() as conn:
        operations.close(conn, first, S.DONE, NOW, None)
    second = _open(db, operation(container_uuid=container))
    with db.write() as conn:
        operations.forget_container(conn, container)
    with db.read() as conn:
        assert [o.uuid for o in operations.of_container(conn, container)] == [second.uuid]
        assert len(operations.events_of(conn, first.uuid)) == 1
        assert operations.open_counts(conn) == {"@conductor": 1}
