"""Capsules of a service that dies: at every point of a create, of one that fails, and of a delete, all at once, twice.

Every capsule is held at another point; then the process is killed. In its next life all go on together, until each is
held once more; then it dies again.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from tests.crash.scenarios import capsule_body, points_of
from tests.crash.victims import Victim
from tests.support.capsules import draft, made, member
from tests.support.house import Fakes, eventually, running

from zun.model.lifecycle import Action, Status
from zun.model.names import LABEL_GENERATION, runtime_name
from zun.work.kinds import capsule_steps
from zun.work.steps import STEPS

CREATE, REBOOT, DELETE = (
    capsule_steps(action, init=True) for action in (Action.CREATE, Action.REBOOT, Action.DELETE)
)
CREATED = points_of(Action.CREATE, CREATE)
REBOOTED = points_of(Action.REBOOT, REBOOT)
DELETED = points_of(Action.DELETE, DELETE)
#: Of one whose init container fails: what was done until then is undone.
UNDONE = [
    *(
        f"{point}:create:{step}"
        for step in reversed(CREATE[: CREATE.index("capsule_init") + 1])
        for point in ("undo", "undone")
    ),
    "settle:create:failed",
    "settled:create:failed",
]


def uuids(victim: Victim) -> list[str]:
    return [row["uuid"] for row in victim.rows("SELECT uuid FROM capsules ORDER BY id")]


def members(victim: Victim, uuid: str) -> list[Any]:
    query = "SELECT * FROM containers WHERE capsule_uuid = ? ORDER BY capsule_order"
    return victim.rows(query, uuid)


def die_twice(
    victim: Victim, requests: Sequence[tuple[str, str, Any]], points: Sequence[str]
) -> None:
    """Asks, one request a point, and kills it when each is held; once more in the next life; then it lives."""
    assert len(requests) == len(points)
    victim.park(points)
    asking = victim.ask_all(requests)
    victim.hold_all(points)
    victim.kill()
    for thread in asking:
        thread.join()
    victim.park(points)
    victim.start()
    victim.settled_or_parked()
    victim.kill()
    victim.again()


def whole(victim: Victim, uuid: str, since: float) -> None:
    """One that runs, each part of it made and started exactly once."""
    assert victim.rows("SELECT status FROM capsules WHERE uuid = ?", uuid)[0]["status"] == "Running"
    init, other = members(victim, uuid)
    assert (init["status"], init["exit_code"], other["status"]) == ("Stopped", 0, "Running")
    made_and_started = {"create": 1, "start": 1}
    assert victim.events(uuid, since) == made_and_started
    assert victim.events(other["uuid"], since) == made_and_started
    assert victim.events(init["uuid"], since) == {**made_and_started, "die": 1}
    maker = victim.last_operation(uuid, "create")["uuid"]
    for part in (uuid, init["uuid"], other["uuid"]):
        raw = victim.inspect(part)
        assert raw is not None
        assert raw["Config"]["Labels"][LABEL_GENERATION] == maker
    assert len(victim.rows("SELECT * FROM ports WHERE container_uuid = ?", uuid)) == 1
    assert len(victim.rows("SELECT * FROM claims WHERE container_uuid = ?", uuid)) == 1


@pytest.mark.engine
def test_two_deaths_at_every_point_of_a_create(victim: Victim) -> None:
    victim.clear()
    since = time.time()
    die_twice(victim, [("POST", "/v1/capsules", capsule_body())] * len(CREATED), CREATED)
    assert len(uuids(victim)) == len(CREATED)
    for uuid in uuids(victim):
        whole(victim, uuid, since)
    assert victim.leftovers() == {}


@pytest.mark.engine
def test_two_deaths_at_every_point_of_a_delete(victim: Victim) -> None:
    while len(uuids(victim)) < len(DELETED):
        victim.must("POST", "/v1/capsules", capsule_body())
    victim.ended()
    mine = uuids(victim)[: len(DELETED)]
    die_twice(victim, [("DELETE", f"/v1/capsules/{uuid}", None) for uuid in mine], DELETED)
    assert not set(mine) & set(uuids(victim))
    assert victim.leftovers() == {}
    victim.clear()


@pytest.mark.engine
def test_two_deaths_at_every_point_of_a_create_that_is_undone(victim: Victim) -> None:
    victim.clear()
    wrong = capsule_body(["sh", "-c", "exit 3"])
    die_twice(victim, [("POST", "/v1/capsules", wrong)] * len(UNDONE), UNDONE)
    rows = victim.rows("SELECT status, status_reason, host FROM capsules")
    assert {(row["status"], row["host"]) for row in rows} == {("Error", None)}
    assert all(row["status_reason"].endswith("ended with exit code 3.") for row in rows)
    assert victim.on_engine() == []
    assert victim.leftovers() == {}
    victim.clear()


@pytest.mark.engine
def test_two_deaths_at_every_point_of_a_reboot(victim: Victim) -> None:
    """The service opens it by itself, for sandboxes that were killed."""
    victim.clear()
    for _ in REBOOTED:
        victim.must("POST", "/v1/capsules", capsule_body(policy="OnFailure"))
    victim.ended()
    since = time.time()
    victim.park(REBOOTED)
    for uuid in uuids(victim):
        victim.client.kill(runtime_name(uuid))
    victim.hold_all(REBOOTED)
    victim.kill()
    victim.park(REBOOTED)
    victim.start()
    victim.settled_or_parked()
    victim.kill()
    victim.again()
    for uuid in uuids(victim):
        eventually(
            lambda u=uuid: victim.rows(
                "SELECT 1 FROM capsules WHERE status = 'Running' AND uuid = ?", u
            )
        )
        init, other = members(victim, uuid)
        assert victim.events(uuid, since) == {"die": 1, "start": 1}
        assert victim.events(other["uuid"], since) == {"die": 1, "start": 1}
        assert victim.events(init["uuid"], since) == {}
    assert victim.leftovers() == {}
    victim.clear()


@pytest.mark.engine
def test_an_init_container_that_runs_when_the_service_dies_is_waited_for(victim: Victim) -> None:
    victim.clear()
    since = time.time()
    uuid = victim.must("POST", "/v1/capsules", capsule_body(["sleep", "3"]))["uuid"]
    eventually(lambda: members(victim, uuid)[0]["status"] == "Running", "the init container runs")
    victim.kill()
    victim.again()
    whole(victim, uuid, since)
    victim.clear()


@pytest.mark.engine
def test_a_delete_takes_the_place_of_a_create_wherever_that_is(victim: Victim) -> None:
    victim.clear()
    held = [p for p in CREATED if not p.startswith(("accepted:", "settled:"))]
    victim.park(held)
    for _ in held:
        victim.must("POST", "/v1/capsules", capsule_body())
    victim.hold_all(held)
    for uuid in uuids(victim):
        victim.must("DELETE", f"/v1/capsules/{uuid}")
    victim.kill()

    victim.park([*DELETED, "settled:create:cancelled"])
    victim.start()
    victim.settled_or_parked()
    assert "settled:create:cancelled" in victim.parked
    victim.kill()

    victim.again()
    assert victim.everything() == {}


# ---- whether these are all the points


def test_every_step_of_a_capsule_has_crash_cases() -> None:
    every = (*CREATED, *REBOOTED, *DELETED)
    cut = {point.split(":")[2] for point in every if point.count(":") == 2}
    assert {*CREATE, *REBOOT, *DELETE} <= cut
    undone = {point.split(":")[2] for point in UNDONE}
    undoable = {step for step in CREATE if STEPS[step].undo or STEPS[step].undo_in}
    assert undoable <= undone


def test_the_points_are_those_the_code_passes(tmp_path: Path) -> None:
    passed: list[str] = []

    def ended(kind: str) -> bool:
        return sum(p.startswith("settled:") for p in passed) == sum(
            p.startswith("accepted:") for p in passed
        )

    with running(tmp_path, Fakes(), checkpoint=passed.append) as rig:
        one = made(rig, draft(member(), inits=[member("true")]))
        assert one.settled() is not None
        eventually(lambda: ended("create"))
        assert one.row is not None and one.row.status is Status.RUNNING
        rig.fakes.runtime.die(one.uuid, 137)
        eventually(lambda: "settled:reboot:done" in passed)
        one.delete()
        assert one.settled() is None
        eventually(lambda: ended("delete"))
        wrong = made(rig, draft(member(), inits=[member("false")], restart_policy="no"))
        wrong.settled()
    last = len(passed) - passed[::-1].index("accepted:create") - 1
    good, bad = passed[:last], passed[last:]
    # The request goes on beside its operation.
    assert sorted(good) == sorted([*CREATED, *REBOOTED, *DELETED])
    order = [p for p in good if not p.startswith("accepted:")]
    assert order == [p for p in (*CREATED, *REBOOTED, *DELETED) if not p.startswith("accepted:")]
    back = [p for p in bad if p.startswith(("undo", "settle"))]
    assert back == list(UNDONE)
