"""What a use case accepts and refuses, and that a refusal leaves nothing behind."""

from __future__ import annotations

import base64
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.support.house import (
    OTHER_PROJECT,
    PROJECT,
    Fakes,
    Rig,
    caller,
    make,
    quick_settings,
    running,
)
from tests.support.rows import NOW, container, host

from zun.model.container import Container, Draft, MountRequest, NetRequest
from zun.model.lifecycle import Action, Status, guard
from zun.model.operation import EventKind, OperationState
from zun.service.errors import Conflict, Invalid, NotFound, ServiceError, Unavailable
from zun.service.queries import ListQuery, LogQuery
from zun.store import containers, hosts, networks, operations, schema
from zun.store.database import Database

pytestmark = pytest.mark.databases

ACTS = [
    Action.START,
    Action.STOP,
    Action.REBOOT,
    Action.PAUSE,
    Action.UNPAUSE,
    Action.KILL,
    Action.REBUILD,
]
IMAGE = Draft(image="busybox")


def put(rig: Rig, **changes: Any) -> Container:
    """A placed container in the records."""
    one = container(**{"host": "host-1", "container_id": "x", **changes})
    with rig.db.write() as conn:
        containers.insert(conn, one)
        found = containers.get(conn, one.uuid)
    assert found is not None
    return found


def rows(db: Database) -> tuple[int, int, int]:
    """How many containers, operations and events there are."""
    with db.read() as conn:
        tables = (schema.containers, schema.operations, schema.events)
        counts = [len(conn.execute(table.select()).all()) for table in tables]
    return (counts[0], counts[1], counts[2])


def refused(rig: Rig, draft: Draft, error: type[ServiceError], *words: str) -> ServiceError:
    before = rows(rig.db)
    with pytest.raises(error) as caught:
        rig.house.services.containers.create(caller(), draft)
    assert rows(rig.db) == before, "a refusal leaves nothing behind"
    for word in words:
        assert word in caught.value.message
    return caught.value


# ---- creating


def test_an_accepted_create_is_a_row_and_an_operation_in_one(still: Rig) -> None:
    one = still.create(Draft(image="busybox", name="web", run=True))
    assert (one.status, one.host, one.open_action, one.open_begun) == (
        "Creating", None, Action.CREATE, False,
    )  # fmt: skip
    assert rows(still.db) == (1, 1, 1)
    with still.db.read() as conn:
        [work] = operations.of_container(conn, one.uuid)
        [event] = operations.events_of(conn, work.uuid)
    assert (work.queue, work.state, work.request_id, work.project_id) == (
        "@conductor", OperationState.PENDING, "req-test", PROJECT,
    )  # fmt: skip
    assert event.kind is EventKind.ACCEPTED
    assert work.deadline > work.created_at


def test_defaults_and_generated_names(still: Rig) -> None:
    one = still.create(Draft(image="busybox"))
    assert (one.cpu, one.memory, one.disk, one.cpu_policy, one.image_driver) == (
        1.0, 512, 0, "shared", "docker",
    )  # fmt: skip
    greek, number, word = one.name.split("-")
    assert greek.isalpha()
    assert 1 <= int(number) <= 24
    assert word == "container"


@pytest.mark.parametrize(
    ("changes", "error", "words"),
    [
        ({"image_driver": "glance"}, Invalid, ["image_driver", "'glance' is not configured", "docker"]),
        ({"security_groups": ["default"]}, Invalid, ["security_groups", "Neutron"]),
        ({"registry": "mine"}, NotFound, ["registry", "'mine'"]),
        ({"mounts": [MountRequest(type="volume", source="v", destination="/d")]}, Invalid,
         ["mounts[0].type", "Cinder", "bind"]),
        ({"mounts": [MountRequest(type="tmpfs", source="v", destination="/d")]}, Invalid,
         ["mounts[0].type", "'tmpfs'"]),
        ({"mounts": [MountRequest(type="bind", destination="/d")]}, Invalid, ["mounts[0].source"]),
        ({"mounts": [MountRequest(type="bind", source="%%%", destination="/d")]}, Invalid,
         ["mounts[0].source", "base64"]),
        ({"nets": [NetRequest(port="p")]}, Invalid, ["nets[0].port", "Neutron"]),
        ({"nets": [NetRequest(network="nowhere")]}, NotFound, ["nets[0].network", "'nowhere'"]),
        ({"host": "nowhere"}, NotFound, ["host", "'nowhere'"]),
    ],
)  # fmt: skip
def test_what_is_not_configured_is_refused_by_name(
    still: Rig, changes: dict[str, Any], error: type[ServiceError], words: list[str]
) -> None:
    refused(still, replace(IMAGE, **changes), error, *words)


