"""What happens behind our back is seen: by event, by listing after a gap, and never against an open operation."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from tests.support.envs import HOST
from tests.support.house import Fakes, Rig, caller, eventually, make, running
from tests.support.rows import container

from zun.compute import observer
from zun.drivers.deadline import Deadline
from zun.drivers.errors import Rejected, TimedOut, Unavailable
from zun.drivers.fake import Act, Block, Fail
from zun.model.container import Container, Draft
from zun.model.lifecycle import Action, Observed, Status
from zun.model.operation import EventKind
from zun.store import containers, operations, schema
from zun.work.clock import utcnow

RUN = Draft(image="busybox", run=True)
CHECK = {"test": "true", "interval": 1, "retries": 1, "timeout": 1}


def running_one(rig: Rig, **changes: object) -> Container:
    one = rig.create(replace(RUN, **changes))  # type: ignore[arg-type]
    row = rig.settled(one.uuid)
    assert row is not None
    assert row.status is Status.RUNNING
    return row


def until(rig: Rig, uuid: str, so: Callable[[Container], bool]) -> Container:
    def has() -> Container | None:
        row = rig.row(uuid)
        return row if row is not None and so(row) else None

    answer: Container = eventually(has, f"{uuid}: {rig.row(uuid)}")
    return answer


def gone(rig: Rig, uuid: str) -> None:
    eventually(lambda: rig.row(uuid) is None, f"{uuid} goes")
    assert uuid not in rig.fakes.runtime.uuids()


def actions(rig: Rig, uuid: str) -> list[Action]:
    with rig.db.read() as conn:
        return [o.action for o in operations.of_container(conn, uuid)][::-1]


# ---- by event


def test_death_is_seen_with_its_code_and_time(rig: Rig) -> None:
    one = running_one(rig)
    rig.fakes.runtime.die(one.uuid, 3)
    row = rig.until(one.uuid, "Stopped")
    facts = rig.fakes.runtime.inspect(one.uuid, Deadline(10))
    assert (row.exit_code, row.oom_killed, row.status_reason) == (3, False, None)
    assert row.finished_at == facts.finished_at is not None
    assert actions(rig, one.uuid) == [Action.CREATE], "no operation was needed"
    with rig.db.read() as conn:
        told = conn.execute(
            schema.events.select().where(schema.events.c.kind == EventKind.OBSERVED)
        ).all()
    assert [t.detail["status"] for t in told if t.container_uuid == one.uuid][-1] == "Stopped"


def test_want_of_memory_is_named(rig: Rig) -> None:
    one = running_one(rig, memory=64)
    rig.fakes.runtime.die(one.uuid, 137, oom_killed=True)
    row = rig.until(one.uuid, "Stopped")
    assert row.oom_killed
    assert row.status_reason == (
        "Killed by the kernel for want of memory (limit 64 MiB), exit code 137."
    )
    rig.house.services.containers.act(caller(), row, Action.START)
    after = rig.settled(one.uuid)
    assert after is not None
    assert (after.status, after.status_reason, after.oom_killed) == ("Running", None, False)


def test_pausing_and_unpausing_and_starting_behind_our_back(rig: Rig) -> None:
    one = running_one(rig)
    rig.fakes.runtime.pause_behind(one.uuid)
    rig.until(one.uuid, "Paused")
    rig.fakes.runtime.set_observed(one.uuid, Observed.RUNNING)
    rig.until(one.uuid, "Running")
    rig.fakes.runtime.die(one.uuid, 0)
    rig.until(one.uuid, "Stopped")
    rig.fakes.runtime.start_behind(one.uuid)
    rig.until(one.uuid, "Running")


@pytest.mark.parametrize(
    ("observed", "status"), [(Observed.DEAD, "Dead"), (Observed.RESTARTING, "Restarting")]
)
def test_what_is_wrong_is_said(rig: Rig, observed: Observed, status: str) -> None:
    one = running_one(rig)
    rig.fakes.runtime.set_observed(one.uuid, observed)
    row = rig.until(one.uuid, status)
    assert row.status_reason


def test_one_that_vanished_is_an_error_and_can_be_rebuilt(rig: Rig) -> None:
    one = running_one(rig)
    rig.fakes.runtime.vanish(one.uuid)
    row = rig.until(one.uuid, "Error")
    assert row.status_reason == "The container was removed from the engine by somebody else."
    assert row.host == HOST
    rig.house.services.containers.act(caller(), row, Action.REBUILD)
    after = rig.settled(one.uuid)
    assert after is not None
    assert (after.status, after.status_reason) == ("Created", None)


def test_one_that_died_and_was_started_again_by_its_policy_shows_its_new_life(rig: Rig) -> None:
    one = running_one(rig, restart_policy={"Name": "always"})
    rig.fakes.runtime.die(one.uuid, 1)
    row = until(rig, one.uuid, lambda r: r.started_at != one.started_at)
    assert row.status is Status.RUNNING


def test_health_is_shown_and_the_reason_goes_with_its_cause(rig: Rig) -> None:
    one = running_one(rig, healthcheck=CHECK)
    assert one.health == "starting"
    rig.fakes.runtime.set_health(one.uuid, "unhealthy")
    row = until(rig, one.uuid, lambda r: r.health == "unhealthy")
    assert (row.status, row.status_reason) == ("Running", "The health check fails.")
    rig.fakes.runtime.set_health(one.uuid, "healthy")
    row = until(rig, one.uuid, lambda r: r.health == "healthy")
    assert row.status_reason is None


def test_why_an_operation_failed_is_not_forgotten_by_a_look_that_shows_nothing_new(
    rig: Rig,
) -> None:
    one = running_one(rig)
    rig.fakes.runtime.script("pause", Fail(Rejected("the freezer is broken")))
    rig.house.services.containers.act(caller(), one, Action.PAUSE)
    rig.settled(one.uuid)
    before = rig.fakes.runtime.called("inspect", one.uuid)
    rig.house.agent.observer.look_at(one.uuid)
    eventually(lambda: rig.fakes.runtime.called("inspect", one.uuid) > before)
    _at_rest(rig)
    row = rig.row(one.uuid)
    assert row is not None
    assert (row.status, row.status_reason) == ("Running", "the freezer is broken")


def _at_rest(rig: Rig) -> None:
    watch = rig.house.agent.observer

    def idle() -> bool:
        with watch._work:
            return not watch._pending and not watch._looking

    eventually(idle)


# ---- against an open operation


def test_what_is_heard_during_an_operation_is_looked_at_when_it_ends(rig: Rig) -> None:
    one = running_one(rig)
    go, entered = threading.Event(), threading.Event()
    # The signal changes nothing; meanwhile the container dies by itself, after the operation's own last look.
    rig.fakes.runtime.script("signal", Block(go, entered=entered))
    rig.house.services.containers.act(caller(), one, Action.KILL, signal="HUP")
    assert entered.wait(30)
    watch = rig.house.agent.observer
    rig.fakes.runtime.set_health(one.uuid, "odd")
    eventually(lambda: one.uuid in watch._deferred)
    row = rig.row(one.uuid)
    assert row is not None
    assert row.health is None, "nobody writes while the operation is open"

    def die() -> None:
        with rig.fakes.runtime.lock:
            rig.fakes.runtime._exit(rig.fakes.runtime._boxes[one.uuid], 9)  # no event of it

    rig.fakes.runtime.script("inspect", Act(after=die))
    go.set()
    rig.settled(one.uuid)
    row = rig.until(one.uuid, "Stopped")
    assert row.exit_code == 9
    assert one.uuid not in watch._deferred


def test_a_container_that_dies_while_it_is_stopped_is_stopped_once(rig: Rig) -> None:
    one = running_one(rig)
    rig.fakes.runtime.script("stop", Act(before=lambda: rig.fakes.runtime.die(one.uuid, 5)))
    rig.house.services.containers.act(caller(), one, Action.STOP)
    row = rig.settled(one.uuid)
    assert row is not None
    assert (row.status, row.exit_code) == ("Stopped", 5)


def test_a_look_that_is_overtaken_by_an_operation_writes_nothing(rig: Rig) -> None:
    one = running_one(rig)
    looked, go = threading.Event(), threading.Event()

    def hold() -> None:
        looked.set()
        assert go.wait(30)

    rig.fakes.runtime.script("inspect", Act(after=hold))  # it has seen a running one
    rig.house.agent.observer.look_at(one.uuid)
    assert looked.wait(30)
    rig.house.services.containers.act(caller(), one, Action.STOP)
    row = rig.settled(one.uuid)
    assert row is not None
    assert row.status is Status.STOPPED
    go.set()
    _at_rest(rig)
    row = rig.row(one.uuid)
    assert row is not None
    assert row.status is Status.STOPPED


def test_of_two_looks_at_one_container_the_older_is_never_written_last(rig: Rig) -> None:
    one = running_one(rig, healthcheck=CHECK)
    looked, go = threading.Event(), threading.Event()

    def hold() -> None:
        looked.set()
        assert go.wait(30)

    rig.fakes.runtime.script("inspect", Act(after=hold))
    rig.fakes.runtime.set_health(one.uuid, "unhealthy")
    assert looked.wait(30)  # has seen "unhealthy", and dawdles
    rig.fakes.runtime.set_health(one.uuid, "healthy")
    others = [running_one(rig), running_one(rig)]  # the other looker is not held up
    rig.fakes.runtime.die(others[0].uuid, 1)
    rig.until(others[0].uuid, "Stopped")
    both = threading.Barrier(3)
    rig.fakes.runtime.script("inspect", *[Act(before=lambda: both.wait(30))] * 2)
    go.set()
    for other in others:
        rig.house.agent.observer.look_at(other.uuid)
    both.wait(30)  # each looker looks at something else: what was seen before is written
    until(rig, one.uuid, lambda r: r.health == "healthy")


def test_a_write_in_between_is_looked_at_again(rig: Rig) -> None:
    one = running_one(rig)

    def meddle() -> None:
        with rig.db.write() as conn:
            containers.update(conn, one.uuid, utcnow(), status=Status.PAUSED)

    rig.fakes.runtime.script("inspect", Act(after=meddle))
    rig.fakes.runtime.die(one.uuid, 1)
    row = until(rig, one.uuid, lambda r: r.status is Status.STOPPED)
    assert row.exit_code == 1


def test_a_burst_of_events_of_one_container_is_few_looks(rig: Rig) -> None:
    one = running_one(rig)
    _at_rest(rig)
    looked, go = threading.Event(), threading.Event()

    def hold() -> None:
        looked.set()
        assert go.wait(30)

    rig.fakes.runtime.script("inspect", Act(after=hold))
    before = rig.fakes.runtime.called("inspect", one.uuid)
    rig.fakes.runtime.set_health(one.uuid, "n0")
    assert looked.wait(30)
    for n in range(1, 501):
        rig.fakes.runtime.set_health(one.uuid, f"n{n}")
    eventually(lambda: not rig.fakes.runtime._watchers[-1].qsize())
    go.set()
    until(rig, one.uuid, lambda r: r.health == "n500")
    _at_rest(rig)
    assert rig.fakes.runtime.called("inspect", one.uuid) - before <= 3


def test_an_engine_that_fails_to_answer_does_not_end_the_watch(rig: Rig) -> None:
    one = running_one(rig)
    _at_rest(rig)
    before = rig.fakes.runtime.called("inspect", one.uuid)
    rig.fakes.runtime.script("inspect", Fail(RuntimeError("a defect")))
    rig.fakes.runtime.set_health(one.uuid, "a")
    eventually(lambda: rig.fakes.runtime.called("inspect", one.uuid) > before)
    rig.fakes.runtime.die(one.uuid, 1)
    rig.until(one.uuid, "Stopped")
    assert rig.house.agent.observer.alive


def test_an_event_is_not_lost_because_the_engine_did_not_answer_once(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(observer, "_LOOK_AGAIN", 0.01)
    one = running_one(rig)
    _at_rest(rig)
    rig.fakes.runtime.script("inspect", Fail(Unavailable("away")), Fail(TimedOut("slow")))
    rig.fakes.runtime.die(one.uuid, 1)
    rig.until(one.uuid, "Stopped")


# ---- after a gap


def _deafen(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """From now on the engine's events are lost."""
    monkeypatch.setattr(rig.fakes.runtime, "_tell", lambda uuid: None)


