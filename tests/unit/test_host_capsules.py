"""Capsules when their host falls silent, is drained, given up, removed, and comes back: whole on one host, or gone."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta

import pytest
from tests.support.capsules import Watched, draft, made, member
from tests.support.house import caller, eventually
from tests.support.neighbourhood import Died
from tests.support.street import LEASE, RECREATE, Street, kill, look_alone, lose, placed

from zun.cmd import wiring
from zun.drivers.fake import Block
from zun.model.host import Mode
from zun.model.lifecycle import Action, Status
from zun.store import claims, containers, hosts, standing
from zun.work.clock import utcnow


def running(street: Street, **changes: object) -> tuple[Watched, str]:
    """A capsule that runs, with an init container that has ended, and its host."""
    one = made(street, draft(member(), member(), inits=[member("true")], **changes))
    row = one.settled()
    assert row is not None
    assert row.status is Status.RUNNING, row.status_reason
    assert row.host is not None
    return one, row.host


def boxes(street: Street, one: Watched) -> dict[str, int]:
    """How much of a capsule each host's engine has."""
    mine = {one.uuid, *(m.uuid for m in one.members)}
    found = {name: len(mine & set(h.fakes.runtime.uuids())) for name, h in street.hosts.items()}
    return {name: number for name, number in found.items() if number}


def whole(street: Street, one: Watched) -> str:
    """The host of a capsule that runs there, all of it, and nowhere else."""
    row = one.until(Status.RUNNING)
    assert row.host is not None
    assert boxes(street, one) == {row.host: 4}
    init, *others = one.members
    assert (init.status, init.exit_code) == (Status.STOPPED, 0)
    assert {m.status for m in others} == {Status.RUNNING}
    assert {(m.host, m.lost_status, m.status_reason) for m in one.members} == {
        (row.host, None, None)
    }
    with street.db.read() as conn:
        assert [c.container_uuid for c in claims.claims_on(conn, row.host)] == [one.uuid]
    return row.host


def begun_somewhere(street: Street) -> tuple[Watched, str]:
    """A capsule whose init container runs on, and its host, which is dead by now."""
    one = made(street, draft(member(), member(), inits=[member("sleep", "9999")]))
    eventually(lambda: one.members[0].status is Status.RUNNING, "its init container runs")
    row = one.row
    assert row is not None
    assert row.host is not None
    kill(street, row.host)
    return one, row.host


def initialised(street: Street, one: Watched) -> None:
    """Its init container ends well where it is now, and the others run."""
    init = one.members[0].uuid

    def at() -> str | None:
        row, runs = one.row, one.members[0].status is Status.RUNNING
        return row.host if row is not None and runs else None

    street.hosts[eventually(at, "its init container runs")].fakes.runtime.die(init, 0)
    one.until(Status.RUNNING)


# ---- silence


@pytest.mark.databases
def test_all_of_a_capsule_is_unknown_and_comes_back_whole(street: Street) -> None:
    one, name = running(street)
    lose(street, name)
    row = one.until(Status.UNKNOWN, f"Host {name} has not been heard of since")
    assert "it was Running then" in (row.status_reason or "")
    assert {m.status for m in one.members} == {Status.UNKNOWN}
    assert [m.lost_status for m in one.members] == [Status.STOPPED] + [Status.RUNNING] * 2
    street.begin(name)
    assert whole(street, one) == name
    assert [o.action for o in one.operations] == [Action.CREATE]


def test_an_init_container_that_was_tidied_up_is_no_fault_after_a_silence_either(
    street: Street,
) -> None:
    one, name = running(street)
    lose(street, name)
    street.hosts[name].fakes.runtime.vanish(one.members[0].uuid)
    street.begin(name)
    one.until(Status.RUNNING)
    init = one.members[0]
    assert (init.status, init.exit_code, init.status_reason) == (Status.STOPPED, 0, None)
    assert init.lost_status is None


