"""The database server is killed and started again while users create and delete and the journal works.

Then everything that was accepted comes to its end, nothing is lost, and nothing is done twice.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import falcon.testing
import pytest
from tests.support import databases, galera
from tests.support.house import PROJECT, Fakes, Rig, caller, eventually, make, running
from tests.support.relay import Relay

from zun.api.app import build_app
from zun.api.middleware.noauth import NoAuth
from zun.api.settings import ApiSettings
from zun.drivers.deadline import Deadline
from zun.drivers.fake.runtime import INVENTORY, FakeRuntime
from zun.model.container import Draft
from zun.model.operation import CLOSED, EventKind
from zun.service.errors import ServiceError
from zun.service.queries import ListQuery
from zun.store import claims, hosts, operations, quotas, schema
from zun.store.database import LONGEST_WRITE, Patience, Pool
from zun.store.errors import CommitUnknown, DatabaseError

pytestmark = pytest.mark.databases(*databases.SERVERS)

CLIENTS = 4


class Client:
    """Creates containers of names that nobody else has, and deletes every third, until told to stop."""

    def __init__(self, rig: Rig, number: int, stop: threading.Event) -> None:
        self.accepted: dict[str, str] = {}  # name -> uuid
        self.deleted: set[str] = set()
        self.unknown: set[str] = set()  # names
        self.refused = 0
        self._rig, self._number, self._stop = rig, number, stop
        self.thread = threading.Thread(target=self._live)
        self.thread.start()

    def _live(self) -> None:
        turn = 0
        while not self._stop.is_set():
            turn += 1
            name = f"c{self._number}-{turn}"
            try:
                made = self._rig.create(Draft(image="busybox", name=name, run=True))
            except CommitUnknown:
                self.unknown.add(name)
            except DatabaseError:
                self.refused += 1
                self._stop.wait(0.02)
            else:
                self.accepted[name] = made.uuid
                if turn % 3 == 0:
                    self._delete(name, made.uuid)

    def _delete(self, name: str, uuid: str) -> None:
        try:
            row = self._rig.row(uuid)
            if row is not None:
                self._rig.house.services.containers.delete(caller(), row, force=True, stop=False)
            self.deleted.add(name)
        except CommitUnknown:
            self.unknown.add(name)
        except (ServiceError, DatabaseError):
            self.refused += 1


class Felt:
    """A watcher that notes each transaction that is tried again."""

    def __init__(self, felt: list[str]) -> None:
        self._felt = felt

    def wrote(self, seconds: float) -> None:
        pass

    def again(self, why: str) -> None:
        self._felt.append(why)


def _idle(rig: Rig) -> bool:
    try:
        with rig.db.read() as conn:
            return operations.open_counts(conn) == {}
    except DatabaseError:
        return False


def _large(fakes: Fakes) -> FakeRuntime:
    """An engine with room for all that clients may think of."""
    inventory = replace(INVENTORY, cpus=10_000, mem_total=10**8, disk_total=10**6)
    return FakeRuntime(networks=fakes.networks, inventory=inventory)


@contextmanager
def _under_load(rig: Rig) -> Iterator[Callable[[Callable[[], None]], None]]:
    """Clients at work, and what does something to the database that they feel. Afterwards all is compared."""
    stop = threading.Event()
    felt: list[str] = []
    rig.db.watch(Felt(felt))
    clients = [Client(rig, number, stop) for number in range(CLIENTS)]

    def accepted() -> int:
        return sum(len(c.accepted) for c in clients)

    def blow(what: Callable[[], None]) -> None:
        before = accepted()
        eventually(lambda: accepted() > before + 10, "creates are accepted")
        seen = len(felt)
        what()
        eventually(lambda: len(felt) > seen, "somebody feels it")

    try:
        yield blow
    finally:
        stop.set()
        for client in clients:
            client.thread.join(60)
    eventually(lambda: _idle(rig), "all operations end")
    _compare(rig, clients)
    assert rig.house.agent.probe()


def test_a_database_that_dies_under_load_loses_and_doubles_nothing(
    folder: Path, fakes: Fakes, kind: str, request: pytest.FixtureRequest
) -> None:
    server: databases.Server = request.getfixturevalue("servers").get(kind)
    fakes.runtime = _large(fakes)
    with running(folder, fakes) as rig, _under_load(rig) as blow:
        for _ in range(3):
            blow(server.kill)
            server.start()
    assert rig.db.engine.pool.checkedout() == 0, "no connection was forgotten"


def test_a_galera_node_that_dies_under_load_is_followed_by_another(
    tmp_path: Path, fakes: Fakes
) -> None:
    """As docs/how-to/databases.md says: one node is written to, through a proxy that fails over to the next."""
    fakes.runtime = _large(fakes)
    with galera.nodes() as nodes:
        _, query = (url := nodes[0].empty()).split("?")
        assert query == f"unix_socket={nodes[0].process.socket}"
        proxy = tmp_path / "proxy"
        databases.put_elsewhere(tmp_path, url.replace(query, f"unix_socket={proxy}"))
        with (
            Relay(proxy, nodes[0].process.socket) as relay,
            running(tmp_path, fakes, pool=Pool(sync_wait=7)) as rig,
        ):

            def fail_over() -> None:
                nodes[0].kill()
                relay.lead_to(nodes[1].process.socket)

            with _under_load(rig) as blow:
                blow(fail_over)
                blow(lambda: relay.lead_to(nodes[2].process.socket))
            rig.db.close()


def _compare(rig: Rig, clients: list[Client]) -> None:
    listed = rig.house.services.containers.list(caller(), ListQuery(limit=10_000))
    names = Counter(row.name for row in listed)
    assert max(names.values()) == 1, "none is there twice"
    unknown = set().union(*(c.unknown for c in clients))
    for client in clients:
        for name, uuid in client.accepted.items():
            if name in unknown:
                continue
            if name in client.deleted:
                assert rig.row(uuid) is None, f"{name} was deleted"
            else:
                row = rig.row(uuid)
                assert row is not None and row.status == "Running", (
                    f"{name} was accepted: {row and row.status_reason}"
                )
    ours = rig.fakes.runtime.list(rig.house.agent._means.host_id, Deadline(10))
    assert {facts.uuid for facts in ours} == {row.uuid for row in listed}
    with rig.db.read() as conn:
        assert quotas.drift(conn) == {}
        assert quotas.used(conn, PROJECT).containers == len(listed)
        [one] = hosts.every(conn)
        held = claims.claims_on(conn, one.hostname)
        assert {c.container_uuid for c in held} == {row.uuid for row in listed}
        assert one.total_containers == len(held) and one.mem_used == sum(c.memory for c in held)
        for row in listed:
            [create] = operations.of_container(conn, row.uuid)
            assert create.state in CLOSED
            told = Counter(
                (event.kind, event.step) for event in operations.events_of(conn, create.uuid)
            )
            once = {EventKind.ACCEPTED, EventKind.STEP_DONE, EventKind.DONE}
            assert {n for (kind, _), n in told.items() if kind in once} == {1}
        assert conn.execute(schema.ports.select()).all().__len__() == len(listed)


def _ask(app: Any, method: str, path: str, body: Any = None) -> Any:
    return falcon.testing.simulate_request(
        app, method, path, json=body, headers={"OpenStack-API-Version": "container 1.40"}
    )


def test_users_are_told_that_the_records_are_away(
    folder: Path, fakes: Fakes, kind: str, request: pytest.FixtureRequest
) -> None:
    """A 503 in the common form for reading and writing alike, which names nothing of ours; then all goes on."""
    server: databases.Server = request.getfixturevalue("servers").get(kind)
    rig = make(folder, fakes)
    app = build_app(rig.house.services, ApiSettings(), NoAuth)
    one = {"image": "busybox", "name": "one"}
    assert _ask(app, "POST", "/v1/containers", one).status_code == 202
    server.kill()
    try:
        for answer in (
            _ask(app, "GET", "/v1/containers/one"),
            _ask(app, "POST", "/v1/containers", {**one, "name": "two"}),
        ):
            assert answer.status_code == 503
            [error] = answer.json["errors"]
            assert error["code"] == "container.service-unavailable"
            assert "nothing was accepted" in error["title"]
            assert "sock" not in answer.text and "SQL" not in answer.text
    finally:
        server.start()
    listed = _ask(app, "GET", "/v1/containers").json["containers"]
    assert [row["name"] for row in listed] == ["one"]
    rig.db.close()


def test_users_are_told_that_the_records_hang(
    folder: Path, fakes: Fakes, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server that is stopped for longer than a write may take and then goes on: a 503, and nothing was accepted."""
    rig = make(folder, fakes)
    app = build_app(rig.house.services, ApiSettings(), NoAuth)
    monkeypatch.setattr(rig.db, "_longest_write", 0.0)
    monkeypatch.setattr(rig.db, "_patience", Patience(seconds=0.0))
    answer = _ask(app, "POST", "/v1/containers", {"image": "busybox"})
    assert answer.status_code == 503
    assert "nothing was accepted" in answer.json["errors"][0]["title"]
    monkeypatch.undo()
    assert _ask(app, "GET", "/v1/containers").json["containers"] == []
    rig.db.close()


def test_an_operation_whose_record_hangs_goes_on(folder: Path, fakes: Fakes) -> None:
    """What a step did is there, and could not be written down in time: the step is done again, and nothing fails."""
    hung: list[str] = []

    def hang(name: str) -> None:
        if name.startswith("effect:create:") and not hung:
            rig.db._longest_write, rig.db._patience = 0.0, Patience(seconds=0.0)
            hung.append(name)
        elif name.startswith("before:create:"):
            rig.db._longest_write, rig.db._patience = LONGEST_WRITE, Patience()

    with running(folder, fakes, checkpoint=hang) as rig:
        one = rig.settled(rig.create(Draft(image="busybox", run=True)).uuid)
        assert one is not None and one.status == "Running", one and one.status_reason
        _, _, step = hung[0].split(":")
        with rig.db.read() as conn:
            [create] = operations.of_container(conn, one.uuid)
            told = [e.kind for e in operations.events_of(conn, create.uuid) if e.step == step]
        assert told.count(EventKind.STEP_DONE) == 1
