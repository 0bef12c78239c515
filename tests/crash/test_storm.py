"""Deaths at arbitrary moments while much goes on at once; and commands that end by themselves, which run once."""

from __future__ import annotations

from typing import Any

import pytest
from tests.crash.scenarios import CREATE, body
from tests.crash.victims import Victim

from zun.model.lifecycle import Status

pytestmark = pytest.mark.engine

JOB = ["sh", "-c", "echo ran >> /probe; exit 3"]


@pytest.mark.parametrize("deaths", [(9, 30), (60, 20)])
def test_deaths_in_the_middle_of_everything(victim: Victim, deaths: tuple[int, int]) -> None:
    victim.clear()
    uuids = victim.herd(6, Status.RUNNING)
    verbs = ["stop?timeout=30", "reboot?timeout=30", "rebuild", "kill", "pause"]
    requests: list[tuple[str, str, Any]] = [
        ("POST", f"/v1/containers/{u}/{v}", None) for u, v in zip(uuids, verbs, strict=False)
    ]
    requests.append(("DELETE", f"/v1/containers/{uuids[5]}?force=true", None))
    requests += [("POST", "/v1/containers" + CREATE.path, CREATE.body)] * 4

    first, second = deaths
    victim.arm("*", first)
    asking = victim.ask_all(requests)
    assert victim.wait_dead() == -9
    for thread in asking:
        thread.join()
    victim.arm("*", second)
    victim.start(wait=False)
    # It may have less to do than that; then it lives.
    victim.dead_or_ended()
    victim.kill()

    victim.again()

    assert victim.leftovers() == {}
    for row in victim.rows("SELECT uuid, status FROM containers"):
        victim.check_one(row["uuid"])
        assert victim.last_operation(row["uuid"])["state"] == "done"


@pytest.mark.parametrize("point", ["before", "effect"])
def test_a_command_that_has_ended_does_not_run_again(victim: Victim, point: str) -> None:
    victim.clear()
    victim.arm(f"{point}:create:runtime_start")
    victim.ask_or_die("POST", "/v1/containers" + CREATE.path, body(JOB))
    victim.dies(f"{point}:create:runtime_start")
    uuid = victim.newest()
    victim.again()
    shown = victim.until(uuid, Status.STOPPED)
    assert "3" in shown["status_detail"]
    assert victim.ran(uuid, 1)

    victim.arm(f"{point}:start:runtime_start")
    victim.ask_or_die("POST", f"/v1/containers/{uuid}/start")
    victim.dies(f"{point}:start:runtime_start")
    victim.again()
    victim.until(uuid, Status.STOPPED)
    assert victim.ran(uuid, 2)
    victim.check_one(uuid)
