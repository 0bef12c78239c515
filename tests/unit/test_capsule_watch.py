"""A capsule's status follows the engine (defect 13.2-43), and every status has a reason that names the member."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.capsules import Watched, capsule, draft, made, member
from tests.support.house import Fakes, Rig, eventually
from tests.support.lab import soon
from tests.support.rows import container

from zun.drivers.errors import Rejected, TimedOut
from zun.drivers.fake import Fail
from zun.drivers.runtime import Plan
from zun.model.capsule import state_of
from zun.model.lifecycle import Action, Observed, Status
from zun.model.names import new_uuid
from zun.model.operation import EventKind
from zun.store import capsules, events

RUNNING, EXITED = Observed.RUNNING, Observed.EXITED


def started(rig: Rig, *members: Any, **changes: Any) -> Watched:
    one = made(rig, draft(*members, **changes))
    one.settled()
    one.until(Status.RUNNING)
    return one


# ---- the rule alone


def _member(status: Status = Status.RUNNING, code: int | None = None, **changes: Any) -> Any:
    return container(name="m", status=status, exit_code=code, **changes)


STOPPED = Status.STOPPED


@pytest.mark.parametrize(
    ("restarts", "members", "status", "reason"),
    [
        ("always", [_member(), _member()], Status.RUNNING, None),
        ("always", [_member(STOPPED, 0, init=True), _member()], Status.RUNNING, None),
        ("always", [_member(), _member(STOPPED, 0)], Status.ERROR, "Container m is Stopped with exit code 0"),
        ("always", [_member(STOPPED, 1, init=True), _member()], Status.ERROR,
         "Init container m is Stopped with exit code 1"),
        ("always", [_member(init=True), _member()], Status.ERROR, "Init container m is Running"),
        ("no", [_member(), _member(STOPPED, 0)], Status.RUNNING, None),
        ("no", [_member(STOPPED, 0), _member(STOPPED, 0)], Status.STOPPED, None),
        ("on-failure", [_member(STOPPED, 0, init=True), _member(STOPPED, 0)], Status.STOPPED, None),
        ("no", [_member(STOPPED, 2), _member(STOPPED, 3)], Status.ERROR,
         "Container m is Stopped with exit code 2, and 1 more"),
        ("always", [_member(Status.PAUSED)], Status.ERROR, "Container m is Paused"),
        ("always", [_member(Status.RESTARTING, status_reason="It fails.")], Status.ERROR,
         "Container m is Restarting (It fails)"),
    ],
)  # fmt: skip
def test_the_status_follows_from_the_members(
    restarts: str, members: list[Any], status: Status, reason: str | None
) -> None:
    assert state_of(restarts, members, RUNNING) == (status, reason)


@pytest.mark.parametrize("sandbox", [o for o in Observed if o is not RUNNING])
def test_without_its_sandbox_it_is_in_error(sandbox: Observed) -> None:
    status, reason = state_of("always", [_member()], sandbox)
    assert status is Status.ERROR
    assert reason is not None and "sandbox" in reason and "delete it" in reason


# ---- what is seen


def test_defect_43_a_member_that_dies_shows_it_and_its_capsule_too(rig: Rig) -> None:
    one = started(rig, restart_policy="no")
    dead, other = one.members
    rig.fakes.runtime.die(dead.uuid, 7)
    row = one.until(Status.ERROR)
    assert row.status_reason == f"Container {dead.name} is Stopped with exit code 7"
    assert [(m.status, m.exit_code) for m in one.members] == [(STOPPED, 7), (Status.RUNNING, None)]
    rig.fakes.runtime.start_behind(dead.uuid)
    assert one.until(Status.RUNNING).status_reason is None
    with rig.db.read() as conn:
        told = events.after(conn, 0, 100, container_uuid=one.uuid, kinds=[EventKind.OBSERVED])
    assert [(e.detail or {})["status"] for e in told] == ["Error", "Running"]
    assert other.status is Status.RUNNING


def test_a_job_is_stopped_when_all_of_it_has_ended_well(rig: Rig) -> None:
    one = started(rig, restart_policy="no")
    first, second = one.members
    rig.fakes.runtime.die(first.uuid, 0)
    eventually(lambda: one.members[0].status is STOPPED)
    one.until(Status.RUNNING)
    rig.fakes.runtime.die(second.uuid, 0)
    assert one.until(STOPPED).status_reason is None


def test_a_member_killed_for_want_of_memory_says_so(rig: Rig) -> None:
    one = started(rig, restart_policy="no")
    rig.fakes.runtime.die(one.members[1].uuid, 137, oom_killed=True)
    one.until(Status.ERROR, "want of memory")


def test_a_member_that_somebody_removed_shows_it(rig: Rig) -> None:
    one = started(rig)
    rig.fakes.runtime.vanish(one.members[0].uuid)
    one.until(Status.ERROR, "removed from the engine by somebody else")
    one.delete()
    assert one.settled() is None


def test_a_sandbox_that_died_shows_it_where_nothing_is_started_again(rig: Rig) -> None:
    one = started(rig, restart_policy="no")
    rig.fakes.runtime.die(one.uuid, 137)
    one.until(Status.ERROR, "sandbox is exited")


def test_a_sandbox_that_vanished_while_nobody_watched_is_found_by_a_listing(rig: Rig) -> None:
    one = started(rig)
    with rig.fakes.runtime.lock:
        del rig.fakes.runtime._boxes[one.uuid]
    rig.house.agent.observer.look_at_all()
    one.until(Status.ERROR, "sandbox is gone")


def test_a_member_that_died_while_nobody_watched_is_found_by_a_listing(rig: Rig) -> None:
    one = started(rig, restart_policy="no")
    with rig.fakes.runtime.lock:
        box = rig.fakes.runtime._boxes[one.members[0].uuid]
        box.observed, box.exit_code = EXITED, 9
    rig.house.agent.observer.look_at_all()
    one.until(Status.ERROR, "exit code 9")


def test_init_containers_that_are_tidied_up_are_no_news(rig: Rig) -> None:
    one = started(rig, member(), inits=[member("true")])
    rig.fakes.runtime.vanish(one.members[0].uuid)
    rig.house.agent.observer.look_at_all(gap=True)
    # Something that is news, behind it in the same queue, is seen.
    rig.fakes.runtime.pause_behind(one.members[1].uuid)
    row = one.until(Status.ERROR)
    assert row.status_reason == f"Container {one.members[1].name} is Paused"
    assert one.members[0].status is STOPPED


def test_why_a_delete_failed_stays_until_something_new_is_seen(rig: Rig) -> None:
    one = started(rig)
    rig.fakes.runtime.script("remove", Fail(Rejected("not today")))
    one.delete()
    one.settled()
    looks = rig.fakes.runtime.called("inspect", one.uuid)
    rig.house.agent.observer.look_at(one.uuid)
    eventually(lambda: rig.fakes.runtime.called("inspect", one.uuid) > looks)
    one.until(Status.RUNNING, "not today")


def test_a_look_that_fails_is_made_again(rig: Rig) -> None:
    one = started(rig, restart_policy="no")
    rig.fakes.runtime.script("inspect", Fail(TimedOut("slow"), times=2))
    rig.fakes.runtime.die(one.members[0].uuid, 1)
    one.until(Status.ERROR)


# ---- what has lost its network


def starts(rig: Rig, uuid: str) -> int:
    return rig.fakes.runtime.called("start", uuid)


def test_a_sandbox_that_died_is_started_again_with_all_that_needs_it(rig: Rig) -> None:
    one = started(rig, member(), member(), inits=[member("true")])
    init, first, second = one.members
    rig.fakes.runtime.die(one.uuid, 137)
    eventually(lambda: [o.action for o in one.operations] == [Action.REBOOT, Action.CREATE])
    row = one.settled()
    assert row is not None
    assert (row.status, row.status_reason) == (Status.RUNNING, None)
    assert [starts(rig, m.uuid) for m in (init, first, second)] == [1, 2, 2]
    assert rig.fakes.runtime.inspect(one.uuid, soon()).observed is RUNNING


def test_a_whole_engine_that_came_back_is_started_in_order(rig: Rig) -> None:
    one = started(rig)
    runtime = rig.fakes.runtime
    with runtime.lock:  # nobody sees it happen
        for uuid in runtime.uuids():
            box = runtime._boxes[uuid]
            box.observed, box.exit_code = EXITED, 137
    before = len(runtime.calls)
    runtime.gap()
    eventually(lambda: len(one.operations) == 2)
    one.settled()
    one.until(Status.RUNNING)
    order = [c.key for c in runtime.calls[before:] if c.verb == "start"]
    assert order == [one.uuid, *(m.uuid for m in one.members)]


def test_one_that_was_seen_to_end_with_its_engine_is_started_again_too(rig: Rig) -> None:
    one = started(rig)
    for each in one.members:
        rig.fakes.runtime.set_observed(each.uuid, EXITED)
    one.until(Status.ERROR)
    with rig.fakes.runtime.lock:
        rig.fakes.runtime._boxes[one.uuid].observed = EXITED  # nobody sees this any more
    rig.house.agent.observer.look_at_all(gap=True)
    one.until(Status.RUNNING)
    assert [starts(rig, m.uuid) for m in one.members] == [2, 2]


def test_a_sandbox_that_somebody_restarted_has_its_members_follow(rig: Rig) -> None:
    one = started(rig)
    rig.fakes.runtime.start_behind(one.uuid)
    eventually(lambda: len(one.operations) == 2)
    one.settled()
    one.until(Status.RUNNING)
    assert [starts(rig, m.uuid) for m in one.members] == [2, 2]


def test_what_ended_well_stays_so_where_only_failures_are_started_again(rig: Rig) -> None:
    one = started(rig, restart_policy="on-failure")
    done, other = one.members
    rig.fakes.runtime.die(done.uuid, 0)
    eventually(lambda: one.members[0].status is STOPPED)
    rig.fakes.runtime.die(one.uuid, 137)
    eventually(lambda: len(one.operations) == 2)
    one.settled()
    one.until(Status.RUNNING)
    assert (starts(rig, done.uuid), starts(rig, other.uuid)) == (1, 2)


def test_what_cannot_be_started_again_is_not_tried_for_ever(rig: Rig) -> None:
    one = started(rig)
    rig.fakes.runtime.script("start", Fail(Rejected("no such thing")))
    rig.fakes.runtime.die(one.uuid, 137)
    row = one.until(Status.ERROR, "no such thing")
    assert row.status_reason == "no such thing"
    rig.house.agent.observer.look_at(one.uuid)
    rig.fakes.runtime.set_health(one.members[0].uuid, "healthy")  # news, behind it
    eventually(lambda: one.members[0].health == "healthy")
    assert len(one.operations) == 2
    one.delete()
    assert one.settled() is None


# ---- what is nobody's


def test_a_sandbox_that_a_row_knows_is_no_leftover(rig: Rig) -> None:
    one = started(rig)
    nobody = new_uuid()
    host = rig.fakes.runtime.plan_of(one.uuid).host
    rig.fakes.runtime.put(
        Plan(uuid=nobody, project_id="p", host=host, generation="g", image="i", is_sandbox=True)
    )
    rig.house.agent.observer.look_at_all()
    eventually(lambda: nobody not in rig.fakes.runtime.uuids(), "the leftover goes")
    assert one.uuid in rig.fakes.runtime.uuids()


def test_a_capsule_of_another_host_is_nobodys_business(rig: Rig, fakes: Fakes) -> None:
    row = capsule(host="elsewhere")
    with rig.db.write() as conn:
        capsules.insert(conn, row)
    rig.house.agent.observer.look_at(row.uuid)
    one = started(rig)  # a round of the observer later
    assert one.row is not None
    assert fakes.runtime.called("inspect", row.uuid) == 0