@pytest.mark.parametrize("path", ["relative", "/", "/a/", "/a/../b", "..", ""])
def test_a_file_needs_an_absolute_path(still: Rig, path: str) -> None:
    content = base64.b64encode(b"x").decode()
    mounts = [
        MountRequest(type="bind", source=content, destination="/fine"),
        MountRequest(type="bind", source=content, destination=path),
    ]
    refused(still, replace(IMAGE, mounts=mounts), Invalid, "mounts[1].destination", "absolute")


@pytest.fixture
def net(still: Rig) -> str:
    """The uuid of the project's network, 10.9.0.0/24, where .5 is taken."""
    with still.db.write() as conn:
        made = networks.ensure(conn, PROJECT, "default", ["10.9.0.0/24"], NOW)
        networks.ensure_port(conn, made, "somebody", "10.9.0.5")
        networks.ensure(conn, OTHER_PROJECT, "theirs", ["10.9.1.0/24"], NOW)
    return made.uuid


@pytest.mark.parametrize(
    ("address", "words"),
    [
        ("10.9.0.0", "not usable"), ("10.9.0.1", "not usable"), ("10.9.0.255", "not usable"),
        ("10.9.1.7", "not usable"), ("10.9.0.5", "in use"), ("::1", "no IPv4"), ("ten", "no IPv4"),
        ("10.9.0.05", "no IPv4"),
    ],
)  # fmt: skip
def test_addresses_that_can_not_be_had(still: Rig, net: str, address: str, words: str) -> None:
    draft = replace(IMAGE, nets=[NetRequest(network=net, v4_fixed_ip=address)])
    refused(still, draft, Invalid, "nets[0].v4-fixed-ip", words)


def test_networks_are_the_projects_own(still: Rig, net: str) -> None:
    for name in ("default", net):
        still.create(replace(IMAGE, nets=[NetRequest(network=name, v4_fixed_ip="10.9.0.9")]))
    refused(still, replace(IMAGE, nets=[NetRequest(network="theirs")]), NotFound, "nets[0].network")
    twice = [NetRequest(network="default"), NetRequest(network=net)]
    refused(still, replace(IMAGE, nets=twice), Invalid, "only once")
    only6 = [NetRequest(network=net, v6_fixed_ip="fd00::5")]
    refused(still, replace(IMAGE, nets=only6), Invalid, "v6-fixed-ip")


@pytest.mark.parametrize(
    ("scope", "name", "project", "taken"),
    [
        ("", "web", PROJECT, False),
        ("project", "WEB", PROJECT, True),
        ("project", "web", OTHER_PROJECT, False),
        ("global", "Web", OTHER_PROJECT, True),
        ("global", "other", OTHER_PROJECT, False),
    ],
)
def test_unique_names(
    folder: Any, fakes: Fakes, scope: str, name: str, project: str, taken: bool
) -> None:
    rig = make(folder, fakes, quick_settings(unique_names=scope))
    rig.create(replace(IMAGE, name="web"))
    draft = replace(IMAGE, name=name)
    if not taken:
        rig.create(draft, caller(project))
        rig.create(IMAGE, caller(project))
    else:
        before = rows(rig.db)
        with pytest.raises(Conflict) as caught:
            rig.create(draft, caller(project))
        assert caught.value.slug == "container-already-exists"
        assert rows(rig.db) == before
        other = rig.create(IMAGE, caller(project))
        with pytest.raises(Conflict):
            rig.house.services.containers.rename(caller(project), other, name)
    rig.db.close()


# ---- acting


