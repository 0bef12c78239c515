"""Two deaths, and many at once: the service dies with a herd of containers, each held at another point of an action.

When the service lives again all of them go on together, until each is held at a point once more; then it dies again.
"""

from __future__ import annotations

import pytest
from tests.crash.scenarios import FORCE, SCENARIOS, Scenario
from tests.crash.victims import Victim
from tests.support.house import eventually

from zun.model.lifecycle import Status

pytestmark = pytest.mark.engine


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.name)
def test_two_deaths_at_every_point_at_once(victim: Victim, scenario: Scenario) -> None:
    points = list(scenario.points)
    if scenario.before is Status.CREATING:
        victim.clear()
        uuids: list[str] = []
        requests = [victim.request(scenario, None)] * len(points)
    else:
        uuids = victim.herd(len(points), scenario.before)
        requests = [victim.request(scenario, uuid) for uuid in uuids]
    ran = {uuid: victim.runs(uuid) for uuid in uuids}

    victim.park(points)
    asking = victim.ask_all(requests)
    hold_all(victim, points)
    # Who was accepted but never answered is held in the request itself.
    for thread in asking:
        if not any(p.startswith("accepted:") for p in points):
            thread.join()
    victim.kill()
    for thread in asking:
        thread.join()
    uuids = uuids or [row["uuid"] for row in victim.rows("SELECT uuid FROM containers")]
    assert len(uuids) == len(points)

    victim.park(points)
    victim.start()
    victim.settled_or_parked()
    victim.kill()
    # Nobody gets as far as the points of a step that was recorded already; all others are passed again.
    assert victim.parked or scenario.after is None

    victim.again()

    for uuid in uuids:
        victim.check(scenario, uuid)
        if scenario.after is not None:
            assert victim.ran(uuid, ran.get(uuid, 0) + scenario.seen.get("start", 0))


def hold_all(victim: Victim, points: list[str]) -> None:
    """Waits until somebody stays at each point."""
    eventually(
        lambda: sorted(victim.parked) == sorted(points),
        f"all points are held; not {set(points) - set(victim.parked)}",
    )
    victim.settled_or_parked()


def test_a_forced_delete_takes_the_place_of_a_create_wherever_that_is(victim: Victim) -> None:
    victim.clear()
    create = SCENARIOS[0]
    held = [p for p in create.points if not p.startswith(("accepted:", "settled:"))]
    victim.park(held)
    for _ in held:
        victim.must("POST", "/v1/containers" + create.path, create.body)
    hold_all(victim, held)
    uuids = [row["uuid"] for row in victim.rows("SELECT uuid FROM containers")]
    for uuid in uuids:
        victim.must(*victim.request(FORCE, uuid))
    victim.kill()

    # And once more, wherever the deletes and the ends of the creates are then.
    victim.park([*FORCE.points, "settled:create:cancelled"])
    victim.start()
    victim.settled_or_parked()
    assert "settled:create:cancelled" in victim.parked
    victim.kill()

    victim.again()
    assert victim.everything() == {}


def test_a_forced_delete_takes_the_place_of_an_undo_wherever_that_is(victim: Victim) -> None:
    victim.clear()
    undo = SCENARIOS[1]
    held = [p for p in undo.points if not p.startswith("settled:")]
    victim.park(held)
    for _ in held:
        victim.must("POST", "/v1/containers" + undo.path, undo.body)
    hold_all(victim, held)
    for row in victim.rows("SELECT uuid FROM containers"):
        victim.must(*victim.request(FORCE, row["uuid"]))
    victim.kill()

    victim.again()
    assert victim.everything() == {}
