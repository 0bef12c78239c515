"""One death: at every point of every action."""

from __future__ import annotations

import json
import time

import pytest
from tests.crash.scenarios import SCENARIOS, Scenario
from tests.crash.victims import Victim

from zun.model.lifecycle import Status

pytestmark = pytest.mark.engine

CASES = [
    pytest.param(scenario, point, id=f"{scenario.name}-{point}")
    for scenario in SCENARIOS
    for point in scenario.points
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
    assert victim.events(uuid, since) == scenario.seen
    if scenario.after is not None:
        assert victim.ran(uuid, ran + scenario.seen.get("start", 0))
    if scenario.before is Status.CREATING:
        victim.clear()
