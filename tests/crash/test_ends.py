"""Ends that are asked for, and the lock on the state directory."""

from __future__ import annotations

import http.client
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from tests.crash.scenarios import CREATE, body
from tests.crash.victims import ROOT, Victim
from tests.support.house import eventually
from tests.support.service import Service

from zun.model.lifecycle import Status
from zun.model.names import runtime_name

pytestmark = pytest.mark.engine

#: Ends of a KILL only.
DEAF = ["sh", "-c", "trap '' TERM; echo ran >> /probe; while :; do sleep 1; done"]


def test_told_to_end_it_ends_its_steps_and_goes_on_in_its_next_life(victim: Victim) -> None:
    victim.clear()
    since = time.time()
    for _ in range(6):
        victim.must("POST", "/v1/containers" + CREATE.path, CREATE.body)
    eventually(
        lambda: victim.rows("SELECT 1 FROM operations WHERE state = 'running' AND position > 0"),
        "a create is in flight",
    )
    assert victim.stop() == 0
    cut_short = victim.rows("SELECT state, claimed_by FROM operations WHERE state = 'running'")
    assert [tuple(row) for row in cut_short] == []

    victim.again()

    uuids = [row["uuid"] for row in victim.rows("SELECT uuid FROM containers")]
    for uuid in uuids:
        victim.check(CREATE, uuid)
        assert victim.events(uuid, since) == CREATE.seen
        assert victim.ran(uuid, 1)
    assert len(uuids) == 6


def test_told_to_end_it_does_not_wait_for_a_client_that_keeps_its_connection(
    victim: Victim,
) -> None:
    idle = http.client.HTTPConnection("127.0.0.1", victim.port)
    idle.request("GET", "/")
    assert idle.getresponse().read()
    seen = len(victim.log.read_bytes())

    assert victim.stop() == 0

    assert idle.sock is not None
    idle.sock.settimeout(10)
    assert idle.sock.recv(1) == b""
    idle.close()
    assert b"Traceback" not in victim.log.read_bytes()[seen:]


def test_told_to_end_it_does_not_wait_for_a_step_that_takes_longer_than_its_timeout(
    own_victim: Callable[..., Victim],
) -> None:
    victim = own_victim(compute={"graceful_shutdown_timeout": 1})
    victim.start()
    uuid = victim.must("POST", "/v1/containers" + CREATE.path, body(DEAF))["uuid"]
    victim.until(uuid, Status.RUNNING)
    victim.must("POST", f"/v1/containers/{uuid}/stop?timeout=600")
    eventually(
        lambda: victim.rows("SELECT 1 FROM operations WHERE action = 'stop' AND state = 'running'"),
        "the stop is in flight",
    )

    assert victim.stop() == 1

    victim.start()
    assert victim.open()
    victim.client.kill(runtime_name(uuid))
    victim.ended()
    assert victim.until(uuid, Status.STOPPED)["status_reason"] is None
    victim.clear()


def test_a_second_service_is_refused_and_touches_nothing(victim: Victim) -> None:
    victim.herd(1, Status.RUNNING)
    # One who would make another password and another schema, if it were let.
    (victim.state / "password").rename(victim.folder / "password")
    before = stamps(victim.state)
    link = victim.folder / "second"
    link.symlink_to(victim.state)
    second = Service(link, options={"DEFAULT": {"host": "second"}})

    second.start({"PYTHONPATH": str(ROOT)}, wait=False)
    code = second.wait_dead()

    assert code == 1
    said = second.log.read_text().splitlines()[-1]
    assert said.startswith(f"zun-standalone: another zun-standalone is running on {link};"), said
    (victim.folder / "password").rename(victim.state / "password")
    assert stamps(victim.state) == {**before, "password": stamps(victim.state)["password"]}
    assert [row["hostname"] for row in victim.rows("SELECT hostname FROM hosts")] != ["second"]
    assert victim.healthy
    assert victim.leftovers() == {}


def stamps(state: Path) -> dict[str, tuple[int, int]]:
    """When each file of our own making was written or changed; not those a working service writes to."""
    return {
        path.name: (path.stat().st_mtime_ns, path.stat().st_ctime_ns)
        for path in sorted(state.iterdir())
        if not path.name.startswith("zun.sqlite")
    }


def test_what_was_killed_leaves_no_lock(victim: Victim) -> None:
    victim.kill()
    victim.start()
    assert victim.healthy
