"""The engine dies, alone or with the service, while operations run: everything converges."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from docker.errors import APIError
from tests.crash.scenarios import CREATE, body, capsule_body
from tests.crash.victims import Victim
from tests.support.engine import PrivateEngine
from tests.support.house import eventually

from zun.model.lifecycle import Status
from zun.model.names import runtime_name

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def engine() -> Iterator[PrivateEngine]:
    engine = PrivateEngine(Path(tempfile.mkdtemp(prefix="zun-engine-")), f"zun-{os.getpid()}")
    try:
        engine.start()
        yield engine
    finally:
        engine.destroy()


@pytest.fixture(scope="module")
def shared_victim(
    engine: PrivateEngine, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Victim]:
    """As in conftest, on the private engine."""
    with engine.client() as client:
        victim = Victim(
            tmp_path_factory.mktemp("victim"),
            client,
            docker={"api_url": engine.url, "default_timeout": 10},
            compute={"graceful_shutdown_timeout": 2},
        )
        try:
            yield victim
        finally:
            victim.kill()


def busy(victim: Victim) -> dict[str, list[str]]:
    """Containers by what is being done to them: two of each action are parked right after their effect, or before."""
    victim.clear()
    uuids = victim.herd(8, Status.RUNNING)
    for uuid in uuids[4:]:
        victim.must("POST", f"/v1/containers/{uuid}/stop?timeout=30")
    victim.ended()
    return {"stop": uuids[:2], "rebuild": uuids[2:4], "start": uuids[4:6], "delete": uuids[6:]}


def ask(victim: Victim, groups: dict[str, list[str]]) -> None:
    """One request for each container, and two creates."""
    for verb in ("stop", "rebuild", "start"):
        for uuid in groups[verb]:
            victim.must("POST", f"/v1/containers/{uuid}/{verb}")
    for uuid in groups["delete"]:
        victim.must("DELETE", f"/v1/containers/{uuid}")
    for _ in range(2):
        victim.must("POST", "/v1/containers" + CREATE.path, CREATE.body)


def converged(victim: Victim, groups: dict[str, list[str]]) -> None:
    """All has ended; every row shows what the engine shows, and nothing is of nobody."""
    victim.ended()
    eventually(lambda: victim.healthy, "it is healthy")
    for uuid in groups["delete"]:
        assert victim.show(uuid) is None
    rows = victim.rows("SELECT uuid, status, status_reason FROM containers")
    assert len(rows) == 8
    # What an engine that died in the middle of a start does not know any more, it can only say.
    lost = [row for row in rows if "lost track of it" in (row["status_reason"] or "")]
    assert [row["status"] for row in lost] == [Status.ERROR] * len(lost)
    rows = [row for row in rows if row not in lost]
    said = {"running": Status.RUNNING, "exited": Status.STOPPED, "created": Status.CREATED}

    def true() -> bool:
        for row in rows:
            raw = victim.inspect(row["uuid"])
            assert raw is not None
            if victim.status(row["uuid"]) is not said[raw["State"]["Status"]]:
                return False
        return True

    eventually(true, f"the rows show what is; {[(r['uuid'], r['status']) for r in rows]}")
    for row in rows:
        victim.check_one(row["uuid"])
        assert victim.last_operation(row["uuid"])["state"] == "done"
    for uuid in groups["stop"]:
        assert victim.status(uuid) is Status.STOPPED
    assert victim.leftovers() == {}


@pytest.mark.parametrize("point", ["before", "effect"])
def test_the_engine_dies_while_operations_run(
    victim: Victim, engine: PrivateEngine, point: str
) -> None:
    groups = busy(victim)
    ask(victim, groups)
    if point == "effect":
        eventually(lambda: len(victim.open()) < 7, "some of it is done")
    engine.kill()
    eventually(lambda: not victim.healthy, "it says that its engine is away")

    engine.start()

    converged(victim, groups)


def test_the_engine_and_the_service_die_together(victim: Victim, engine: PrivateEngine) -> None:
    groups = busy(victim)
    held = [
        "effect:create:runtime_create", "before:create:runtime_start", "effect:start:runtime_start",
        "before:stop:runtime_stop", "effect:rebuild:runtime_remove", "before:rebuild:runtime_create",
        "effect:delete:runtime_remove", "before:delete:ports_release",
    ]  # fmt: skip
    victim.park(held)
    ask(victim, groups)
    eventually(lambda: sorted(victim.parked) == sorted(held), f"all are held, not {victim.parked}")
    engine.kill()
    victim.kill()
    victim.disarm()

    # The service first: it lives without its engine, says so, and loses nothing.
    victim.start(wait=False)
    eventually(lambda: victim.answers and not victim.healthy, "it lives and says what is missing")
    assert victim.open()
    engine.start()

    converged(victim, groups)


def test_capsules_come_back_with_their_engine(victim: Victim, engine: PrivateEngine) -> None:
    victim.clear()
    for _ in range(2):
        victim.must("POST", "/v1/capsules", capsule_body(policy="Always"))
    victim.ended()
    engine.kill()
    eventually(lambda: not victim.healthy, "it says that its engine is away")

    engine.start()

    def back() -> bool:
        rows = victim.rows("SELECT status FROM capsules")
        return [row["status"] for row in rows] == ["Running"] * 2 and not victim.open()

    query = "SELECT c.uuid, p.address FROM capsules c JOIN ports p ON p.container_uuid = c.uuid"
    eventually(lambda: victim.rows("SELECT 1 FROM operations WHERE action = 'reboot'"))

    def reached() -> bool:
        # By the engine's own view: the row of one may still be as it was before the engine went.
        for uuid, address in victim.rows(query):
            (other,) = victim.rows(
                "SELECT uuid FROM containers WHERE capsule_uuid = ? AND init = 0", uuid
            )
            try:
                name = runtime_name(other["uuid"])
                made = victim.client.exec_create(name, ["ip", "addr"])["Id"]
                if f"{address}/" not in victim.client.exec_start(made).decode():
                    return False
            except APIError:
                return False
        return back()

    eventually(reached, "both run again, each with its address")
    assert victim.leftovers() == {}


def test_the_engine_hangs(victim: Victim, engine: PrivateEngine) -> None:
    victim.clear()
    [uuid] = victim.herd(1, Status.RUNNING)
    engine.freeze()
    try:
        victim.must("POST", f"/v1/containers/{uuid}/stop?timeout=1")
        eventually(lambda: not victim.healthy, "it says that its engine does not answer")
        eventually(
            lambda: victim.rows("SELECT 1 FROM operations WHERE state = 'running'"),
            "the stop is in flight",
        )
        # A step that hangs does not keep it from ending.
        assert victim.stop() == 1
    finally:
        engine.thaw()
    victim.again()
    assert victim.status(uuid) is Status.STOPPED
    victim.check_one(uuid)


def test_what_happens_to_containers_while_nobody_looks_is_found(victim: Victim) -> None:
    victim.clear()
    uuids = victim.herd(6, Status.RUNNING)
    died, paused, gone, started, ended, same = uuids
    for uuid in (started, ended):
        victim.must("POST", f"/v1/containers/{uuid}/stop?timeout=30")
    victim.ended()
    job = victim.must(
        "POST",
        "/v1/containers" + CREATE.path,
        body(["sh", "-c", "read x < /go; exit 7"], interactive=True),
    )["uuid"]
    victim.ended()
    victim.kill()
    client = victim.client
    client.kill(f"zun-{died}")
    client.pause(f"zun-{paused}")
    client.remove_container(f"zun-{gone}", force=True)
    client.start(f"zun-{started}")
    client.rename(f"zun-{same}", "another-name")
    client.rename("another-name", f"zun-{same}")

    victim.start()

    wanted = {
        died: Status.STOPPED,
        paused: Status.PAUSED,
        gone: Status.ERROR,
        started: Status.RUNNING,
        ended: Status.STOPPED,
        same: Status.RUNNING,
        job: Status.STOPPED,
    }
    eventually(
        lambda: {uuid: victim.status(uuid) for uuid in wanted} == wanted,
        "each has the status that is true",
    )
    assert victim.rows("SELECT exit_code FROM containers WHERE uuid = ?", died)[0][0] == 137
    assert victim.rows("SELECT exit_code FROM containers WHERE uuid = ?", job)[0][0] != 0
    shown = victim.show(gone)
    assert shown is not None
    assert "removed from the engine" in shown["status_reason"]
    victim.client.unpause(f"zun-{paused}")
    victim.until(paused, Status.RUNNING)
