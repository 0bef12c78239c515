"""Placing at work: no promise is broken whoever places at once; what one host refuses, another gets."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from tests.support.house import Fakes, caller, eventually, quick_settings
from tests.support.neighbourhood import Neighbourhood, neighbourhood
from tests.support.rows import container, host, operation

from zun.drivers.errors import Lacking, Rejected, TimedOut, Unavailable
from zun.drivers.fake import Fail
from zun.drivers.fake.runtime import INVENTORY
from zun.model.host import Claim, Mode
from zun.model.lifecycle import Status
from zun.model.operation import EventKind, OperationState
from zun.service.errors import Invalid
from zun.store import claims, containers, hosts, operations, schema, ties
from zun.store.database import Database
from zun.work.clock import utcnow
from zun.work.placement import Placement
from zun.work.scheduler import PlaceRequest, SchedulerSettings


@pytest.fixture
def street(folder: Path) -> Iterator[Neighbourhood]:
    """Three hosts, none of which works yet."""
    with neighbourhood(folder, 3) as street:
        yield street


def begin(street: Neighbourhood, conductors: int = 1) -> None:
    for name in street.hosts:
        street.begin(name)
    street.conduct(conductors)


# ---- claims under load


def test_four_conductors_and_two_thousand_requests_over_commit_none_of_fifty_hosts(
    folder: Path,
) -> None:
    """Twice as many as fit: what fits is placed, to the last MiB, and everybody else is told why not."""
    with neighbourhood(folder, 0) as street:
        now = utcnow()
        with street.db.write() as conn:
            for n in range(50):
                one = host(f"h{n:02}", cpus=40.0, memory=2000 - (n % 5), disk=1000)
                one = replace(one, inventory=replace(one.inventory, mem_total=4000))
                hosts.register(conn, one, now)
            conn.execute(schema.services.update().values(last_seen_up=now.replace(year=9999)))
            for _ in range(2000):
                row = container(status=Status.CREATING, cpu=1.0, memory=100, created_at=now)
                containers.insert(conn, row)
                operations.open_(
                    conn,
                    operation(
                        container_uuid=row.uuid, steps=["place"], created_at=now,
                        deadline=now.replace(year=9999),
                    ),
                )  # fmt: skip
        street.conduct(4)
        query = sa.select(sa.func.count()).where(schema.operations.c.queue == "@conductor",
                                                 schema.operations.c.open_key.is_not(None))  # fmt: skip

        def none_waits() -> bool:
            with street.db.read() as conn:
                return conn.execute(query).scalar_one() == 0

        eventually(none_waits, "all are placed or refused", patience=240)
        street.rest()
        with street.db.read() as conn:
            every = hosts.every(conn)
            for one in every:
                mine = claims.claims_on(conn, one.hostname)
                assert one.mem_used == sum(c.memory for c in mine) <= one.memory
                assert one.cpu_used == pytest.approx(sum(c.cpu for c in mine))
                assert one.total_containers == len(mine)
            placed = sum(one.total_containers for one in every)
            rows = Counter(
                conn.execute(sa.select(schema.containers.c.host.is_(None))).scalars().all()
            )
            reasons = set(conn.execute(sa.select(schema.operations.c.error)).scalars()) - {None}
        # 19 or 20 of 100 MiB each, by the host's odd few.
        assert placed == sum(one.memory // 100 for one in every) == rows[False]
        assert len(reasons) == 1
        assert "50 hosts: 50 short of" in reasons.pop()


@pytest.mark.databases
def test_a_copy_that_is_old_costs_a_try_and_never_a_promise(db: Database) -> None:
    """Two conductors, each with its own copy of one host that has room for one."""
    now = utcnow()
    with db.write() as conn:
        hosts.register(conn, host(cpus=1.0), now)
    settings = SchedulerSettings()
    first, second = (Placement(settings, quick_settings().work.down_after) for _ in range(2))
    wish = PlaceRequest(cpu=1.0, memory=1, disk=0)

    def wanted(uuid: str) -> Any:
        return lambda h: Claim(container_uuid=uuid, host=h.hostname, cpu=1.0, memory=1, disk=0)

    with db.write() as conn:
        assert second.could(conn, wish, now).hosts, "its copy shows room"
        first.take(conn, wish, wanted("a"), now)
        with pytest.raises(Rejected, match="1 host: 1 short of CPU"):
            second.take(conn, wish, wanted("b"), now)
    with db.write() as conn:
        claims.release(conn, "a")
    with db.write() as conn:
        second.take(conn, wish, wanted("b"), now)


def test_nobody_waits_for_another_who_reads_the_hosts_anew(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A copy that is a little too old will do meanwhile: the claim decides."""
    now, entered, go = utcnow(), threading.Event(), threading.Event()
    with db.write() as conn:
        hosts.register(conn, host(), now)
    placement = Placement(SchedulerSettings(), quick_settings().work.down_after, fresh_for=1000.0)
    revisions = hosts.revisions

    def slowly(conn: sa.Connection) -> Any:
        entered.set()
        assert go.wait(30)
        return revisions(conn)

    def read_anew() -> None:
        with db.read() as conn:
            placement.could(conn, PlaceRequest(cpu=1.0, memory=1, disk=0), now)

    with db.read() as conn:
        placement.warm(conn, now)
    placement._copy = replace(placement._copy, taken=placement._copy.taken - 1500)
    monkeypatch.setattr(hosts, "revisions", slowly)
    reader = threading.Thread(target=read_anew)
    reader.start()
    try:
        assert entered.wait(30)
        with db.write() as conn:
            taken, _ = placement.take(
                conn, PlaceRequest(cpu=1.0, memory=1, disk=0),
                lambda h: Claim(container_uuid="a", host=h.hostname, cpu=1.0, memory=1, disk=0), now,
            )  # fmt: skip
    finally:
        go.set()
        reader.join()
    assert taken.hostname == "host-1"