@pytest.mark.parametrize("status", Status)
@pytest.mark.parametrize("action", ACTS)
def test_actions_are_guarded_and_open_one_operation(
    still: Rig, action: Action, status: Status
) -> None:
    one = put(still, status=status)
    do = still.house.services.containers.act
    before = rows(still.db)
    if not guard(action, status):
        with pytest.raises(Conflict) as caught:
            do(caller(), one, action)
        for word in (one.uuid, str(status), str(action)):
            assert word in caught.value.message
        assert rows(still.db) == before
        return
    after = do(caller(), one, action)
    assert after.open_action is action
    with still.db.read() as conn:
        work = operations.open_of(conn, one.uuid)
    assert work is not None
    assert (work.action, work.queue, work.prior_status) == (action, "host:host-1", status)
    with pytest.raises(Conflict):
        do(caller(), one, action)  # busy, or the new status forbids it
    assert rows(still.db)[1] == before[1] + 1


def test_busy_is_said(still: Rig) -> None:
    one = put(still)
    still.house.services.containers.act(caller(), one, Action.STOP, timeout=1)
    with pytest.raises(Conflict, match="busy: its stop has not ended"):
        still.house.services.containers.act(caller(), one, Action.PAUSE)


def test_the_guard_reads_the_row_not_what_the_caller_saw(still: Rig) -> None:
    one = put(still)
    with still.db.write() as conn:
        containers.update(conn, one.uuid, NOW, status=Status.STOPPED)
    with pytest.raises(Conflict, match="Stopped"):
        still.house.services.containers.act(caller(), one, Action.STOP)
    with still.db.write() as conn:
        containers.delete(conn, one.uuid)
    with pytest.raises(NotFound):
        still.house.services.containers.act(caller(), one, Action.STOP)


def test_one_that_was_never_placed_can_only_be_deleted(still: Rig) -> None:
    one = put(still, status=Status.ERROR, host=None, container_id=None)
    for action in (Action.START, Action.REBOOT, Action.REBUILD):
        with pytest.raises(Conflict, match="never placed"):
            still.house.services.containers.act(caller(), one, action)
    with pytest.raises(Invalid):
        still.house.services.containers.logs(caller(), one, LogQuery())
    still.house.services.containers.delete(caller(), one, force=False, stop=False)
    assert still.row(one.uuid) is None


@pytest.mark.parametrize(
    ("force", "stop"), [(False, False), (False, True), (True, False), (True, True)]
)
@pytest.mark.parametrize("status", Status)
def test_deletes_are_guarded(still: Rig, status: Status, force: bool, stop: bool) -> None:
    one = put(still, status=status)
    kind = Action.DELETE_FORCE if force else Action.DELETE_STOP if stop else Action.DELETE
    before = rows(still.db)
    if not guard(kind, status):
        with pytest.raises(Conflict):
            still.house.services.containers.delete(caller(), one, force=force, stop=stop)
        assert rows(still.db) == before
        return
    still.house.services.containers.delete(caller(), one, force=force, stop=stop)
    row = still.row(one.uuid)
    assert row is not None
    assert row.status is Status.DELETING
    with still.db.read() as conn:
        work = operations.open_of(conn, one.uuid)
    assert work is not None
    assert ("runtime_stop" in work.steps) is stop


def test_rebuild_with_an_unknown_driver_is_refused(still: Rig) -> None:
    one = put(still)
    with pytest.raises(Invalid, match="image_driver"):
        still.house.services.containers.act(caller(), one, Action.REBUILD, image_driver="glance")
    assert rows(still.db) == (1, 0, 0)


# ---- finding, listing, changing


def test_finding_by_uuid_name_and_nothing_of_others(still: Rig) -> None:
    mine = put(still, name="web")
    theirs = put(still, name="db", project_id=OTHER_PROJECT)
    find = still.house.services.containers.find
    for ident in (mine.uuid, mine.uuid.upper(), mine.uuid.replace("-", ""), "web"):
        assert find(caller(), ident).uuid == mine.uuid
    for ident in (theirs.uuid, "db", "", "no such", "WEB"):
        with pytest.raises(NotFound):
            find(caller(), ident)
    admin = caller(PROJECT, "admin")
    assert find(admin, "db").uuid == theirs.uuid
    put(still, name="web")
    with pytest.raises(Conflict, match="uuid"):
        find(caller(), "web")
    assert find(caller(OTHER_PROJECT), "db").uuid == theirs.uuid


