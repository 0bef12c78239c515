"""Two deaths, and many at once: the service dies with a herd of containers, each held at another point of an action.

When the service lives again all of them go on together, until each is held at a point once more; then it dies again.
"""

from __future__ import annotations

import pytest
from tests.crash import stage
from tests.crash.scenarios import FORCE, KEEPING, SCENARIOS, Scenario
from tests.crash.victims import Victim
from tests.support.house import eventually

from zun.model.lifecycle import Status

pytestmark = pytest.mark.engine


@pytest.mark.parametrize("scenario", [*SCENARIOS, *KEEPING], ids=lambda s: s.name)
def test_two_deaths_at_every_point_at_once(victim: Victim, scenario: Scenario) -> None:
    points = list(scenario.points)
    if scenario.before is Status.CREATING:
        victim.clear()
        uuids: list[str] = []
        requests = [victim.request(scenario, None)] * len(points)
    else:
        uuids = victim.herd(len(points), scenario.before)
        for uuid in uuids:
            stage.prepare(victim, scenario, uuid)
        requests = [victim.request(scenario, uuid) for uuid in uuids]
    ran = {uuid: victim.runs(uuid) for uuid in uuids}

    victim.park(points)
    asking = victim.ask_all(requests)
    victim.hold_all(points)
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
        stage.verify(victim, scenario, uuid)
        if scenario.after is not None:
            assert victim.ran(uuid, ran.get(uuid, 0) + (scenario.seen or {}).get("start", 0))
    stage.clear(victim, scenario)


def test_a_forced_delete_takes_the_place_of_a_create_wherever_that_is(victim: Victim) -> None:
    victim.clear()
    create = SCENARIOS[0]
    held = [p for p in create.points if not p.startswith(("accepted:", "settled:"))]
    victim.park(held)
    for _ in held:
        victim.must("POST", "/v1/containers" + create.path, create.body)
    victim.hold_all(held)
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
    victim.hold_all(held)
    for row in victim.rows("SELECT uuid FROM containers"):
        victim.must(*victim.request(FORCE, row["uuid"]))
    victim.kill()

    victim.again()
    assert victim.everything() == {}


def test_a_forced_delete_takes_the_place_of_a_commit_and_leaves_no_image(victim: Victim) -> None:
    push = next(scenario for scenario in KEEPING if scenario.name == "push")
    held = [p for p in push.points if not p.startswith(("accepted:", "settled:"))]
    uuids = victim.herd(len(held), push.before)
    victim.park(held)
    for uuid in uuids:
        victim.must(*victim.request(push, uuid))
    victim.hold_all(held)
    for uuid in uuids:
        victim.must(*victim.request(FORCE, uuid))
    victim.kill()

    # And once more, wherever they are on their way back.
    undone = [f"{point}:commit:{step}" for step in push.steps[:2] for point in ("undo", "undone")]
    victim.park(undone)
    victim.start()
    eventually(lambda: sorted(victim.parked) == sorted(undone), "all points are held")
    victim.kill()

    victim.again()
    # Two had done all their steps: their images are there, and are shown.
    made = victim.rows("SELECT repo, tag, digest FROM images")
    assert sorted(f"{row['repo']}:{row['tag']}" for row in made) == victim.images()
    assert len(made) == 2 and all(row["digest"] for row in made)
    assert [uuid for uuid in uuids if victim.status(uuid)] == []
    stage.forget_images(victim)
    victim.clear()