@pytest.mark.databases
def test_a_claim_that_was_rolled_back_is_not_believed(db: Database) -> None:
    """Somebody else's brings the row to the very revision at which the copy still has ours."""
    now = utcnow()
    with db.write() as conn:
        hosts.register(conn, host(cpus=2.0), now)
    mine, other = (
        Placement(SchedulerSettings(), quick_settings().work.down_after) for _ in range(2)
    )

    def wanted(uuid: str, cpu: float) -> Any:
        return lambda h: Claim(container_uuid=uuid, host=h.hostname, cpu=cpu, memory=1, disk=0)

    with pytest.raises(ZeroDivisionError), db.write() as conn:
        mine.take(conn, PlaceRequest(cpu=2.0, memory=1, disk=0), wanted("a", 2.0), now)
        raise ZeroDivisionError
    small = PlaceRequest(cpu=1.0, memory=1, disk=0)
    with db.write() as conn:
        other.take(conn, small, wanted("b", 1.0), now)
    with db.write() as conn:
        mine.take(conn, small, wanted("c", 1.0), now)


@pytest.mark.databases
@pytest.mark.parametrize(
    "change",
    [{"disabled": True}, {"forced_down": True}, {"mode": Mode.DRAINING}, {"lost_at": True},
     {"fenced_at": True}, {"last_seen_up": None}],
)  # fmt: skip
def test_the_claim_itself_refuses_a_host_that_is_closed(
    db: Database, change: dict[str, Any]
) -> None:
    now = utcnow()
    one = Claim(container_uuid="a", host="host-1", cpu=1.0, memory=1, disk=0)
    placement = Placement(SchedulerSettings(), quick_settings().work.down_after)
    wish = PlaceRequest(cpu=1.0, memory=1, disk=0)
    with db.write() as conn:
        hosts.register(conn, host(), now)
        placement.could(conn, wish, now)  # it has its copy
        name, value = next(iter(change.items()))
        table = schema.hosts if name in schema.hosts.c else schema.services
        conn.execute(
            table.update().values({name: now if value is True and name.endswith("_at") else value})
        )
        assert not claims.claim(conn, one, seen_after=now - quick_settings().work.down_after)
        with pytest.raises(Rejected):
            placement.take(conn, wish, lambda h: one, now)
        assert claims.claims_on(conn, "host-1") == []


# ---- CPUs of one's own