def test_markers_of_others_are_unknown(still: Rig) -> None:
    mine, theirs = put(still), put(still, project_id=OTHER_PROJECT)
    service = still.house.services.containers
    assert [c.uuid for c in service.list(caller(), ListQuery(limit=5))] == [mine.uuid]
    assert service.list(caller(), ListQuery(limit=5, marker=mine.uuid)) == []
    for marker in (theirs.uuid, "nonsense"):
        with pytest.raises(NotFound):
            service.list(caller(), ListQuery(limit=5, marker=marker))
    everything = service.list(caller(), ListQuery(limit=5, all_projects=True, marker=mine.uuid))
    assert [c.uuid for c in everything] == [theirs.uuid]


def test_updates(still: Rig) -> None:
    one = put(still, name="web")
    update = still.house.services.containers.update
    assert update(caller(), one, {}) == one
    after = update(caller(), one, {"name": "new", "auto_heal": True})
    assert (after.name, after.auto_heal) == ("new", True)
    for field in ("cpu", "memory"):
        with pytest.raises(Conflict, match="holds nothing"):
            update(caller(), one, {field: 2})  # it has no claim
    stuck = put(still, status=Status.CREATING)
    with pytest.raises(Conflict):
        update(caller(), stuck, {"name": "x"})
    with pytest.raises(Conflict, match="already"):
        still.house.services.containers.rename(caller(), after, "new")


def test_actions_of_a_request(still: Rig) -> None:
    one = still.create()
    service = still.house.services.containers
    [work] = service.actions(one)
    found, events = service.action(one, "req-test")
    assert found == work
    assert [e.kind for e in events] == [EventKind.ACCEPTED]
    with pytest.raises(NotFound):
        service.action(one, "req-other")


def test_a_host_that_does_not_answer_is_unavailable(still: Rig) -> None:
    one = put(still)
    with pytest.raises(Unavailable):
        still.house.services.containers.logs(caller(), one, LogQuery())
    with pytest.raises(Unavailable):
        still.house.services.containers.execute(caller(), one, ["true"])


def test_questions_to_a_running_one(rig: Rig) -> None:
    one = rig.create(Draft(image="b", run=True, command=["sh", "-c", "echo hello; sleep 9"]))
    row = rig.settled(one.uuid)
    assert row is not None
    service = rig.house.services.containers
    assert service.logs(caller(), row, LogQuery()) == "hello\n"
    answer = service.execute(caller(), row, ["sh", "-c", "echo inside; exit 3"])
    assert (answer.output, answer.exit_code) == ("inside\n", 3)
    rig.fakes.runtime.append_log(row.uuid, b"\xff\xfe broken\n")
    assert "\ufffd" in service.logs(caller(), row, LogQuery())


def test_a_question_to_one_that_vanished_is_a_conflict_and_has_it_looked_at(
    rig: Rig, monkeypatch: pytest.MonkeyPatch
) -> None:
    one = rig.create()
    row = rig.settled(one.uuid)
    assert row is not None
    monkeypatch.setattr(rig.fakes.runtime, "_tell", lambda uuid: None)  # no event tells of it
    rig.fakes.runtime.vanish(one.uuid)
    with pytest.raises(Conflict):
        rig.house.services.containers.execute(caller(), row, ["true"])
    rig.until(one.uuid, "Error")


# ---- hosts


def test_hosts_and_their_services(still: Rig) -> None:
    with still.db.write() as conn:
        for name in ("b", "a"):
            hosts.register(conn, host(name), NOW)
    service = still.house.services.hosts
    first, second = service.list(ListQuery(limit=5))
    assert (first.hostname, second.hostname) == ("a", "b")
    assert service.list(ListQuery(limit=5, marker=first.uuid)) == [second]
    assert service.find("a") == service.find(first.uuid) == first
    for call in (lambda: service.find("c"), lambda: service.list(ListQuery(limit=1, marker="c"))):
        with pytest.raises(NotFound):
            call()
    assert [up for _, up in service.services()] == [False, False], "heard of long ago"
    with still.db.write() as conn:
        hosts.beat(conn, "a", still.house.agent._env.clock())
        hosts.beat(conn, "b", still.house.agent._env.clock(), forced_down=True)
    assert {s.host: up for s, up in service.services()} == {"a": True, "b": False}


def test_a_container_may_take_its_own_name_in_another_case(folder: Path) -> None:
    with running(folder, settings=quick_settings(unique_names="project")) as rig:
        made = rig.create(Draft(image="busybox", name="web"))
        rig.settled(made.uuid)
        services = rig.house.services.containers
        assert services.rename(caller(), services.find(caller(), "web"), "Web").name == "Web"
