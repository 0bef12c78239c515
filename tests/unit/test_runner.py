"""What becomes of an operation when the world does not do as it is told. The whole house, on scripted fakes."""

from __future__ import annotations

import base64
import ipaddress
import threading
from collections.abc import Callable, Sequence
from typing import Any

import pytest
from tests.support.house import Fakes, Rig, caller, eventually, quick_settings
from tests.support.rows import NOW, operation
from tests.unit.conftest import Start

from zun.drivers.deadline import Deadline
from zun.drivers.errors import (
    Conflict,
    DriverError,
    NotFound,
    Rejected,
    TimedOut,
    Unavailable,
    Unsupported,
)
from zun.drivers.fake import Act, Block, Fail, LoseReply
from zun.drivers.fake.script import Scripted
from zun.model.container import Container, Draft, MountRequest
from zun.model.lifecycle import Action, Status
from zun.model.operation import Event, EventKind, Operation, OperationState
from zun.store import claims, containers, hosts, networks, operations, schema
from zun.work import attempt, kinds

pytestmark = pytest.mark.databases

K = EventKind
SECRET = base64.b64encode(b"the content of a file").decode()
FULL = Draft(
    image="busybox",
    run=True,
    mounts=[MountRequest(type="bind", destination="/etc/x", source=SECRET)],
)
STEPS = ["place", "files", "ports", "image", "runtime_create", "runtime_start"]
#: step on the host -> the fake and the verb that do it.
VERBS: dict[str, tuple[Callable[[Fakes], Scripted], str]] = {
    "files": (lambda f: f.volumes, "ensure"),
    "ports": (lambda f: f.networks, "ensure_network"),
    "image": (lambda f: f.images, "ensure"),
    "runtime_create": (lambda f: f.runtime, "create"),
    "runtime_start": (lambda f: f.runtime, "start"),
}


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(attempt, "_FIRST_BACKOFF", 0.01)


def script(fakes: Fakes, step: str, *items: Any) -> None:
    of, verb = VERBS[step]
    of(fakes).script(verb, *items)


def story(rig: Rig, uuid: str) -> list[Event]:
    """The events of the container's first operation."""
    with rig.db.read() as conn:
        first = operations.of_container(conn, uuid)[-1]
        return list(operations.events_of(conn, first.uuid))


def of_kind(events: Sequence[Event], kind: EventKind) -> list[str | None]:
    return [e.step for e in events if e.kind is kind]


def last(rig: Rig, uuid: str) -> Operation:
    with rig.db.read() as conn:
        return operations.of_container(conn, uuid)[0]


def nothing_is_left(rig: Rig, *, records: bool = True) -> None:
    """Nothing on the host, nothing claimed, nothing open."""
    fakes = rig.fakes
    assert list(fakes.runtime.uuids()) == []
    assert list(fakes.volumes.list()) == []
    assert list(fakes.networks.list_networks(Deadline(10))) == []
    with rig.db.read() as conn:
        assert list(claims.claims_on(conn, "host-1")) == []
        assert conn.execute(schema.ports.select()).all() == []
        assert list(networks.every(conn)) == []
        assert operations.open_counts(conn) == {}
        host = hosts.find(conn, "host-1")
        if records:
            assert conn.execute(schema.containers.select()).all() == []
            assert conn.execute(schema.operations.select()).all() == []
    assert host is not None
    assert (host.cpu_used, host.mem_used, host.total_containers) == (0.0, 0, 0)


def failed(rig: Rig, uuid: str) -> Container:
    row = rig.settled(uuid)
    assert row is not None
    assert (row.status, row.host, row.container_id, row.addresses) == ("Error", None, None, None)
    return row


# ---- the story of a good run