@pytest.mark.databases
def test_cpus_of_ones_own_are_never_two_containers(db: Database) -> None:
    now = utcnow()
    with db.write() as conn:
        pinning = host(cpus=2.0, enable_cpu_pinning=True, pinnable=[2, 3, 4, 5, 6, 7])
        hosts.register(conn, pinning, now)
    placements = [
        Placement(SchedulerSettings(), quick_settings().work.down_after) for _ in range(4)
    ]
    wish = PlaceRequest(cpu=2.0, memory=1, disk=0, cpu_policy="dedicated")
    taken: list[list[int]] = []
    refused: list[str] = []

    def take(n: int) -> None:
        def wanted(h: Any) -> Claim:
            return Claim(container_uuid=f"c{n}", host=h.hostname, cpu=2.0, memory=1, disk=0)

        for _ in range(100):  # as a runner does: who was too slow comes again
            try:
                _, claim = db.run(lambda conn: placements[n % 4].take(conn, wish, wanted, now))
            except Unavailable:
                continue
            except Rejected as exc:
                refused.append(exc.public)
            else:
                taken.append(list(claim.cpuset or ()))
            return

    threads = [threading.Thread(target=take, args=(n,)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert sorted(cpu for cpus in taken for cpu in cpus) == [2, 3, 4, 5, 6, 7]
    assert len(refused) == 5
    assert "1 host: 1 short of CPUs of its own" in refused[0]
    with db.write() as conn:
        now_ = hosts.find(conn, "host-1")
        assert now_ is not None
        assert (now_.pinned, now_.cpus_pinned, now_.cpu_used) == ([2, 3, 4, 5, 6, 7], 6, 6.0)
        shared = Claim(container_uuid="s", host="host-1", cpu=2.0, memory=1, disk=0)
        assert claims.claim(conn, shared), "what is shared is not touched by it"
        claims.release(conn, "c0")
        claims.release(conn, "c1")
        for n in range(8):
            claims.release(conn, f"c{n}")
        now_ = hosts.find(conn, "host-1")
        assert now_ is not None
        assert (now_.pinned, now_.cpus_pinned, now_.cpu_used) == (None, 0, 2.0)


# ---- affinity


def group(policy: str, name: str = "web") -> dict[str, Any]:
    return {"hints": {"group": name, "group_policy": policy}}


def hosts_of(street: Neighbourhood, uuids: list[str]) -> list[str | None]:
    rows = [street.settled(uuid) for uuid in uuids]
    return [None if row is None else row.host for row in rows]


@pytest.mark.databases
def test_a_group_apart_stays_apart_however_many_place_at_once(street: Neighbourhood) -> None:
    begin(street, conductors=4)
    where = hosts_of(street, [street.create(**group("anti-affinity")) for _ in range(8)])
    placed = [name for name in where if name is not None]
    assert sorted(placed) == ["host-1", "host-2", "host-3"]
    refused = next(r for r in (street.row(u) for u in _all(street)) if r and r.host is None)
    assert "3 with one it must not be with" in (refused.status_reason or "")
    # Another project's group of the same name is another group.
    other = caller("22222222222222222222222222222222")
    assert hosts_of(street, [street.create(who=other, **group("anti-affinity"))]) != [None]


def _all(street: Neighbourhood) -> list[str]:
    with street.db.read() as conn:
        return list(conn.execute(sa.select(schema.containers.c.uuid)).scalars())


@pytest.mark.databases
def test_a_group_together_is_on_one_host_and_goes_where_its_members_are(
    street: Neighbourhood,
) -> None:
    begin(street, conductors=4)
    where = hosts_of(street, [street.create(**group("affinity"), cpu=0.5) for _ in range(8)])
    assert len(set(where)) == 1
    assert hosts_of(street, [street.create(**group("affinity"), cpu=8.0)]) == [None]


def test_soft_wishes_are_followed_while_they_can_be(street: Neighbourhood) -> None:
    begin(street)
    apart = [hosts_of(street, [street.create(**group("soft-anti-affinity"))])[0] for _ in range(4)]
    assert len(set(apart[:3])) == 3
    assert apart[3] is not None
    near = [hosts_of(street, [street.create(**group("soft-affinity", "db"))])[0] for _ in range(3)]
    assert len(set(near)) == 1


@pytest.mark.databases
def test_those_that_name_one_another_are_placed_as_they_say_whichever_comes_first(
    street: Neighbourhood,
) -> None:
    # All are accepted before anything is placed: the one that is named has no host yet.
    named = street.create()
    apart = [street.create(hints={"different_host": [named]}) for _ in range(3)]
    near = street.create(hints={"same_host": named})
    begin(street, conductors=4)
    home, at, *away = hosts_of(street, [named, near, *apart])
    assert home == at
    assert home not in away
    # It sees them too: were it placed anew, it would not come to them.
    with street.db.write() as conn:
        row = containers.get(conn, named)
        assert row is not None
        seen = ties.neighbours(conn, named, row.project_id, ties.Ties())
    assert seen.away == frozenset(away)
    assert seen.near == frozenset({home})


@pytest.mark.databases
def test_a_group_goes_with_its_last_member(street: Neighbourhood) -> None:
    begin(street)
    uuid = street.create(**group("affinity"))
    row = street.settled(uuid)
    assert row is not None
    with pytest.raises(Invalid, match=r"hints.group_policy: the group 'web' has the policy"):
        street.create(**group("anti-affinity"))
    street.services.containers.delete(caller(), row, force=False, stop=True)
    assert street.settled(uuid) is None
    with street.db.read() as conn:
        assert conn.execute(sa.select(schema.placement_groups)).all() == []
        assert conn.execute(sa.select(schema.placement_ties)).all() == []
    assert street.settled(street.create(**group("anti-affinity"))) is not None


@pytest.mark.parametrize(
    ("hints", "words"),
    [
        ({"group": "a"}, "'group' and 'group_policy' go together"),
        ({"group": "", "group_policy": "affinity"}, "hints.group:"),
        ({"group": 3, "group_policy": "affinity"}, "hints.group:"),
        ({"group": "a", "group_policy": "near"}, "hints.group_policy: must be one of"),
        ({"group": "a", "group_policy": ["affinity"]}, "hints.group_policy"),
        ({"same_host": "x"}, "hints.same_host: must be the uuid"),
        ({"different_host": [1]}, "hints.different_host: must be the uuid"),
        ({"different_host": ["44444444-4444-4444-8444-444444444444"]}, "no container"),
        ({"different_host": ["44444444-4444-4444-8444-444444444444"] * 33}, "more than 32"),
        ({"architecture": 64}, "hints.architecture"),
        ({"label:x": {}}, "hints.label:x"),
        ({"on_host_failure": "maybe"}, "hints.on_host_failure"),
        ({"on_host_failure": "recreate"}, "needs the restart_policy"),
    ],
)
def test_hints_that_mean_nothing_are_refused_by_name(
    street: Neighbourhood, hints: dict[str, Any], words: str
) -> None:
    with pytest.raises(Invalid, match=words):
        street.create(hints=hints)
    assert _all(street) == []


def test_a_hint_may_not_name_another_project_s_container(street: Neighbourhood) -> None:
    other = street.create(who=caller("22222222222222222222222222222222"))
    with pytest.raises(Invalid, match="no container"):
        street.create(hints={"same_host": other})


# ---- a host that refuses


def test_what_one_host_lacks_another_is_asked_for(street: Neighbourhood) -> None:
    for name in ("host-1", "host-2"):
        street.hosts[name].fakes.runtime.script("create", Fail(Lacking("the disk is full"), 5))
    begin(street)
    uuid = street.create()
    row = street.settled(uuid)
    assert row is not None
    assert (row.status, row.host, row.status_reason) == (Status.RUNNING, "host-3", None)
    for name in ("host-1", "host-2"):
        fakes = street.hosts[name].fakes
        assert fakes.runtime.uuids() == ()
        assert fakes.networks.list_networks(_soon()) == ()
        assert street.host(name).total_containers == 0
    # Undone on the one before it is begun on the next: so the journal has it.
    with street.db.read() as conn:
        told = operations.events_of(conn, street.journal(uuid)[0].uuid)
    story = [(e.kind, e.step) for e in told if e.step in ("place", "runtime_create")]
    once = [
        (EventKind.STEP_DONE, "place"),
        (EventKind.STEP_FAILED, "runtime_create"),
        (EventKind.STEP_UNDONE, "runtime_create"),
        (EventKind.STEP_UNDONE, "place"),
    ]
    assert story == [
        *once,
        *once,
        (EventKind.STEP_DONE, "place"),
        (EventKind.STEP_DONE, "runtime_create"),
    ]
    assert [e.detail for e in told if e.kind is EventKind.PROGRESS and "refused" in (e.detail or {})] == [
        {"refused": ["host-1"]}, {"refused": ["host-1", "host-2"]}
    ]  # fmt: skip


def _soon() -> Any:
    from zun.drivers.deadline import Deadline

    return Deadline(30)


def test_no_more_hosts_are_asked_than_is_said(folder: Path) -> None:
    with neighbourhood(folder, 4) as street:
        for one in street.hosts.values():
            one.fakes.runtime.script("create", Fail(Lacking("the disk is full"), 5))
        begin(street)
        row = street.settled(street.create())
        assert row is not None
        assert (row.status, row.host) == (Status.ERROR, None)
        assert row.status_reason == "the disk is full"
        asked = [n for n, one in street.hosts.items() if one.fakes.runtime.called("create")]
        assert len(asked) == 3


def test_where_no_other_host_is_left_the_user_learns_what_the_last_one_said(
    folder: Path,
) -> None:
    with neighbourhood(folder, 1) as street:
        street.hosts["host-1"].fakes.runtime.script("create", Fail(Lacking("the disk is full")))
        begin(street)
        row = street.settled(street.create())
        assert row is not None
        assert row.status is Status.ERROR
        assert row.status_reason == "the disk is full"
    with neighbourhood(folder, 2) as street:
        street.hosts["host-1"].fakes.runtime.script("create", Fail(Lacking("the disk is full")))
        begin(street)
        with street.db.write() as conn:
            hosts.change_service(conn, "host-2", hosts.BINARY, utcnow(), disabled=True)
        row = street.settled(street.create())
        assert row is not None
        assert "2 hosts: 1 disabled, 1 tried already" in (row.status_reason or "")
        assert "the disk is full" in (row.status_reason or "")


@pytest.mark.parametrize("error", [Rejected("a bad command"), TimedOut("slow")])
def test_what_every_host_would_refuse_is_not_tried_elsewhere(
    folder: Path, error: Exception
) -> None:
    settings = quick_settings(operation_seconds=1.0)
    with neighbourhood(folder, 2, settings) as street:
        for one in street.hosts.values():
            one.fakes.runtime.script("create", Fail(error, 50))
        begin(street)
        row = street.settled(street.create())
        assert row is not None
        assert row.status is Status.ERROR
        asked = [n for n, one in street.hosts.items() if one.fakes.runtime.called("create")]
        assert len(asked) == 1


def test_an_image_driver_that_a_host_lacks_is_known_beforehand(folder: Path) -> None:
    with neighbourhood(folder, 0) as street:
        street.add("arm", Fakes(inventory=replace(INVENTORY, architecture="aarch64")))
        street.begin("arm")
        street.conduct()
        row = street.settled(street.create(hints={"architecture": "amd64"}))
        assert row is not None
        assert "1 of another architecture" in (row.status_reason or "")
        arm = street.settled(street.create(hints={"architecture": "arm64"}))
        assert arm is not None
        assert arm.status is Status.RUNNING
        assert street.host("arm").inventory.image_drivers == ["docker"]


def test_a_delete_in_the_middle_of_placing_again_leaves_nothing(street: Neighbourhood) -> None:
    reached, go = threading.Event(), threading.Event()

    def wait(point: str) -> None:
        if point == "undone:create:place":
            reached.set()
            go.wait(30)

    street.checkpoint = wait
    street.hosts["host-1"].fakes.runtime.script("create", Fail(Lacking("full")))
    begin(street)
    uuid = street.create()
    assert reached.wait(30)
    row = street.row(uuid)
    assert row is not None
    street.services.containers.delete(caller(), row, force=True, stop=False)
    go.set()
    assert street.settled(uuid) is None
    assert street.where(uuid) == []
    assert [street.host(n).total_containers for n in street.hosts] == [0, 0, 0]
    assert all(o.state is not OperationState.PENDING for o in street.journal(uuid))


def test_a_host_with_the_image_is_preferred_among_equals(street: Neighbourhood) -> None:
    begin(street)
    first = street.settled(street.create(image="rare", cpu=0.1, memory=4))
    assert first is not None
    assert first.host == "host-1"
    second = street.settled(street.create(image="other", cpu=0.1, memory=4))
    assert second is not None
    assert second.host == "host-2", "the emptiest"
    eventually(lambda: _placed(street, "rare") == "host-1", "the copy knows of it")


def _placed(street: Neighbourhood, image: str) -> str | None:
    row = street.settled(street.create(image=image, cpu=0.1, memory=4))
    return None if row is None else row.host
