"""One death: at every point of every action."""

from __future__ import annotations

import json
import time

import pytest
from tests.crash import stage
from tests.crash.scenarios import KEEPING, SCENARIOS, Scenario
from tests.crash.victims import Victim

from zun.model.lifecycle import Status

pytestmark = pytest.mark.engine

CASES = [
    pytest.param(scenario, point, id=f"{scenario.name}-{point}")
    for scenario in SCENARIOS
    for point in scenario.points
] + [
    # All other points of these: tests/crash/test_twice.py.
    pytest.param(scenario, point, id=f"{scenario.name}-{point}")
    for scenario in KEEPING
    for point in scenario.points
    if point.startswith(("effect:", "undone:"))
]


@pytest.mark.parametrize(("scenario", "point"), CASES)
def test_a_death_loses_nothing_and_doubles_nothing(
    victim: Victim, scenario: Scenario, point: str
) -> None:
    uuid = None
    if scenario.before is Status.CREATING:
        victim.clear()  # so that the network is made and removed, too
    else:
        [uuid] = victim.herd(1, scenario.before)
        stage.prepare(victim, scenario, uuid)
    ran, since = victim.runs(uuid) if uuid else 0, time.time()
    victim.arm(point)
    victim.ask_or_die(*victim.request(scenario, uuid))
    victim.dies(point)
    uuid = uuid or victim.newest()
    left = victim.rows("SELECT steps FROM operations WHERE container_uuid = ?", uuid)
    if left:  # a delete that ended is forgotten
        assert tuple(json.loads(left[-1]["steps"])) == tuple(scenario.steps)

    victim.again()

    victim.check(scenario, uuid)
    stage.verify(victim, scenario, uuid)
    seen = scenario.seen or {}
    assert scenario.seen is None or victim.events(uuid, since) == seen
    if scenario.after is not None:
        assert victim.ran(uuid, ran + seen.get("start", 0))
    stage.clear(victim, scenario)
    if scenario.before is Status.CREATING:
        victim.clear()