def test_the_events_tell_the_story_in_order(rig: Rig) -> None:
    one = rig.create(FULL)
    row = rig.settled(one.uuid)
    assert row is not None
    assert row.status is Status.RUNNING
    told = [(e.kind, e.step) for e in story(rig, one.uuid)]
    assert told == [(K.ACCEPTED, None), *((K.STEP_DONE, s) for s in STEPS), (K.DONE, None)]
    done = last(rig, one.uuid)
    assert (done.state, done.error, done.params) == (OperationState.DONE, None, {})
    assert done.finished_at is not None
    assert SECRET not in str(done)
    assert rig.fakes.volumes.content(one.uuid, 0) == b"the content of a file"


def test_created_only_is_created(rig: Rig) -> None:
    one = rig.create(Draft(image="busybox"))
    row = rig.settled(one.uuid)
    assert row is not None
    assert (row.status, row.host) == ("Created", "host-1")
    assert row.container_id
    assert rig.fakes.runtime.called("start") == 0


# ---- trying again


@pytest.mark.parametrize("step", VERBS)
def test_unavailable_is_tried_again_and_told_once(rig: Rig, step: str) -> None:
    script(rig.fakes, step, Fail(Unavailable("come again"), times=4))
    one = rig.create(FULL)
    row = rig.settled(one.uuid)
    assert row is not None
    assert (row.status, row.status_reason) == ("Running", None)
    of, verb = VERBS[step]
    assert of(rig.fakes).called(verb) == 5
    events = story(rig, one.uuid)
    assert of_kind(events, K.STEP_FAILED) == [step], "the same error again is not told again"
    assert of_kind(events, K.STEP_UNDONE) == []
    assert (last(rig, one.uuid).state, last(rig, one.uuid).error) == (OperationState.DONE, None)


def test_another_error_is_told(rig: Rig) -> None:
    errors = ["one", "one", "two", "two", "one"]
    script(rig.fakes, "runtime_create", *(Fail(Unavailable(e)) for e in errors))
    one = rig.create(FULL)
    rig.settled(one.uuid)
    told = [e.detail for e in story(rig, one.uuid) if e.kind is K.STEP_FAILED]
    assert [d["error"] for d in told if d] == ["one", "two", "one"]


@pytest.mark.parametrize("step", VERBS)
def test_a_lost_reply_is_found_to_have_taken_effect(rig: Rig, step: str) -> None:
    script(rig.fakes, step, LoseReply(), LoseReply())
    one = rig.create(FULL)
    row = rig.settled(one.uuid)
    assert row is not None
    assert row.status is Status.RUNNING
    assert list(rig.fakes.runtime.uuids()) == [one.uuid]
    assert len(rig.fakes.networks.list_networks(Deadline(10))) == 1
    assert row.container_id == rig.fakes.runtime.inspect(one.uuid, Deadline(10)).runtime_id


