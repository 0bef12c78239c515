"""SQL on capsules and their members."""

from __future__ import annotations

from dataclasses import replace

import pytest
from tests.support.capsules import capsule
from tests.support.house import PROJECT
from tests.support.rows import NOW, container, operation

from zun.model.capsule import SORT_KEYS, Capsule, amounts_of
from zun.model.lifecycle import Action, Status
from zun.model.operation import CAPSULE, OperationState
from zun.model.quota import Amounts
from zun.store import capsules, containers, networks, operations, quotas, removal
from zun.store.database import Database


def put(db: Database, row: Capsule, members: int = 3) -> Capsule:
    """A capsule with its containers, the first of them an init container."""
    with db.write() as conn:
        capsules.insert(conn, row)
        for order in reversed(range(members)):
            containers.insert(
                conn,
                container(
                    capsule_uuid=row.uuid, capsule_order=order, init=order == 0, name=f"m{order}", host=row.host
                ),
            )  # fmt: skip
        quotas.count(conn, row.project_id, amounts_of(row, members))
    return row


def test_a_row_comes_back_as_it_went_in(db: Database) -> None:
    row = put(
        db,
        capsule(
            labels={"a": "b"}, annotations={"x": {"y": [1]}}, addresses={"n": [{"addr": "10.0.0.2"}]},
            host="h", sandbox_id="s", disk=5, availability_zone="z", status_reason="why",
        ),
    )  # fmt: skip
    with db.read() as conn:
        found = capsules.get(conn, row.uuid)
        members = containers.members_of(conn, [row.uuid, "other"])
    assert found is not None
    assert replace(found, id=0) == row
    assert [(m.name, m.init) for m in members[row.uuid]] == [
        ("m0", True),
        ("m1", False),
        ("m2", False),
    ]
    assert members["other"] == []


def test_members_are_not_among_the_containers_of_users(db: Database) -> None:
    put(db, capsule())
    alone = container(name="m1")
    with db.write() as conn:
        containers.insert(conn, alone)
    with db.read() as conn:
        page = containers.page(
            conn, project_id=None, filters={}, limit=10, after=None, sort_key="id", descending=False
        )
        assert [row.uuid for row in page] == [alone.uuid]
        assert [row.uuid for row in containers.find(conn, "m1", None)] == [alone.uuid]
        # But their names are taken.
        assert containers.name_taken(conn, "M2", PROJECT)


@pytest.mark.parametrize("key", SORT_KEYS)
@pytest.mark.parametrize("descending", [False, True])
def test_pages_miss_nothing_and_repeat_nothing(db: Database, key: str, descending: bool) -> None:
    rows = [put(db, capsule(name=name), 1) for name in ("b", None, "a", None)]
    found: list[Capsule] = []
    with db.read() as conn:
        while page := capsules.page(
            conn, project_id=PROJECT, limit=1, after=found[-1] if found else None, sort_key=key, descending=descending
        ):  # fmt: skip
            found += page
    assert sorted(row.uuid for row in found) == sorted(row.uuid for row in rows)


def test_a_change_that_needs_peace_is_not_made_while_an_operation_is_open_or_after_another(
    db: Database,
) -> None:
    busy, idle = put(db, capsule(host="h")), put(db, capsule(host="h"))
    with db.write() as conn:
        operations.open_(conn, operation(container_uuid=busy.uuid, resource=CAPSULE))
        change = {"status": Status.ERROR}
        for row, done in (
            (busy, False),
            (replace(idle, host="other"), False),
            (replace(idle, status=Status.UNKNOWN), False),
            (idle, True),
        ):
            assert capsules.update_if_idle(conn, row, NOW, change) is done
        found = capsules.get(conn, busy.uuid)
    assert found is not None
    assert (found.open_action, found.status) == (Action.CREATE, Status.RUNNING)


def test_what_waits_is_woken_once(db: Database) -> None:
    waiting = operation(not_before=NOW, queue="host:h")
    held = operation(not_before=NOW, state=OperationState.RUNNING)
    with db.write() as conn:
        for each in (waiting, held):
            operations.open_(conn, each)
        woken = [operations.wake(conn, waiting.container_uuid) for _ in range(2)]
        assert woken == ["host:h", None]
        assert operations.wake(conn, held.container_uuid) is None
        assert operations.wake(conn, "nobody") is None


def test_all_that_goes_with_a_capsule_goes_once(db: Database) -> None:
    row, other = put(db, capsule()), put(db, capsule())
    with db.write() as conn:
        network = networks.ensure(conn, PROJECT, networks.DEFAULT, ["10.1.0.0/24"], NOW)
        networks.ensure_port(conn, network, row.uuid)
        assert quotas.drift(conn) == {}
        assert removal.remove_capsule(conn, row.uuid)
        assert not removal.remove_capsule(conn, row.uuid)
        assert networks.every(conn) == []
        assert containers.members_of(conn, [row.uuid])[row.uuid] == []
        assert quotas.used(conn, PROJECT) == amounts_of(other, 3)
        assert removal.remove_capsule(conn, other.uuid)
        assert quotas.used(conn, PROJECT) == Amounts()
        assert quotas.drift(conn) == {}


def test_a_network_is_shared_with_a_capsule_on_the_same_host(db: Database) -> None:
    row, alone = put(db, capsule(host="h")), container(host="h")
    with db.write() as conn:
        containers.insert(conn, alone)
        network = networks.ensure(conn, PROJECT, networks.DEFAULT, ["10.1.0.0/24"], NOW)
        for owner in (row.uuid, alone.uuid):
            networks.ensure_port(conn, network, owner)
        for owner in (row.uuid, alone.uuid):
            assert networks.others_on_host(conn, network.uuid, owner, "h")
            assert not networks.others_on_host(conn, network.uuid, owner, "elsewhere")


@pytest.mark.databases
def test_who_is_not_on_a_host_is_elsewhere_or_nowhere(db: Database) -> None:
    here, there, nowhere = (put(db, capsule(host=host)) for host in ("h", "other", None))
    uuids = [here.uuid, there.uuid, nowhere.uuid, "unknown"]
    with db.read() as conn:
        members = {u: [m.uuid for m in of] for u, of in containers.members_of(conn, uuids).items()}
        every = [uuid for of in members.values() for uuid in of]
        assert capsules.elsewhere(conn, uuids, "h") == {there.uuid}
        assert capsules.elsewhere(conn, uuids, "h", nowhere=True) == {there.uuid, nowhere.uuid}
        assert containers.elsewhere(conn, every, "h") == {*members[there.uuid]}
        assert containers.elsewhere(conn, every, "h", nowhere=True) == {
            *members[there.uuid], *members[nowhere.uuid]
        }  # fmt: skip
