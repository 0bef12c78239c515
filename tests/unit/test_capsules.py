"""Capsules from acceptance to the end, on the fakes: what is made, in which order, and what stays."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.support.capsules import Watched, draft, made, member, on_engine
from tests.support.house import PROJECT, Fakes, Rig, caller, eventually, make, quick_settings

from zun.drivers.errors import Rejected, Unavailable
from zun.drivers.fake import Block, Fail, LoseReply
from zun.model.container import Draft
from zun.model.lifecycle import Status
from zun.model.names import network_name
from zun.model.operation import OperationState
from zun.model.quota import Amounts
from zun.service.errors import Conflict, Invalid, NotFound, OverQuota
from zun.service.queries import ListQuery
from zun.service.settings import QuotaSettings
from zun.store import capsules, claims, containers, hosts, networks, quotas
from zun.work.clock import utcnow
from zun.work.scheduler.filters import NAMES


def running(rig: Rig, *args: Any, **kwargs: Any) -> Watched:
    one = made(rig, draft(*args, **kwargs))
    row = one.settled()
    assert row is not None
    assert (row.status, row.status_reason) == (Status.RUNNING, None)
    return one


def nothing_left(rig: Rig) -> None:
    """No row, claim, port, network, quota or thing on the engine of anybody."""
    assert on_engine(rig) == set()
    with rig.db.read() as conn:
        assert containers.on_host(conn, "host-1") == []
        assert claims.claims_on(conn, "host-1") == []
        assert networks.every(conn) == []
        (host,) = hosts.every(conn)
        assert quotas.used(conn, PROJECT) == Amounts()
        assert quotas.drift(conn) == {}
    assert (host.cpu_used, host.mem_used, host.total_containers) == (0, 0, 0)
    assert rig.fakes.volumes.list() == ()


# ---- create


def test_all_members_run_in_one_sandbox_with_one_address(rig: Rig) -> None:
    one = running(rig, member(exposed_ports=["80/tcp"]), member(), name="pod")
    row, runtime = one.row, rig.fakes.runtime
    assert row is not None
    assert [m.status for m in one.members] == [Status.RUNNING] * 2
    assert on_engine(rig) == {one.uuid, *(m.uuid for m in one.members)}
    box = runtime.plan_of(one.uuid)
    assert (box.is_sandbox, box.hostname, box.exposed_ports) == (True, "pod", ("80/tcp",))
    ((network, (address,)),) = (row.addresses or {}).items()
    assert [(a.network, a.address_v4) for a in box.attachments] == [
        (network_name(network), address["addr"])
    ]
    for each in one.members:
        plan = runtime.plan_of(each.uuid)
        assert (plan.sandbox, plan.attachments, plan.exposed_ports) == (one.uuid, (), ())
        assert plan.hostname is None
    assert [m.ports for m in one.members] == [[80], []]
    assert row.sandbox_id and row.host == "host-1"


def test_one_claim_on_one_host_for_all_of_it(rig: Rig) -> None:
    one = running(
        rig, member(cpu=0.1, memory=16), member(cpu=0.2, memory=32), inits=[member("true", cpu=2.5)]
    )
    row = one.row
    assert row is not None
    # The init container needs more CPU than all the others, these more memory.
    assert (row.cpu, row.memory) == (2.5, 48)
    with rig.db.read() as conn:
        (claim,) = claims.claims_on(conn, "host-1")
        assert quotas.used(conn, PROJECT) == Amounts(containers=3, cpu=2500, memory=48)
        assert quotas.drift(conn) == {}
    assert (claim.container_uuid, claim.cpu, claim.memory) == (one.uuid, 2.5, 48)


def test_sizes_nobody_gave_are_those_of_any_container(rig: Rig) -> None:
    one = running(rig, member(cpu=None, memory=None), member(cpu=None, memory=None))
    row = one.row
    assert row is not None
    assert (row.cpu, row.memory) == (2.0, 1024)
    assert {(m.cpu, m.memory) for m in one.members} == {(1.0, 512)}


def test_more_than_one_cpu_each_fits_where_they_may_be_promised_together(start: Any) -> None:
    settings = quick_settings()
    settings = replace(settings, agent=replace(settings.agent, cpu_ratio=4.0))
    rig = start(settings=settings)
    running(rig, *(member(cpu=6.0) for _ in range(3)))  # the host has 8
    too_much = made(rig, draft(member(cpu=9.0))).settled()
    assert too_much is not None
    assert "short of CPU" in (too_much.status_reason or "")


def test_defect_41_every_filter_bears_a_capsule_which_has_no_hints(start: Any) -> None:
    settings = quick_settings()
    every = replace(settings.work.scheduler, filters=NAMES)
    settings = replace(settings, work=replace(settings.work, scheduler=every))
    running(start(settings=settings), member(), member())


@pytest.mark.parametrize(
    ("policy", "init", "other"),
    [
        ("always", ("on-failure", 10), ("always", 0)),
        ("on-failure", ("on-failure", 0), ("on-failure", 0)),
        ("no", ("no", 0), ("no", 0)),
    ],
)
def test_defect_32_restart_policies_of_init_containers_are_their_own(
    rig: Rig, policy: str, init: tuple[str, int], other: tuple[str, int]
) -> None:
    one = running(rig, member(), inits=[member("true")], restart_policy=policy)
    plans = [rig.fakes.runtime.plan_of(m.uuid) for m in one.members]
    assert [(p.restart_policy, p.restart_retries) for p in plans] == [init, other]


def test_members_are_named_after_the_capsule(rig: Rig) -> None:
    named, unnamed = running(rig, name="web"), running(rig)
    assert all(m.name.startswith("capsule-web-") for m in named.members)
    assert all(m.name.startswith(f"capsule-{unnamed.uuid}-") for m in unnamed.members)
    assert len({m.name for m in named.members}) == 2


def test_members_are_no_containers_of_their_own(rig: Rig) -> None:
    one = running(rig)
    service, inside = rig.house.services.containers, one.members[0]
    for ident in (inside.uuid, inside.name):
        with pytest.raises(NotFound):
            service.find(caller(), ident)
        with pytest.raises(NotFound):
            service.find(caller("ops", "admin"), ident)
    alone = rig.create()
    assert [row.uuid for row in service.list(caller(), ListQuery(limit=10))] == [alone.uuid]
    with pytest.raises(NotFound, match="marker"):
        service.list(caller(), ListQuery(limit=10, marker=inside.uuid))


# ---- init containers


def test_init_containers_run_one_after_another_before_the_others(rig: Rig) -> None:
    one = running(rig, member(), inits=[member("true"), member("echo", "two")])
    first, second, other = one.members
    assert [m.status for m in one.members] == [Status.STOPPED, Status.STOPPED, Status.RUNNING]
    assert [m.exit_code for m in one.members] == [0, 0, None]
    started = [c.key for c in rig.fakes.runtime.calls if c.verb == "start"]
    assert started == [one.uuid, first.uuid, second.uuid, other.uuid]


def test_the_others_wait_for_an_init_container_and_no_worker_does(start: Any) -> None:
    settings = quick_settings()
    one_worker = replace(settings.agent.runner, workers=1)
    rig = start(settings=replace(settings, agent=replace(settings.agent, runner=one_worker)))
    one = made(rig, draft(member(), inits=[member("sleep", "9999")]))
    init, _ = eventually(lambda: one.members)
    eventually(lambda: one.members[0].status is Status.RUNNING, "the init container runs")
    # The only worker is free for somebody else meanwhile.
    rig.until(rig.create().uuid, Status.RUNNING)
    assert one.members[1].status is Status.CREATING
    rig.fakes.runtime.die(init.uuid, 0)
    row = one.until(Status.RUNNING)
    assert row.status_reason is None
    assert [m.status for m in one.members] == [Status.STOPPED, Status.RUNNING]
    assert [c.key for c in rig.fakes.runtime.calls if c.verb == "start"].count(init.uuid) == 1


def test_an_init_container_that_fails_fails_the_capsule_with_its_code(rig: Rig) -> None:
    one = made(rig, draft(member(), inits=[member("exit", "3")], restart_policy="no"))
    row = one.settled()
    assert row is not None
    name = one.members[0].name
    assert row.status is Status.ERROR
    assert row.status_reason == f"Init container {name} ended with exit code 3."
    assert [m.status for m in one.members] == [Status.ERROR] * 2
    assert on_engine(rig) == set()
    started = [c.key for c in rig.fakes.runtime.calls if c.verb == "start"]
    assert one.members[1].uuid not in started
    one.delete()
    assert one.row is None
    nothing_left(rig)


def test_an_init_container_that_is_started_again_is_waited_for(rig: Rig) -> None:
    one = made(rig, draft(member(), inits=[member("sleep", "9999")]))
    eventually(lambda: one.members[0].status is Status.RUNNING, "the init container runs")
    init = one.members[0].uuid
    rig.fakes.runtime.die(init, 1)  # and the engine starts it again
    rig.fakes.runtime.die(init, 0)
    assert one.settled() is not None
    one.until(Status.RUNNING)


def test_an_init_container_that_takes_too_long_fails_the_capsule(fakes: Fakes, start: Any) -> None:
    moment = [utcnow()]
    settings = quick_settings()
    settings = replace(settings, work=replace(settings.work, init_seconds=60.0))
    rig = start(fakes, settings=settings, clock=lambda: max(utcnow(), moment[0]))
    one = made(rig, draft(member(), inits=[member("sleep", "9999")]))
    eventually(lambda: one.members[0].status is Status.RUNNING, "the init container runs")
    began = one.members[0].started_at
    assert began is not None
    moment[0] = began + timedelta(seconds=61)
    row = one.until(Status.ERROR)
    assert row.status_reason is not None and "did not end within 60 seconds" in row.status_reason
    assert on_engine(rig) == set()


# ---- what goes wrong


def test_defect_15_a_member_that_cannot_start_fails_all_of_it_and_is_named(rig: Rig) -> None:
    one = made(rig, draft(member(), member("/no/such")))
    row = one.settled()
    assert row is not None
    assert row.status is Status.ERROR
    assert (row.status_reason or "").startswith(f"Container {one.members[1].name}: ")
    assert "/no/such" in (row.status_reason or "")
    assert (row.host, row.addresses, row.sandbox_id) == (None, None, None)
    assert on_engine(rig) == set()
    one.delete()
    nothing_left(rig)


def test_no_host_has_room(rig: Rig) -> None:
    one = made(rig, draft(member(cpu=16.0)))
    row = one.settled()
    assert row is not None
    assert row.status is Status.ERROR
    assert "not enough hosts" in (row.status_reason or "")


@pytest.mark.parametrize("verb", ["create", "start", "sandbox_image"])
def test_an_engine_that_is_away_for_a_moment_is_waited_for(rig: Rig, verb: str) -> None:
    rig.fakes.runtime.script(verb, Fail(Unavailable("gone fishing"), times=2))
    running(rig, member(), inits=[member("true")])


def test_a_step_that_was_cut_short_goes_on_where_it_was(rig: Rig) -> None:
    # The first member is made; the reply for the second is lost, and so is that of its start.
    rig.fakes.runtime.script("create", LoseReply(), LoseReply(), LoseReply())
    rig.fakes.runtime.script("start", LoseReply(), LoseReply())
    one = running(rig)
    assert len(on_engine(rig)) == 3
    assert one.operations[0].state is OperationState.DONE


def test_a_sandbox_that_ended_meanwhile_is_started_again(rig: Rig) -> None:
    held = threading.Event()
    entered = threading.Event()
    rig.fakes.images.script("ensure", Block(held, entered=entered))
    one = made(rig)
    assert entered.wait(30)
    rig.fakes.runtime.die(one.uuid, 137)
    held.set()
    row = one.settled()
    assert row is not None
    assert row.status is Status.RUNNING


# ---- delete


def test_delete_leaves_nothing(rig: Rig) -> None:
    one = running(rig, member(), member(), inits=[member("true")])
    one.delete()
    assert one.settled() is None
    nothing_left(rig)
    removed = [c.key for c in rig.fakes.runtime.calls if c.verb == "remove"]
    assert removed[-1] == one.uuid  # the sandbox outlives those in it
    assert one.operations == []


def test_delete_shows_at_once_everywhere(still: Rig) -> None:
    one = made(still)
    with still.db.write() as conn:
        capsules.update(conn, one.uuid, utcnow(), {"host": "host-1"})
    one.delete()
    row = one.row
    assert row is not None
    assert row.status is Status.DELETING
    assert {m.status for m in one.members} == {Status.DELETING}


def test_delete_takes_the_place_of_a_create_that_waits(rig: Rig) -> None:
    one = made(rig, draft(member(), inits=[member("sleep", "9999")]))
    eventually(lambda: one.members[0].status is Status.RUNNING, "the init container runs")
    one.delete()
    assert one.settled() is None
    nothing_left(rig)


def test_delete_takes_the_place_of_a_create_in_the_middle_of_a_step(rig: Rig) -> None:
    held, entered = threading.Event(), threading.Event()
    rig.fakes.images.script("ensure", Block(held, entered=entered))
    one = made(rig)
    assert entered.wait(30)
    one.delete()
    held.set()
    assert one.settled() is None
    eventually(lambda: not on_engine(rig))
    nothing_left(rig)


def test_delete_of_what_no_host_has_is_done_at_once(still: Rig) -> None:
    one = made(still)
    one.delete()
    assert one.row is None
    assert list(one.members) == []
    with still.db.read() as conn:
        assert quotas.used(conn, PROJECT) == Amounts()


def test_delete_twice_is_one(rig: Rig) -> None:
    held, entered = threading.Event(), threading.Event()
    one = running(rig)
    rig.fakes.runtime.script("remove", Block(held, entered=entered))
    one.delete()
    assert entered.wait(30)
    one.delete()
    held.set()
    assert one.settled() is None
    nothing_left(rig)


def test_a_delete_that_the_engine_refuses_says_so_and_can_be_asked_again(rig: Rig) -> None:
    one = running(rig)
    rig.fakes.runtime.script("remove", Fail(Rejected("no")))
    one.delete()
    row = one.settled()
    assert row is not None
    assert (row.status, row.status_reason) == (Status.RUNNING, "no")  # nothing was removed
    assert {m.status for m in one.members} == {Status.RUNNING}
    one.delete()
    assert one.settled() is None
    nothing_left(rig)


def test_a_network_that_another_needs_stays(rig: Rig) -> None:
    one, other = running(rig), running(rig)
    alone = rig.create()
    assert rig.settled(alone.uuid) is not None
    one.delete()
    assert one.settled() is None
    rig.house.services.containers.delete(caller(), rig.row(alone.uuid), force=True, stop=False)  # type: ignore[arg-type]
    assert rig.settled(alone.uuid) is None
    row = other.row
    assert row is not None
    (network,) = row.addresses or {}
    rig.fakes.networks.require(network_name(network))


# ---- admission


def test_quota_counts_every_member_and_all_they_need(start: Any) -> None:
    limits = QuotaSettings(containers=3, cpu=1, memory=64, disk=-1)
    rig = start(settings=quick_settings(quota=limits))
    with pytest.raises(OverQuota, match="containers: requested 4"):
        made(rig, draft(member(), member(), member(), inits=[member("true")]))
    with pytest.raises(OverQuota, match=r"cpu: requested 1\.2"):
        made(rig, draft(member(cpu=0.6), member(cpu=0.6)))
    with pytest.raises(OverQuota, match="memory: requested 80 MiB"):
        made(rig, draft(member(), inits=[member("true", memory=80)]))
    one = running(rig, member(), member())
    with pytest.raises(OverQuota):
        made(rig, draft(member(), member()))
    rig.create(Draft(image="busybox", cpu=0.1, memory=8))
    one.delete()
    assert one.settled() is None
    made(rig, draft(member(), member()))


def test_of_two_at_once_only_one_gets_the_last_of_a_quota(start: Any) -> None:
    rig = start(settings=quick_settings(quota=QuotaSettings(containers=3)))
    outcomes: list[str] = []

    def ask() -> None:
        try:
            made(rig)
            outcomes.append("made")
        except OverQuota:
            outcomes.append("refused")

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes) == ["made", "refused", "refused", "refused"]


def test_defect_15_what_is_refused_leaves_nothing(still: Rig) -> None:
    with pytest.raises(Invalid, match=r"spec\.volumes\[0\]\.cinder: no volume service"):
        made(still, draft(volumes=["data"]))
    with pytest.raises(Invalid, match="image"):
        made(still, draft(member(image="zun-commit/" + "0" * 32 + "/x")))
    with still.db.read() as conn:
        assert quotas.used(conn, PROJECT) == Amounts()


def test_unique_names_are_unique_among_containers_and_capsules(folder: Path) -> None:
    rig = make(folder, Fakes(), quick_settings(unique_names="project"))
    made(rig, draft(name="web"))
    rig.create(Draft(image="busybox", name="db"))
    for name in ("web", "WEB", "db"):
        with pytest.raises(Conflict) as e:
            made(rig, draft(name=name))
        assert e.value.slug == "container-already-exists"
    with pytest.raises(Conflict, match="a capsule named"):
        rig.create(Draft(image="busybox", name="Web"))
    rig.house.services.capsules.create(caller("other"), draft(name="web"))
    rig.db.close()


def test_names_may_be_doubled_where_nobody_minds(still: Rig) -> None:
    made(still, draft(name="web"))
    made(still, draft(name="web"))
    with pytest.raises(Conflict, match="use a uuid"):
        still.house.services.capsules.find(caller(), "web")


def test_the_image_of_the_sandbox_can_be_the_operators(start: Callable[..., Rig]) -> None:
    settings = quick_settings()
    work = replace(settings.work, sandbox_image="registry.example.com/pause:3")
    rig = start(settings=replace(settings, work=work))
    one = running(rig)
    pulled = [c.key for c in rig.fakes.images.calls if c.verb == "pull"]
    assert "registry.example.com/pause:3" in pulled
    assert rig.fakes.runtime.plan_of(one.uuid).image != "sha256:sandbox"
