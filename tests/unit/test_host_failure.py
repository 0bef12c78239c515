"""A host falls silent, is taken for down, is fenced, comes back: the records are true, and nothing runs twice.

Time is the test's own: the clock of all processes is one that it sets, as the database's would be.
"""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta

import pytest
from tests.support.house import PATIENCE, caller, eventually
from tests.support.street import (
    FENCE,
    LEASE,
    MOVABLE,
    RECREATE,
    Street,
    being_made_anew,
    kill,
    lose,
    placed,
    running_copies,
)  # fmt: skip

from zun.drivers.deadline import Deadline
from zun.drivers.errors import Unavailable
from zun.drivers.fake import Block, Fail
from zun.model.host import Mode
from zun.model.lifecycle import Action, Observed, Status
from zun.model.operation import CONDUCTOR_QUEUE, EventKind, OperationState
from zun.service.errors import Unavailable as Refused
from zun.service.queries import LogQuery
from zun.store import claims, hosts, left_behind, operations, standing
from zun.store.database import Database
from zun.work.clock import utcnow

# ---- time


@pytest.mark.databases
def test_the_time_is_the_database_s_own(db: Database, kind: str) -> None:
    wrong = datetime(2001, 1, 1)
    with db.read() as conn:
        told = standing.now(conn, wrong)
    if kind == "sqlite":  # one machine, one clock
        assert told == wrong
    else:
        assert abs((told - utcnow()).total_seconds()) < 3600, "of UTC, and of today"


# ---- silence


@pytest.mark.databases
def test_a_host_that_misses_three_beats_is_down_and_its_containers_unknown(street: Street) -> None:
    uuid, name = placed(street)
    stopped, other = placed(street)
    kill(street, name)
    street.fall_silent(name, LEASE - 2)
    street.look()
    assert street.host(name).lost_at is None
    assert street.until(uuid, "Running")
    street.fall_silent(name, 3)
    seen = street.host(name).last_seen_up
    street.look()
    street.look()
    row = street.row(uuid)
    assert row is not None
    assert (row.status, row.lost_status) == (Status.UNKNOWN, Status.RUNNING)
    assert row.status_reason == (
        f"Host {name} has not been heard of since {seen:%Y-%m-%d %H:%M:%S} UTC; it was Running then."
    )
    assert street.host(name).lost_at is not None
    assert street.until(stopped, "Running").host == other
    up = {service.host: up for service, up in street.services.hosts.services()}
    assert up == {n: n != name for n in street.hosts}
    with street.db.read() as conn:
        told = [e for e in operations.events_of(conn, "x")]
    assert told == []


def test_a_question_to_a_host_that_is_down_is_refused_at_once(street: Street) -> None:
    uuid, name = placed(street)
    lose(street, name)
    row = street.row(uuid)
    assert row is not None
    with pytest.raises(Refused, match=f"Host {name} has not been heard of"):
        street.services.containers.logs(caller(), row, LogQuery())


def test_the_truth_comes_back_with_the_host(street: Street) -> None:
    uuid, name = placed(street)
    died, same = placed(street, host=name, cpu=0.5)
    assert same == name
    lose(street, name)
    street.hosts[name].fakes.runtime.die(died, 3)
    street.begin(name)
    row = street.until(uuid, "Running")
    assert (row.status_reason, row.lost_status) == (None, None)
    assert street.until(died, "Stopped").exit_code == 3
    assert street.host(name).lost_at is None


def test_an_agent_that_was_only_cut_off_goes_on_where_it_was(street: Street) -> None:
    uuid, name = placed(street)
    agent = street.hosts[name].agent
    assert agent is not None
    epoch = agent.epoch
    street.fall_silent(name, LEASE + 1)
    street.look()
    assert street.until(uuid, "Unknown")
    street.beat(name)
    assert street.until(uuid, "Running").host == name
    assert (agent.epoch, street.host(name).lost_at) == (epoch, None)
    assert street.hosts[name].fakes.runtime.called("create", uuid) == 1