def test_a_create_that_waited_too_long_leaves_no_member_that_is_creating(street: Street) -> None:
    one, name = begun_somewhere(street)
    street.fall_silent(name, 24 * 3600)
    street.look()
    street.look()
    row = one.until(Status.ERROR)
    assert row.status_reason == f"Host {name} has not come back in time."
    assert {m.status for m in one.members} == {Status.ERROR}
    assert {m.lost_status for m in one.members} == {None}


# ---- given up


@pytest.mark.parametrize("said", [False, True], ids=["fenced by itself", "forced down"])
def test_neither_a_capsule_nor_a_member_is_made_anew_elsewhere(street: Street, said: bool) -> None:
    every = replace(street.settings.service, recreate_projects=("*",))
    street.settings = replace(street.settings, service=every)
    street.services = wiring.build_api(street.ground, secrets=street.secrets, probes={})
    one, name = running(street)
    kill(street, name)
    if said:
        street.services.hosts.force_down(name, hosts.BINARY, True)
    street.fall_silent(name, RECREATE + 1)
    street.look()
    street.look()
    assert street.host(name).fenced_at is not None
    row = one.until(Status.UNKNOWN)
    assert row.host == name
    assert {m.host for m in one.members} == {name}
    assert [o.action for o in one.operations] == [Action.CREATE]
    assert all(street.journal(m.uuid) == [] for m in one.members)
    assert street.host(name).total_containers == 1, "its claim is kept for it"
    if said:
        street.services.hosts.force_down(name, hosts.BINARY, False)
    street.begin(name)
    assert whole(street, one) == name


def test_a_look_that_began_before_the_host_was_fenced_writes_nothing(street: Street) -> None:
    go, entered = threading.Event(), threading.Event()
    one, name = running(street)
    agent = street.hosts[name].agent
    assert agent is not None
    street.fall_silent(name, LEASE + 1)
    street.look()
    one.until(Status.UNKNOWN)
    street.hosts[name].fakes.runtime.script("inspect", Block(go, entered=entered))
    looks = threading.Thread(target=agent.observer._look, args=(one.uuid,))
    looks.start()
    assert entered.wait(30)
    street.services.hosts.force_down(name, hosts.BINARY, True)
    street.look()
    go.set()
    looks.join(30)
    assert not looks.is_alive()
    row = one.row
    assert row is not None
    assert row.status is Status.UNKNOWN
    assert {m.status for m in one.members} == {Status.UNKNOWN}


@pytest.mark.databases
def test_a_create_that_is_placed_anew_begins_from_nothing_and_the_old_host_cleans_up(
    street: Street,
) -> None:
    one, name = begun_somewhere(street)
    long_ago = utcnow() - timedelta(seconds=street.settings.work.init_seconds + 1)
    with street.db.write() as conn:
        containers.update(conn, one.members[0].uuid, utcnow(), started_at=long_ago)
    street.services.hosts.force_down(name, hosts.BINARY, True)
    street.look()
    eventually(lambda: set(boxes(street, one)) > {name}, "it is made on another host")
    initialised(street, one)
    row = one.row
    assert row is not None
    assert boxes(street, one) == {name: 4, str(row.host): 4}
    for uuid in (one.uuid, one.members[0].uuid):
        street.hosts[name].fakes.runtime.leave_out(uuid)
    street.services.hosts.force_down(name, hosts.BINARY, False)
    street.begin(name)
    assert whole(street, one) == row.host, "what was on the old host goes before it is let in"
    assert street.host(name).fenced_at is None


def test_what_has_no_place_yet_when_its_old_host_returns_is_removed_there(street: Street) -> None:
    """Else it would run there, and soon on the host it is placed on, too."""
    one, name = begun_somewhere(street)
    look = look_alone(street)
    street.services.hosts.force_down(name, hosts.BINARY, True)
    look()
    row = one.row
    assert row is not None
    assert (row.host, boxes(street, one)) == (None, {name: 4})
    street.services.hosts.force_down(name, hosts.BINARY, False)
    street.begin(name)
    assert boxes(street, one) == {}
    street.conduct()
    initialised(street, one)
    whole(street, one)