def test_the_pause_between_attempts_grows_and_is_capped(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()
    monkeypatch.setattr("random.uniform", lambda low, high: 1.0)
    pauses = [attempt._backoff(n) for n in range(1, 500)]
    assert pauses == sorted(pauses)
    assert pauses[1] == pauses[0] * 2
    assert pauses[-1] == attempt._LONGEST_BACKOFF
    assert pauses[0] < 1


def test_a_subnet_that_the_host_refuses_is_exchanged(start: Start) -> None:
    fakes = Fakes()
    fakes.networks._taken.extend(_nets("10.201.0.0/24", "10.201.1.0/24"))
    rig = start(fakes)
    one = rig.create(FULL)
    row = rig.settled(one.uuid)
    assert row is not None
    assert row.status is Status.RUNNING
    assert row.addresses is not None
    [[address]] = row.addresses.values()
    assert address["addr"] == "10.201.2.2"


def _nets(*texts: str) -> list[Any]:
    return [ipaddress.ip_network(t) for t in texts]


# ---- turning round

FATAL: list[DriverError] = [
    Rejected("it says no"), Unsupported("it can't"), NotFound("it isn't there"), Conflict("it is busy"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("step", "error"),
    # A subnet's conflict is answered with another subnet: tested on its own.
    [(s, e) for s in VERBS for e in FATAL if (s, type(e)) != ("ports", Conflict)],
    ids=lambda v: v if isinstance(v, str) else type(v).__name__,
)
def test_a_refusal_is_undone_in_reverse(rig: Rig, step: str, error: DriverError) -> None:
    if step == "runtime_start" and isinstance(error, NotFound):
        script(rig.fakes, step, Fail(error))  # answered by making the network again, once
    script(rig.fakes, step, Fail(error))
    one = rig.create(FULL)
    row = failed(rig, one.uuid)
    assert row.status_reason == error.public
    assert row.mounts is None
    events = story(rig, one.uuid)
    assert of_kind(events, K.STEP_DONE) == STEPS[: STEPS.index(step)]
    # What another host might do is asked of the others, of which there is none.
    assert of_kind(events, K.STEP_FAILED) == [step, *(["place"] if error.elsewhere else [])]
    undoable = [s for s in STEPS[: STEPS.index(step) + 1] if s not in ("image", "runtime_start")]
    again = ["place"] if error.elsewhere else []
    assert of_kind(events, K.STEP_UNDONE) == [*undoable[::-1], *again]
    assert [events[0].kind, events[-1].kind] == [K.ACCEPTED, K.FAILED]
    ended = last(rig, one.uuid)
    assert (ended.state, ended.error, ended.params) == (OperationState.FAILED, error.public, {})
    nothing_is_left(rig, records=False)


def test_a_subnet_conflict_that_stays_is_an_error(rig: Rig) -> None:
    script(rig.fakes, "ports", Fail(Conflict("all is taken"), times=100))
    one = rig.create()
    assert failed(rig, one.uuid).status_reason == "all is taken"
    nothing_is_left(rig, records=False)


@pytest.mark.parametrize("step", VERBS)
def test_a_defect_of_ours_is_a_code_for_the_user_and_a_traceback_for_the_log(
    rig: Rig, step: str, caplog: pytest.LogCaptureFixture
) -> None:
    script(rig.fakes, step, Fail(RuntimeError("password=hunter2 /etc/secret")))
    one = rig.create(FULL)
    reason = failed(rig, one.uuid).status_reason
    assert reason is not None
    assert "hunter2" not in reason
    code = reason.rpartition(" ")[2].rstrip(".")
    assert len(code) == 12
    logged = [r for r in caplog.records if code in r.getMessage()]
    assert logged
    assert any(r.exc_info and "hunter2" in str(r.exc_info[1]) for r in logged)
    with rig.db.read() as conn:
        stored = str(conn.execute(schema.events.select()).all())
    assert "hunter2" not in stored
    nothing_is_left(rig, records=False)


def test_an_undo_that_can_wait_is_tried_again_and_told_once(rig: Rig) -> None:
    script(rig.fakes, "runtime_start", Fail(Rejected("bad command")))
    rig.fakes.runtime.script("remove", Fail(Unavailable("come again"), times=5))
    one = rig.create(FULL)
    assert failed(rig, one.uuid).status_reason == "bad command"
    told = of_kind(story(rig, one.uuid), K.STEP_FAILED)
    assert told == ["runtime_start", "runtime_create"], "five times the same is told once"
    assert rig.fakes.runtime.called("remove") == 6
    nothing_is_left(rig, records=False)


@pytest.mark.parametrize("error", [Rejected("never"), RuntimeError("a defect")])
def test_an_undo_that_never_works_does_not_hold_up_the_rest(rig: Rig, error: Exception) -> None:
    script(rig.fakes, "runtime_start", Fail(Rejected("bad command")))
    rig.fakes.runtime.script("remove", Fail(error))
    one = rig.create(FULL)
    row = rig.settled(one.uuid)
    assert row is not None
    assert (row.status, row.host, row.status_reason) == ("Error", None, "bad command")
    assert row.container_id is not None, "it is still there"
    undone = of_kind(story(rig, one.uuid), K.STEP_UNDONE)
    assert undone == ["ports", "files", "place"]
    # It has a record, so the reaper leaves it alone; when that is deleted, it goes.
    rig.house.services.containers.delete(caller(), row, force=False, stop=False)
    assert rig.row(one.uuid) is None
    rig.fakes.runtime.gap()
    eventually(lambda: not rig.fakes.runtime.uuids(), "the reaper removes what is left")
    nothing_is_left(rig)


def test_the_deadline_ends_a_create_the_engine_never_answers(start: Start) -> None:
    never = threading.Event()
    rig = start(settings=quick_settings(operation_seconds=1.0))
    script(rig.fakes, "runtime_create", *(Block(never) for _ in range(50)))
    one = rig.create(FULL)
    reason = failed(rig, one.uuid).status_reason
    assert reason is not None
    assert reason.startswith("Gave up after ")
    assert last(rig, one.uuid).state is OperationState.FAILED
    nothing_is_left(rig, records=False)


def test_the_deadline_ends_what_is_tried_again_and_again(start: Start) -> None:
    rig = start(settings=quick_settings(operation_seconds=0.5))
    script(rig.fakes, "image", Fail(Unavailable("the registry is away"), times=10_000))
    one = rig.create(FULL)
    reason = failed(rig, one.uuid).status_reason
    assert reason is not None
    assert "the registry is away" in reason
    nothing_is_left(rig, records=False)


def test_what_was_waited_for_is_the_reason_and_not_that_the_time_is_over(start: Start) -> None:
    never = threading.Event()
    rig = start(settings=quick_settings(operation_seconds=1.0))
    script(rig.fakes, "image", Fail(Unavailable("the registry is away")), Block(never))
    one = rig.create(FULL)
    reason = failed(rig, one.uuid).status_reason
    assert reason is not None
    assert reason.endswith("the registry is away")


def test_a_failed_delete_says_so_and_shows_what_the_engine_shows(rig: Rig) -> None:
    one = rig.create()
    row = rig.settled(one.uuid)
    assert row is not None
    rig.fakes.runtime.script("remove", Fail(Rejected("device or resource busy")))
    rig.house.services.containers.delete(caller(), row, force=True, stop=False)
    row = rig.settled(one.uuid)
    assert row is not None
    assert (row.status, row.status_reason) == ("Running", "device or resource busy")
    rig.house.services.containers.delete(caller(), row, force=True, stop=False)
    assert rig.settled(one.uuid) is None
    nothing_is_left(rig)


def test_a_failed_delete_of_a_create_does_not_leave_creating(rig: Rig) -> None:
    go, entered = threading.Event(), threading.Event()
    script(rig.fakes, "runtime_create", Block(go, entered=entered))
    one = rig.create()
    assert entered.wait(30)
    rig.fakes.runtime.script("remove", Fail(Rejected("device or resource busy")))
    rig.house.services.containers.delete(caller(), one, force=True, stop=False)
    go.set()
    row = rig.settled(one.uuid)
    assert row is not None
    assert (row.status, row.status_reason) == ("Error", "device or resource busy")


# ---- the journal's own words


def test_a_step_that_only_a_newer_release_knows_waits_for_its_processes(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    newer = attempt.STEPS
    ours = {name: step for name, step in newer.items() if name != "runtime_create"}
    monkeypatch.setattr(attempt, "STEPS", ours)
    one = rig.create(FULL)
    eventually(lambda: last(rig, one.uuid).error, "it waits and says why")
    assert "does not know the step 'runtime_create'" in str(last(rig, one.uuid).error)
    monkeypatch.setattr(attempt, "STEPS", newer)
    row = rig.settled(one.uuid)
    assert row is not None
    assert row.status is Status.RUNNING
    assert of_kind(story(rig, one.uuid), K.STEP_UNDONE) == []


def test_a_step_this_version_does_not_know_is_an_error_in_the_end_and_never_skipped(
    still: Rig,
) -> None:
    one = still.create(FULL)
    steps = ["place", "ports", "step_of_tomorrow", "runtime_create"]
    with still.db.write() as conn:
        conn.execute(schema.operations.update().values(steps=steps))
    still.house.start()
    try:
        eventually(lambda: last(still, one.uuid).error, "it waits for a release that knows it")
        with still.db.write() as conn:
            conn.execute(schema.operations.update().values(deadline=NOW, not_before=None))
        assert "'step_of_tomorrow'" in str(failed(still, one.uuid).status_reason)
        assert still.fakes.runtime.called("create") == 0
        nothing_is_left(still, records=False)
    finally:
        still.house.stop(30)


def test_the_stored_steps_run_whatever_the_code_says_now(
    still: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = still.create(FULL)
    monkeypatch.setattr(kinds, "steps_of", lambda *a: pytest.fail("asked again"))
    with still.db.write() as conn:
        conn.execute(
            schema.operations.update().values(steps=[s for s in STEPS if s != "files"][:4])
        )
    still.house.start()
    try:
        row = still.settled(one.uuid)
        assert row is not None
        assert row.status is Status.CREATED, "there was no runtime_start in the list"
        assert still.fakes.volumes.called("ensure") == 0
    finally:
        still.house.stop(30)


def test_no_host_is_an_error_that_explains_itself(still: Rig) -> None:
    still.house.conductor.start()
    try:
        one = still.create()
        assert one.status is Status.CREATING
        row = failed(still, one.uuid)
        assert row.status_reason == (
            "There are not enough hosts available (no host has registered)."
        )
        assert last(still, one.uuid).queue == "@conductor"
    finally:
        still.house.conductor.stop(30)


def test_a_host_too_small_is_named_in_the_reason(rig: Rig) -> None:
    one = rig.create(Draft(image="busybox", memory=1_000_000))
    assert failed(rig, one.uuid).status_reason == (
        "There are not enough hosts available (1 host: 1 short of memory)."
    )
    assert rig.row(one.uuid) is not None


def test_an_operation_of_a_row_that_is_gone_ends(rig: Rig) -> None:
    stray = operation(created_at=NOW)
    with rig.db.write() as conn:
        operations.open_(conn, stray)
    rig.house.conductor._bus.nudge("@conductor")

    def closed() -> bool:
        with rig.db.read() as conn:
            found = operations.get(conn, stray.uuid)
        return found is not None and found.state is OperationState.CANCELLED

    eventually(closed)


@pytest.mark.parametrize("queue", ["@conductor", "host:host-1", "host:elsewhere", "nonsense"])
def test_doubled_and_stray_nudges_are_harmless(rig: Rig, queue: str) -> None:
    bus = rig.house.conductor._bus
    for _ in range(20):
        bus.nudge(queue)
    one = rig.create()
    for _ in range(20):
        bus.nudge(queue)
    rig.settled(one.uuid)
    assert rig.fakes.runtime.called("create") == 1


def test_lost_nudges_cost_only_the_slow_poll(start: Start) -> None:
    class Deaf:
        """Carries questions, loses every nudge."""

        def nudge(self, queue: str) -> None: ...
        def listen(self, queue: str, wake: Any) -> None: ...
        def answer(self, host: str, answers: Any) -> None: ...
        def ask(self, *a: Any) -> Any: ...

    rig = start(bus=Deaf())
    one = rig.create()
    row = rig.settled(one.uuid)
    assert row is not None
    assert row.status is Status.RUNNING


# ---- the other actions


def test_actions_settle_as_the_engine_shows(rig: Rig) -> None:
    do = rig.house.services.containers.act
    one = rig.create()
    row = rig.settled(one.uuid)
    moves: list[tuple[Action, dict[str, Any], str]] = [
        (Action.STOP, {"timeout": 3}, "Stopped"),
        (Action.START, {}, "Running"),
        (Action.PAUSE, {}, "Paused"),
        (Action.UNPAUSE, {}, "Running"),
        (Action.REBOOT, {"timeout": 0}, "Running"),
        (Action.KILL, {"signal": "HUP"}, "Running"),
        (Action.REBUILD, {}, "Running"),
        (Action.KILL, {"signal": None}, "Stopped"),
        (Action.REBUILD, {"image": "other:1"}, "Created"),
        (Action.START, {}, "Running"),
    ]
    for action, params, expected in moves:
        assert row is not None
        do(caller(), row, action, **params)
        row = rig.settled(one.uuid)
        assert row is not None
        assert (row.status, row.status_reason) == (expected, None), action
        assert last(rig, one.uuid).state is OperationState.DONE
    assert row is not None
    assert row.image == "other:1"
    assert len(rig.fakes.runtime.uuids()) == 1
    stops = [c.args for c in rig.fakes.runtime.calls if c.verb == "stop"]
    assert stops[0] == (3,)
    assert row.container_id == rig.fakes.runtime.inspect(one.uuid, Deadline(10)).runtime_id


@pytest.mark.parametrize(
    ("action", "verb", "expected"),
    [
        (Action.STOP, "stop", "Running"),
        (Action.PAUSE, "pause", "Running"),
        (Action.KILL, "signal", "Running"),
        (Action.REBOOT, "stop", "Running"),
        (Action.REBUILD, "remove", "Stopped"),  # it had been stopped to be rebuilt
    ],
)
def test_actions_that_fail_leave_what_is_there(
    rig: Rig, action: Action, verb: str, expected: str
) -> None:
    one = rig.create()
    row = rig.settled(one.uuid)
    assert row is not None
    rig.fakes.runtime.script(verb, Fail(Rejected("no way")))
    rig.house.services.containers.act(caller(), row, action)
    rig.settled(one.uuid)
    row = rig.until(one.uuid, expected)
    assert (row.status_reason, row.host) == ("no way", "host-1")
    assert last(rig, one.uuid).state is OperationState.FAILED
    with rig.db.read() as conn:
        assert claims.held_by(conn, one.uuid) is not None, "what it has, it keeps"


def test_a_start_that_can_not_be_is_an_error_with_the_engines_words(rig: Rig) -> None:
    one = rig.create(Draft(image="busybox", command=["/no/such"]))
    row = rig.settled(one.uuid)
    assert row is not None
    rig.house.services.containers.act(caller(), row, Action.START)
    row = rig.settled(one.uuid)
    assert row is not None
    assert row.status is Status.ERROR
    assert "executable file not found" in (row.status_reason or "")
    assert row.host == "host-1"


# ---- deletes that come in between


@pytest.mark.parametrize("step", VERBS)
def test_a_forced_delete_takes_the_place_of_a_create_at_any_step(rig: Rig, step: str) -> None:
    go, entered = threading.Event(), threading.Event()
    script(rig.fakes, step, Block(go, entered=entered))
    one = rig.create(FULL)
    assert entered.wait(30), f"{step} was never reached"
    rig.house.services.containers.delete(caller(), one, force=True, stop=False)
    row = rig.row(one.uuid)
    if row is not None:
        assert row.status is Status.DELETING
    go.set()
    assert rig.settled(one.uuid) is None
    nothing_is_left(rig)
    assert rig.fakes.runtime.called("start") == (step == "runtime_start")


def test_a_delete_of_what_nobody_began_goes_at_once(still: Rig) -> None:
    one = still.create(FULL)
    still.house.services.containers.delete(caller(), one, force=True, stop=False)
    assert still.row(one.uuid) is None
    with still.db.read() as conn:
        assert operations.open_counts(conn) == {}
        assert conn.execute(schema.operations.select()).all() == []


def test_a_delete_while_it_is_being_placed(start: Start) -> None:
    go, entered = threading.Event(), threading.Event()

    def hold(point: str) -> None:
        if point == "before:create:place":
            entered.set()
            assert go.wait(30)

    rig = start(checkpoint=hold)
    one = rig.create(FULL)
    assert entered.wait(30)
    rig.house.services.containers.delete(caller(), one, force=True, stop=False)
    go.set()
    assert rig.settled(one.uuid) is None
    nothing_is_left(rig)
    assert rig.fakes.volumes.called("ensure") == 0


@pytest.mark.parametrize("times", [1, 2, 3])
def test_a_delete_of_a_delete(rig: Rig, times: int) -> None:
    one = rig.create(FULL)
    row = rig.settled(one.uuid)
    assert row is not None
    go, entered = threading.Event(), threading.Event()
    rig.fakes.runtime.script("remove", Block(go, entered=entered))
    rig.house.services.containers.delete(caller(), row, force=True, stop=False)
    assert entered.wait(30)
    for _ in range(times):
        rig.house.services.containers.delete(caller(), row, force=True, stop=False)
    go.set()
    assert rig.settled(one.uuid) is None
    nothing_is_left(rig)


def test_a_delete_does_not_wait_for_the_pull(rig: Rig) -> None:
    never, entered = threading.Event(), threading.Event()
    rig.fakes.images.script("pull", Block(never, entered=entered))
    one = rig.create(FULL)
    assert entered.wait(30)
    rig.house.services.containers.delete(caller(), one, force=True, stop=False)
    assert rig.settled(one.uuid) is None
    assert not never.is_set(), "the pull still hangs"
    nothing_is_left(rig)
    never.set()


def test_a_delete_with_stop_stops_first(rig: Rig) -> None:
    one = rig.create(FULL)
    row = rig.settled(one.uuid)
    assert row is not None
    rig.house.services.containers.delete(caller(), row, force=False, stop=True)
    assert rig.settled(one.uuid) is None
    verbs = [c.verb for c in rig.fakes.runtime.calls if c.verb in ("stop", "remove")]
    assert verbs == ["stop", "remove"]
    nothing_is_left(rig)


def test_the_parameters_of_a_create_that_is_broken_off_are_wiped(rig: Rig) -> None:
    go, entered = threading.Event(), threading.Event()
    script(rig.fakes, "image", Block(go, entered=entered))
    one = rig.create(FULL)
    assert entered.wait(30)
    rig.fakes.volumes.script(
        "release", Fail(Rejected("so that the delete fails and all can be seen"))
    )
    rig.house.services.containers.delete(caller(), one, force=True, stop=False)
    go.set()
    rig.settled(one.uuid)
    with rig.db.read() as conn:
        states = {o.state: o.params for o in operations.of_container(conn, one.uuid)}
    assert states == {OperationState.CANCELLED: {}, OperationState.FAILED: {}}


def test_other_containers_go_on_while_one_hangs(rig: Rig) -> None:
    go, entered = threading.Event(), threading.Event()
    script(rig.fakes, "runtime_create", Block(go, entered=entered))
    hangs = rig.create()
    assert entered.wait(30)
    others = [rig.create() for _ in range(7)]  # as many as fit
    for other in others:
        row = rig.settled(other.uuid)
        assert row is not None
        assert row.status is Status.RUNNING
    go.set()
    row = rig.settled(hangs.uuid)
    assert row is not None
    assert row.status is Status.RUNNING


def test_an_effect_in_the_database_is_taken_back_with_a_lost_compare_and_set(rig: Rig) -> None:
    # Somebody writes to the operation while its step acts; the step's columns must not be written.
    def meddle() -> None:
        with rig.db.write() as conn:
            conn.execute(schema.operations.update().values(version=schema.operations.c.version + 1))

    rig.fakes.runtime.script("create", Act(after=meddle))
    one = rig.create()
    row = rig.settled(one.uuid)
    assert row is not None
    assert row.status is Status.RUNNING
    assert rig.fakes.runtime.called("create") == 2, "looked at again, and adopted"
    assert of_kind(story(rig, one.uuid), K.STEP_DONE).count("runtime_create") == 1
    with rig.db.read() as conn:
        assert containers.missing(conn, [one.uuid]) == set()


def test_timed_out_at_the_engine_is_not_the_end(rig: Rig) -> None:
    script(rig.fakes, "runtime_start", Fail(TimedOut("slow"), times=2))
    one = rig.create()
    row = rig.settled(one.uuid)
    assert row is not None
    assert row.status is Status.RUNNING