def test_an_agent_that_takes_its_time_to_end_beats_until_it_has(street: Street) -> None:
    """Else its host would be down, and what runs there Unknown, while it does as it was told."""
    uuid, name = placed(street)
    street.end(name)
    agent = street.begin(name, heartbeat=0.05)
    go, entered = threading.Event(), threading.Event()
    street.hosts[name].fakes.runtime.script("stop", Block(go, entered=entered))
    row = street.row(uuid)
    assert row is not None
    street.services.containers.act(caller(), row, Action.STOP)
    assert entered.wait(PATIENCE)
    with ThreadPoolExecutor(1) as pool:
        ended = pool.submit(agent.stop, PATIENCE)
        assert eventually(agent._ending.is_set)
        for _ in range(2):  # longer than a lease, in all
            street.clock.pass_(LEASE - 1)
            due = street.clock()
            eventually(lambda due=due: street.host(name).last_seen_up >= due, "it beats")  # type: ignore[misc]
            street.look()
        assert not ended.done()
        assert street.host(name).lost_at is None
        go.set()
        assert ended.result(PATIENCE)


def test_the_last_thing_of_an_agent_that_ends_is_a_beat(street: Street) -> None:
    """So that it has all of its lease to be started again."""
    _, name = placed(street)
    street.clock.pass_(LEASE - 1)
    due = street.clock()
    street.end(name)
    seen = street.host(name).last_seen_up
    assert seen is not None and seen >= due
    street.clock.pass_(LEASE - 1)
    street.look()
    assert street.host(name).lost_at is None


def test_an_agent_that_ends_takes_nothing_up_again(street: Street) -> None:
    _, name = placed(street)
    agent = street.hosts[name].agent
    assert agent is not None
    street.fall_silent(name, LEASE + 1)
    street.look()
    street.end(name)
    assert street.host(name).lost_at is not None
    agent._beat_once()
    assert street.host(name).lost_at is not None
    street.begin(name)
    assert street.host(name).lost_at is None


def test_a_host_whose_engine_is_dead_is_down_but_not_given_up(street: Street) -> None:
    """Its agent is there: what runs on its engine can't be stopped, so nobody may make it anew."""
    uuid, name = placed(street, **MOVABLE)
    street.hosts[name].fakes.runtime.script("ping", Fail(Unavailable("gone"), 1000))
    for _ in range(10):
        street.clock.pass_(LEASE)
        for other in street.hosts:
            street.beat(other)
        street.look()
    row = street.until(uuid, "Unknown")
    assert row.host == name
    assert street.host(name).fenced_at is None
    street.hosts[name].fakes.runtime.unscript()
    street.beat(name)
    assert street.until(uuid, "Running").host == name