# ---- drain


def test_a_drain_leaves_capsules_where_they_are_and_whole_and_says_so(
    street: Street, caplog: pytest.LogCaptureFixture
) -> None:
    one, name = running(street)
    uuid, _ = placed(street, host=name, cpu=0.1)
    stopped, _ = placed(street, host=name, cpu=0.1)
    street.services.hosts.set_mode(name, Mode.DRAINING, "old")
    street.look()
    street.look()
    said = [line for line in caplog.messages if f"host {name} is drained" in line]
    assert [line.partition(";")[0] for line in said] == [
        f"host {name} is drained: 2 containers and 1 capsules stay"
    ]
    for gone in (uuid, stopped):
        row = street.row(gone)
        assert row is not None
        street.services.containers.delete(caller(), row, force=True, stop=False)
        assert street.settled(gone) is None
    street.look()
    assert any("0 containers and 1 capsules stay" in line for line in caplog.messages)
    assert one.until(Status.RUNNING).host == name
    assert boxes(street, one) == {name: 4}
    assert [o.action for o in one.operations] == [Action.CREATE]
    assert all(street.journal(m.uuid) == [] for m in one.members)
    assert street.host(name).total_containers == 1
    another, at = running(street)
    assert at != name
    assert boxes(street, another) == {at: 4}


# ---- removal


def test_what_was_given_up_goes_from_its_host_before_that_is_let_in(street: Street) -> None:
    one, name = running(street)
    alone, same = placed(street, host=name, cpu=0.5)
    assert same == name
    lose(street, name)
    street.services.hosts.remove(name, force=True)
    row = one.until(Status.ERROR, f"Host {name} was removed")
    assert (row.host, row.sandbox_id) == (None, None)
    assert {(m.status, m.host, m.container_id, m.lost_status) for m in one.members} == {
        (Status.ERROR, None, None, None)
    }
    assert boxes(street, one) == {name: 4}
    runtime = street.hosts[name].fakes.runtime
    runtime.calls.clear()
    runtime.leave_out(alone)
    street.begin(name)
    assert boxes(street, one) == {}
    assert street.where(alone) == []
    removed = [call.key for call in runtime.calls if call.verb == "remove"]
    inside = [m.uuid for m in one.members]
    assert removed.index(one.uuid) > max(removed.index(uuid) for uuid in inside), "sandbox last"
    assert one.until(Status.ERROR).host is None
    one.delete()
    assert one.settled() is None


@pytest.mark.parametrize("removals", range(4))
def test_a_host_that_dies_while_it_cleans_up_begins_anew(street: Street, removals: int) -> None:
    one, name = running(street)
    lose(street, name)
    street.services.hosts.remove(name, force=True)
    street.hosts[name].fakes.runtime.leave_out(one.uuid)
    left = list(range(removals))

    def dies(point: str) -> None:
        if point == "clean" and not left:
            raise Died
        if point == "clean":
            left.pop()

    street.checkpoint = dies
    with pytest.raises(Died):
        street.begin(name)
    assert boxes(street, one) == {name: 4 - removals}
    kill(street, name)
    with street.db.read() as conn:
        there = standing.of(conn, name)
    assert there is not None and there.fenced, "it has not been let in"
    street.checkpoint = lambda name: None
    street.begin(name)
    assert boxes(street, one) == {}
    assert street.host(name).fenced_at is None


def test_a_capsule_whose_delete_waits_for_a_host_that_is_removed_is_gone(street: Street) -> None:
    one, name = running(street)
    kill(street, name)
    one.delete()
    street.fall_silent(name, LEASE + 1)
    street.look()
    street.services.hosts.remove(name, force=True)
    assert one.row is None
    assert list(one.members) == []
    street.begin(name)
    assert street.where(one.uuid) == []