def test_what_no_event_told_is_found_by_a_listing(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    died, vanished, again, paused = (running_one(rig) for _ in range(4))
    _at_rest(rig)
    _deafen(rig, monkeypatch)
    runtime = rig.fakes.runtime
    runtime.die(died.uuid, 4)
    runtime.vanish(vanished.uuid)
    runtime.pause_behind(paused.uuid)
    runtime.die(again.uuid, 1)
    runtime.start_behind(again.uuid)
    runtime.gap()
    assert rig.until(died.uuid, "Stopped").exit_code == 4
    rig.until(vanished.uuid, "Error")
    rig.until(paused.uuid, "Paused")
    until(rig, again.uuid, lambda r: r.started_at != again.started_at)


def test_what_the_engine_has_and_does_not_list_is_listed_again(rig: Rig) -> None:
    one, vanished = running_one(rig), running_one(rig)
    _at_rest(rig)
    runtime = rig.fakes.runtime
    runtime.script("relist", Fail(Unavailable("no space left on device")))
    runtime.leave_out(one.uuid)
    runtime.leave_out(vanished.uuid)
    with runtime._lock:
        del runtime._boxes[vanished.uuid]
    runtime.gap()
    rig.until(vanished.uuid, "Error")
    eventually(
        lambda: (
            one.uuid in {f.uuid for f in runtime.list(rig.house.agent._means.host_id, Deadline(10))}
        ),
        "it is listed",
    )
    row = rig.row(one.uuid)
    assert row is not None
    assert row.status is Status.RUNNING
    assert runtime.called("relist", vanished.uuid) == 0


def test_a_listing_that_fails_is_tried_again(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    one = running_one(rig)
    _deafen(rig, monkeypatch)
    rig.fakes.runtime.die(one.uuid, 1)
    rig.fakes.runtime.script("list", Fail(Unavailable("the engine is starting")))
    rig.fakes.runtime.gap()
    rig.until(one.uuid, "Stopped")


def test_what_happened_while_the_service_was_away_is_found_at_start(
    folder: Path, fakes: Fakes
) -> None:
    with running(folder, fakes) as rig:
        died, vanished, swept = (
            running_one(rig),
            running_one(rig),
            running_one(rig, auto_remove=True),
        )
    fakes.runtime.die(died.uuid, 2)
    fakes.runtime.vanish(vanished.uuid)
    fakes.runtime.die(swept.uuid, 0)
    fakes.runtime._closed.clear()
    with running(folder, fakes) as rig:
        assert rig.until(died.uuid, "Stopped").exit_code == 2
        rig.until(vanished.uuid, "Error")
        gone(rig, swept.uuid)


def test_rows_of_other_hosts_and_in_transit_are_left_alone(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    theirs = container(host="host-2", status=Status.RUNNING, container_id="x")
    unplaced = container(host=None, status=Status.ERROR)
    deleting = container(host=HOST, status=Status.DELETING)
    rows = [theirs, unplaced, deleting]
    with rig.db.write() as conn:
        for row in rows:
            containers.insert(conn, row)
    for row in rows:
        rig.house.agent.observer.look_at(row.uuid)
    listed = rig.fakes.runtime.called("list")
    rig.fakes.runtime.gap()
    eventually(lambda: rig.fakes.runtime.called("list") > listed)
    _at_rest(rig)
    for row in rows:
        now = rig.row(row.uuid)
        assert now is not None
        assert (now.status, now.status_reason, now.updated_at) == (row.status, None, None)
    assert rig.fakes.runtime.called("inspect", theirs.uuid) == 0


# ---- auto_remove


def test_defect_17_one_of_another_host_is_not_removed_by_this_one(rig: Rig) -> None:
    ended = Status.STOPPED, Status.DELETED
    theirs = [container(host="host-2", auto_remove=True, status=status) for status in ended]
    with rig.db.write() as conn:
        for row in theirs:
            containers.insert(conn, row)
    for row in theirs:
        rig.house.agent.observer.look_at(row.uuid)
    listed = rig.fakes.runtime.called("list")
    rig.fakes.runtime.gap()
    eventually(lambda: rig.fakes.runtime.called("list") > listed)
    _at_rest(rig)
    assert [rig.row(row.uuid) for row in theirs] == [replace(row, id=now.id) for row in theirs
                                                    if (now := rig.row(row.uuid))]  # fmt: skip
    assert [actions(rig, row.uuid) for row in theirs] == [[], []]


def test_one_that_ends_by_itself_is_removed(rig: Rig) -> None:
    one = running_one(rig, auto_remove=True)
    rig.fakes.runtime.die(one.uuid, 1)
    gone(rig, one.uuid)


def test_one_that_ends_before_anybody_looks_is_removed(rig: Rig) -> None:
    one = rig.create(replace(RUN, auto_remove=True, command=["true"]))
    gone(rig, one.uuid)


@pytest.mark.parametrize("action", [Action.STOP, Action.KILL])
def test_one_that_its_user_ends_is_removed(rig: Rig, action: Action) -> None:
    one = running_one(rig, auto_remove=True)
    rig.house.services.containers.act(caller(), one, action)
    gone(rig, one.uuid)


def test_one_that_vanished_leaves_no_row(rig: Rig) -> None:
    one = running_one(rig, auto_remove=True)
    rig.fakes.runtime.vanish(one.uuid)
    gone(rig, one.uuid)


def test_one_that_was_never_started_stays(rig: Rig) -> None:
    one = rig.create(Draft(image="busybox", auto_remove=True))
    rig.settled(one.uuid)
    rig.house.agent.observer.look_at(one.uuid)
    _at_rest(rig)
    row = rig.row(one.uuid)
    assert row is not None
    assert row.status is Status.CREATED


def test_a_reboot_does_not_remove_it(rig: Rig) -> None:
    one = running_one(rig, auto_remove=True)
    rig.house.services.containers.act(caller(), one, Action.REBOOT)
    rig.settled(one.uuid)
    _at_rest(rig)
    row = rig.row(one.uuid)
    assert row is not None
    assert row.status is Status.RUNNING


@pytest.mark.parametrize("recorded", [Status.STOPPED, Status.DELETED])
def test_a_removal_that_was_seen_but_not_opened_before_a_crash_is_opened_at_the_next_start(
    folder: Path, fakes: Fakes, recorded: Status
) -> None:
    with running(folder, fakes) as rig:
        one = running_one(rig, auto_remove=True)
    # The row is written, and the process dies before it opens the delete.
    if recorded is Status.DELETED:
        fakes.runtime.vanish(one.uuid)
    else:
        fakes.runtime.die(one.uuid, 0)
    rig = make(folder, fakes)
    with rig.db.write() as conn:
        containers.update(conn, one.uuid, utcnow(), status=recorded)
    rig.db.close()
    fakes.runtime._closed.clear()
    with running(folder, fakes) as rig:
        gone(rig, one.uuid)


# ---- auto_heal


@pytest.mark.parametrize("paused", [False, True])
def test_one_that_vanished_is_built_again_and_runs(rig: Rig, paused: bool) -> None:
    one = running_one(rig, auto_heal=True)
    if paused:
        rig.fakes.runtime.pause_behind(one.uuid)
        rig.until(one.uuid, "Paused")
    rig.fakes.runtime.vanish(one.uuid)
    row = until(rig, one.uuid, lambda r: r.container_id != one.container_id)
    row = rig.until(one.uuid, "Running")
    assert actions(rig, one.uuid) == [Action.CREATE, Action.REBUILD]
    assert row.addresses == one.addresses
    assert rig.fakes.runtime.plan_of(one.uuid).attachments


def test_one_that_was_removed_by_force_is_seen_to_die_first_and_runs_again(rig: Rig) -> None:
    one = running_one(rig, auto_heal=True)
    rig.fakes.runtime.die(one.uuid, 137)
    rig.until(one.uuid, "Stopped")
    rig.fakes.runtime.vanish(one.uuid)
    until(rig, one.uuid, lambda r: r.container_id != one.container_id)
    rig.until(one.uuid, "Running")


@pytest.mark.parametrize("by_user", [False, True])
def test_a_stopped_one_that_vanished_is_built_again_and_does_not_run(
    rig: Rig, by_user: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = running_one(rig, auto_heal=True)
    if by_user:
        rig.house.services.containers.act(caller(), one, Action.STOP)
        rig.settled(one.uuid)
    else:
        rig.fakes.runtime.die(one.uuid, 0)
        monkeypatch.setattr(observer, "_JUST_DIED", timedelta(0))  # as if it were long ago
    rig.until(one.uuid, "Stopped")
    rig.fakes.runtime.vanish(one.uuid)
    rig.until(one.uuid, "Created")
    assert rig.fakes.runtime.inspect(one.uuid, Deadline(10)).observed is Observed.CREATED


def test_an_ill_one_is_rebooted(rig: Rig) -> None:
    one = running_one(rig, auto_heal=True, healthcheck=CHECK)
    rig.fakes.runtime.set_health(one.uuid, "unhealthy")
    row = until(rig, one.uuid, lambda r: r.started_at != one.started_at)
    row = rig.until(one.uuid, "Running")
    assert row.health == "starting"
    assert actions(rig, one.uuid) == [Action.CREATE, Action.REBOOT]


def test_one_that_died_is_not_healed(rig: Rig) -> None:
    one = running_one(rig, auto_heal=True)
    rig.fakes.runtime.die(one.uuid, 1)
    rig.until(one.uuid, "Stopped")
    _at_rest(rig)
    assert actions(rig, one.uuid) == [Action.CREATE]


def test_a_heal_that_fails_is_an_error_and_is_not_tried_for_ever(rig: Rig) -> None:
    one = running_one(rig, auto_heal=True)
    rig.fakes.runtime.script("create", Fail(Rejected("the image is broken")))
    rig.fakes.runtime.vanish(one.uuid)
    row = rig.until(one.uuid, "Error")
    _at_rest(rig)
    rig.settled(one.uuid)
    assert row.status_reason == "the image is broken"
    assert actions(rig, one.uuid) == [Action.CREATE, Action.REBUILD]
    # Whoever looks again sees that it is gone, which is not why it is in Error.
    rig.house.agent.observer.look_at(one.uuid)
    _at_rest(rig)
    again = rig.row(one.uuid)
    assert again is not None
    assert again.status_reason == "the image is broken"