def test_what_a_host_s_own_clock_says_is_not_compared_with_the_database_s(
    street: Street, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its service was deleted: that it is there still, its row alone tells."""
    theirs = utcnow()
    monkeypatch.setattr(standing, "now", lambda conn, local: theirs)
    street.clock.pass_(-3600)
    for name, one in street.hosts.items():
        assert one.agent is not None
        one.agent._listed([])
        street.services.hosts.set_mode(name, Mode.MAINTENANCE, None)
        street.services.hosts.delete_service(name, "zun-compute")
    with street.db.read() as conn:
        assert standing.silent(conn, theirs, timedelta(seconds=180)) == []


# ---- operations of a host that is down


def test_a_create_that_its_host_has_not_begun_is_placed_anew(street: Street) -> None:
    for name in street.hosts:
        kill(street, name)
    uuid = street.create()
    waiting = eventually(lambda: street.row(uuid).host, "it is placed")  # type: ignore[union-attr]
    for name in street.hosts:
        if name != waiting:
            street.begin(name)
    street.fall_silent(waiting, LEASE + 1)
    street.look()
    row = street.settled(uuid)
    assert row is not None
    assert row.status is Status.RUNNING
    assert row.host != waiting
    assert street.host(waiting).total_containers == 0


def test_what_the_host_has_begun_waits_for_it(street: Street) -> None:
    go, entered = threading.Event(), threading.Event()
    for one in street.hosts.values():
        one.fakes.runtime.script("create", Block(go, entered=entered))
    uuid = street.create()
    assert entered.wait(30)
    row = street.row(uuid)
    assert row is not None
    assert row.host is not None
    street.fall_silent(row.host, LEASE + 1)
    street.look()
    go.set()
    again = street.settled(uuid)
    assert again is not None
    assert again.host == row.host


def test_what_waits_longer_than_it_may_ends_and_says_why(street: Street) -> None:
    uuid, name = placed(street)
    kill(street, name)
    row = street.row(uuid)
    assert row is not None
    street.services.containers.act(caller(), row, Action.STOP)
    street.fall_silent(name, 3600)
    street.look()
    street.look()
    after = street.settled(uuid)
    assert after is not None
    assert (after.status, after.lost_status) == (Status.UNKNOWN, Status.RUNNING)
    assert after.status_reason == f"Host {name} has not come back in time."
    assert street.journal(uuid)[0].state is OperationState.FAILED


def test_a_delete_waits_for_its_host_however_long(street: Street) -> None:
    uuid, name = placed(street)
    kill(street, name)
    row = street.row(uuid)
    assert row is not None
    street.services.containers.delete(caller(), row, force=True, stop=False)
    for _ in range(3):
        street.fall_silent(name, 3600)
        street.look()
    assert street.journal(uuid)[0].state is OperationState.PENDING
    street.begin(name)
    assert street.settled(uuid) is None
    assert street.where(uuid) == []


# ---- fencing and making anew


def test_nothing_is_made_anew_that_was_not_asked_for(street: Street) -> None:
    uuid, name = placed(street)
    lose(street, name)
    street.fall_silent(name, 10 * RECREATE)
    street.look()
    assert street.until(uuid, "Unknown").host == name
    assert [o.action for o in street.journal(uuid)] == [Action.CREATE]


@pytest.mark.databases
def test_what_may_be_made_anew_is_after_the_host_must_have_stopped_it(street: Street) -> None:
    uuid, name = placed(street, **MOVABLE)
    before = street.row(uuid)
    assert before is not None
    epoch = street.host(name).epoch
    lose(street, name)
    street.fall_silent(name, RECREATE - LEASE - 10)
    street.look()
    assert street.until(uuid, "Unknown").host == name, "not yet"
    street.fall_silent(name, 20)
    street.look()
    row = street.settled(uuid)
    assert row is not None
    assert row.status is Status.RUNNING
    assert row.host not in (None, name)
    assert (row.addresses, row.lost_status) == (before.addresses, None)
    assert row.container_id != before.container_id
    gone = street.host(name)
    assert (gone.epoch, gone.total_containers) == (epoch + 1, 0)
    assert gone.fenced_at is not None
    assert row.host is not None
    assert street.host(row.host).total_containers >= 1
    assert street.metrics.moves.labels("failure")._value.get() == 1


def test_an_operator_s_word_is_enough(street: Street) -> None:
    uuid, name = placed(street, **MOVABLE)
    kill(street, name)
    street.services.hosts.force_down(name, hosts.BINARY, True)
    street.look()
    row = street.settled(uuid)
    assert row is not None
    assert row.host not in (None, name)


def test_a_host_in_maintenance_is_silent_with_leave(street: Street) -> None:
    uuid, name = placed(street, **MOVABLE)
    street.services.hosts.set_mode(name, Mode.MAINTENANCE, "new memory")
    lose(street, name)
    street.fall_silent(name, 10 * RECREATE)
    street.look()
    assert street.until(uuid, "Unknown").host == name
    assert street.host(name).fenced_at is None


@pytest.mark.databases
def test_a_fenced_host_removes_what_is_not_its_own_before_it_does_anything_else(
    street: Street,
) -> None:
    uuid, name = placed(street, **MOVABLE)
    stays, same = placed(street, host=name, cpu=0.5)
    assert same == name
    lose(street, name)
    street.fall_silent(name, RECREATE)
    street.look()
    row = street.settled(uuid)
    assert row is not None
    assert row.host != name
    # Its engine ran on all the time: the copy is there until the agent comes.
    assert sorted(street.where(uuid)) == sorted([name, str(row.host)])
    fakes = street.hosts[name].fakes
    fakes.runtime.calls.clear()
    street.begin(name)
    assert street.where(uuid) == [row.host]
    verbs = [c.verb for c in fakes.runtime.calls if c.verb not in ("inventory", "ping")]
    assert verbs[:2] == ["list", "remove"], "nothing before that"
    assert street.until(stays, "Running").host == name
    back = street.host(name)
    assert (back.fenced_at, back.lost_at) == (None, None)
    assert street.settled(street.create()) is not None


@pytest.mark.databases
def test_a_fenced_host_removes_also_what_its_engine_does_not_list(street: Street) -> None:
    """Docker that was started on a full disk has containers that run and that it does not list."""
    uuid, name = placed(street, **MOVABLE)
    lose(street, name)
    street.fall_silent(name, RECREATE)
    street.look()
    row = street.settled(uuid)
    assert row is not None
    one = street.hosts[name]
    one.fakes.runtime.leave_out(uuid)
    assert uuid in one.running
    street.begin(name)
    assert street.where(uuid) == [row.host]
    assert street.host(name).fenced_at is None
    with street.db.read() as conn:
        assert left_behind.on(conn, name) == []


def test_nothing_of_what_was_made_anew_stays_on_its_old_host(street: Street) -> None:
    uuid, name = placed(street, **MOVABLE)
    fakes = street.hosts[name].fakes
    lose(street, name)
    street.fall_silent(name, RECREATE)
    street.look()
    assert street.settled(uuid) is not None
    assert len(fakes.networks.list_networks(Deadline(1))) == 1
    fakes.networks.script("list_networks", Fail(Unavailable("they hang")))
    street.begin(name)
    assert street.host(name).fenced_at is None, "a network is no reason to wait"
    assert len(fakes.networks.list_networks(Deadline(1))) == 1
    street.services.hosts.force_down(name, hosts.BINARY, True)
    street.look()
    street.services.hosts.force_down(name, hosts.BINARY, False)
    street.beat(name)
    assert street.host(name).fenced_at is None
    assert list(fakes.networks.list_networks(Deadline(1))) == []


def test_a_fenced_host_whose_engine_does_not_answer_does_nothing(street: Street) -> None:
    uuid, name = placed(street, **MOVABLE)
    lose(street, name)
    street.fall_silent(name, RECREATE)
    street.look()
    assert street.settled(uuid) is not None
    fakes = street.hosts[name].fakes
    fakes.runtime.script("list", Fail(Unavailable("not yet"), 3))
    agent = street.begin(name)
    assert street.host(name).fenced_at is not None
    with pytest.raises(RuntimeError, match="not let in"):
        agent.probe()
    with street.db.read() as conn:
        assert not agent.may_work(conn)
    for _ in range(3):
        street.beat(name)
    assert street.host(name).fenced_at is None
    assert name not in street.where(uuid)


@pytest.mark.databases
def test_an_agent_that_was_fenced_while_cut_off_finds_out_and_comes_back_in_order(
    street: Street,
) -> None:
    """Its process lived on: what it had in hand writes nothing, it cleans up, then it works again."""
    uuid, name = placed(street, **MOVABLE)
    agent = street.hosts[name].agent
    assert agent is not None
    old = agent.epoch
    street.fall_silent(name, RECREATE + 10)
    street.look()
    row = street.settled(uuid)
    assert row is not None
    assert row.host != name
    with street.db.read() as conn:
        assert not agent.may_work(conn), "whatever it believes"
    street.beat(name)
    assert agent.epoch == old + 2
    assert street.where(uuid) == [row.host]
    assert street.host(name).fenced_at is None
    with street.db.read() as conn:
        assert agent.may_work(conn)


def test_a_host_that_is_forced_down_is_not_let_in_until_that_is_taken_back(street: Street) -> None:
    uuid, name = placed(street, **MOVABLE)
    street.services.hosts.force_down(name, hosts.BINARY, True)
    street.look()
    row = street.settled(uuid)
    assert row is not None
    assert row.host != name
    street.beat(name)
    street.beat(name)
    assert street.host(name).fenced_at is not None
    street.look()
    street.services.hosts.force_down(name, hosts.BINARY, False)
    street.beat(name)
    assert street.host(name).fenced_at is None
    assert street.where(uuid) == [row.host]


def test_the_older_of_two_agents_of_one_host_gives_way(street: Street) -> None:
    name = "host-1"
    older = street.hosts[name].agent
    assert older is not None
    newer = street.begin(name)
    older._beat_once()
    with pytest.raises(RuntimeError, match="a newer agent"):
        older.probe()
    with street.db.read() as conn:
        assert newer.may_work(conn)
        assert not older.may_work(conn)
    older.stop(30)


def test_where_there_is_no_room_it_waits_and_is_made_when_there_is(street: Street) -> None:
    uuid, name = placed(street, **MOVABLE)
    for other in street.hosts:
        if other != name:
            street.services.hosts.disable(other, hosts.BINARY, None)
    lose(street, name)
    street.fall_silent(name, RECREATE)
    street.look()

    def waits() -> bool:
        [newest, *_] = street.journal(uuid)
        return newest.action is Action.RECREATE and "disabled" in (newest.error or "")

    eventually(waits, "no host fits")
    row = street.row(uuid)
    assert row is not None
    assert (row.host, row.status) == (name, Status.REBUILDING)
    assert street.host(name).total_containers == 1, "its claim is where it was"
    other = next(n for n in street.hosts if n != name)
    street.services.hosts.enable(other, hosts.BINARY)
    after = street.settled(uuid)
    assert after is not None
    assert (after.host, after.status) == (other, Status.RUNNING)


def test_where_it_can_not_be_made_it_is_unknown_again_and_still_its_old_hosts(
    street: Street,
) -> None:
    uuid, name = placed(street, **MOVABLE)
    for other, one in street.hosts.items():
        if other != name:
            one.fakes.images.script("ensure", Fail(_rejected(), 5))
    lose(street, name)
    street.fall_silent(name, RECREATE)
    street.look()
    row = street.settled(uuid)
    assert row is not None
    assert (row.status, row.host, row.lost_status) == (Status.UNKNOWN, name, Status.RUNNING)
    assert row.status_reason == "the registry says no"
    assert street.host(name).total_containers == 1
    assert sum(street.host(n).total_containers for n in street.hosts) == 1
    # And the host, when it returns, has it as it was.
    street.begin(name)
    assert street.until(uuid, "Running").host == name


def _rejected() -> Exception:
    from zun.drivers.errors import Rejected

    return Rejected("the registry says no")


def test_a_host_that_comes_back_in_the_middle_leaves_it_to_the_other(street: Street) -> None:
    uuid, name = placed(street, **MOVABLE)
    go = being_made_anew(street, name)
    street.begin(name)
    assert street.where(uuid) == [], "removed here, not made there yet"
    go.set()
    row = street.settled(uuid)
    assert row is not None
    assert running_copies(street, uuid) == [row.host]
    assert row.host != name


def test_a_host_that_comes_back_before_the_place_is_chosen_leaves_it_too(street: Street) -> None:
    uuid, name = placed(street, **MOVABLE)
    lose(street, name)
    street.fall_silent(name, RECREATE)
    watch = street.conductors[0].watch
    street.rest()
    watch.look()  # it opens the operation, and dies before it places it
    [newest, *_] = street.journal(uuid)
    assert (newest.action, newest.queue) == (Action.RECREATE, CONDUCTOR_QUEUE)
    street.begin(name)
    assert street.where(uuid) == []
    street.conduct()
    row = street.settled(uuid)
    assert row is not None
    assert row.status is Status.RUNNING
    assert running_copies(street, uuid) == [row.host]


def test_a_delete_while_it_is_made_anew_leaves_nothing_anywhere(street: Street) -> None:
    uuid, name = placed(street, **MOVABLE)
    go = being_made_anew(street, name)
    row = street.row(uuid)
    assert row is not None
    street.services.containers.delete(caller(), row, force=True, stop=False)
    go.set()
    assert street.settled(uuid) is None
    assert street.where(uuid) == [name]
    street.begin(name)
    assert street.where(uuid) == [], "nobody knows it, and it could have been another host's"
    assert sum(street.host(n).total_containers for n in street.hosts) == 0


# ---- the host's own part: out of touch for too long


def test_an_agent_out_of_touch_stops_what_may_be_moved_and_nothing_else(street: Street) -> None:
    uuid, name = placed(street, **MOVABLE)
    stays, same = placed(street, host=name, cpu=0.5)
    assert same == name
    one = street.hosts[name]
    assert one.agent is not None
    dog = one.agent._watchdog
    now = dog._renewed
    dog._clock = lambda: now + FENCE - 1
    assert not dog.lapsed()
    dog._clock = lambda: now + FENCE + 5
    assert dog.lapsed()
    eventually(lambda: one.running == {stays}, "it is stopped")
    # In touch again before anybody took it: it is started again, as its policy says.
    dog._clock = lambda: now + FENCE + 6
    street.clock.pass_(11)
    street.beat(name)
    assert not dog.lapsed()
    eventually(lambda: one.running == {stays, uuid}, "it is started again")
    assert street.until(uuid, "Running").host == name
    assert one.fakes.runtime.plan_of(uuid).restart_policy == "on-failure"


def test_what_the_engine_does_not_list_is_stopped_too(street: Street) -> None:
    uuid, name = placed(street, **MOVABLE)
    one = street.hosts[name]
    assert one.agent is not None
    one.fakes.runtime.script("relist", Fail(Unavailable("no space left on device"), 1000))
    one.fakes.runtime.leave_out(uuid)
    one.fakes.runtime.gap()
    observer = one.agent.observer
    eventually(lambda: observer.unlisted == {uuid}, "it is missed")
    one.agent._watchdog.isolate()
    assert one.running == set()


def test_what_may_be_moved_is_not_started_while_out_of_touch(street: Street) -> None:
    uuid, name = placed(street, **MOVABLE)
    row = street.row(uuid)
    assert row is not None
    street.services.containers.act(caller(), row, Action.STOP)
    row = street.settled(uuid)
    assert row is not None
    assert row.status is Status.STOPPED
    one = street.hosts[name]
    assert one.agent is not None
    dog = one.agent._watchdog
    now = dog._clock()
    dog._clock = lambda: now + FENCE + 5
    street.services.containers.act(caller(), row, Action.START)

    def waits() -> bool:
        [newest, *_] = street.journal(uuid)
        return "out of touch" in (newest.error or "")

    eventually(waits, "it is not started")
    assert one.running == set()
    dog._clock = lambda: now
    after = street.settled(uuid)
    assert after is not None
    assert after.status is Status.RUNNING


def test_its_user_s_stop_is_kept(street: Street) -> None:
    """What its user stopped is not started again by the policy, as an engine would not."""
    uuid, name = placed(street, **MOVABLE)
    row = street.row(uuid)
    assert row is not None
    street.services.containers.act(caller(), row, Action.STOP)
    assert street.settled(uuid) is not None
    one = street.hosts[name]
    assert one.agent is not None
    one.agent.observer.look_at(uuid)
    one.fakes.runtime.gap()
    assert street.until(uuid, "Stopped")
    assert [o.action for o in street.journal(uuid)] == [Action.STOP, Action.CREATE]


def test_its_user_s_stop_is_kept_by_a_look_that_began_before_it(street: Street) -> None:
    go, entered = threading.Event(), threading.Event()
    uuid, name = placed(street, **MOVABLE)
    one = street.hosts[name]
    assert one.agent is not None
    one.fakes.runtime.script("inspect", Block(go, entered=entered))
    one.agent.observer.look_at(uuid)
    assert entered.wait(30)
    row = street.row(uuid)
    assert row is not None
    street.services.containers.act(caller(), row, Action.STOP)
    assert street.settled(uuid) is not None
    go.set()
    looked = one.fakes.runtime.called("inspect", uuid) + 1
    eventually(lambda: one.fakes.runtime.called("inspect", uuid) >= looked, "it is looked at anew")
    assert street.until(uuid, "Stopped")
    assert [o.action for o in street.journal(uuid)] == [Action.STOP, Action.CREATE]


def test_one_that_ends_at_once_is_started_again_with_a_pause(street: Street) -> None:
    uuid, name = placed(street, **MOVABLE)
    one = street.hosts[name]
    one.fakes.runtime.set_observed(uuid, Observed.EXITED)
    opened = eventually(
        lambda: next((o for o in street.journal(uuid) if o.action is Action.REBOOT), None)
    )
    assert opened.not_before is not None
    assert opened.not_before >= opened.created_at + timedelta(seconds=9)
    street.clock.pass_(11)
    assert street.settled(uuid) is not None
    assert one.running == {uuid}


# ---- drain


def test_a_host_that_is_drained_loses_what_may_move_and_gets_nothing_new(street: Street) -> None:
    uuid, name = placed(street, **MOVABLE)
    stays, same = placed(street, host=name, cpu=0.5)
    assert same == name
    before = street.row(uuid)
    assert before is not None
    street.services.hosts.set_mode(name, Mode.DRAINING, "it is old")
    street.look()
    row = street.settled(uuid)
    assert row is not None
    assert row.status is Status.RUNNING
    assert row.host not in (None, name)
    assert row.addresses == before.addresses
    assert street.where(uuid) == [row.host]
    assert street.until(stays, "Running").host == name
    assert street.host(name).total_containers == 1
    for _ in range(4):
        _, at = placed(street, cpu=0.1, memory=4)
        assert at != name
    street.services.hosts.set_mode(name, None, None)
    assert placed(street, host=name, cpu=0.1, memory=4)[1] == name
    assert street.metrics.moves.labels("drain")._value.get() == 1


def test_what_has_nowhere_to_go_stays_and_runs(street: Street) -> None:
    uuid, name = placed(street, **MOVABLE)
    for other in street.hosts:
        if other != name:
            street.services.hosts.disable(other, hosts.BINARY, None)
    street.services.hosts.set_mode(name, Mode.DRAINING, None)
    street.look()
    assert street.until(uuid, "Running").host == name
    assert [o.action for o in street.journal(uuid)] == [Action.CREATE]


# ---- what is claimed


@pytest.mark.databases
def test_a_drift_of_what_is_claimed_is_found_and_corrected(street: Street) -> None:
    _, name = placed(street)
    right = street.host(name)
    with street.db.write() as conn:
        from zun.store import schema

        conn.execute(
            schema.hosts.update()
            .where(schema.hosts.c.hostname == name)
            .values(mem_used=7, total_containers=9)
        )
    street.look()
    now = street.host(name)
    assert (now.mem_used, now.total_containers) == (right.mem_used, right.total_containers)
    assert street.metrics.drift.labels("memory")._value.get() == 1
    assert street.metrics.drift.labels("containers")._value.get() == 1
    assert street.metrics.drift.labels("cpu")._value.get() == 0
    with street.db.write() as conn:
        assert claims.correct(conn, name) == {}
        assert claims.drifting(conn, list(street.hosts)) == []


def test_an_event_tells_of_the_change_and_since_when(street: Street) -> None:
    uuid, name = placed(street)
    lose(street, name)
    with street.db.read() as conn:
        import sqlalchemy as sa

        from zun.store import schema

        query = sa.select(schema.events.c.detail).where(
            schema.events.c.container_uuid == uuid, schema.events.c.kind == EventKind.OBSERVED
        )
        details = list(conn.execute(query).scalars())
        assert standing.lost_since(conn, name) is not None
    assert details[-1]["status"] == "Unknown"
    assert details[-1]["status_before"] == "Running"
    assert Deadline(1).left() <= 1
