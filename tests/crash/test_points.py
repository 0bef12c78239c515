"""Whether the crash cases are all there are: every action, every step and every point the code passes."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.crash.scenarios import SCENARIOS, Scenario
from tests.support.house import Fakes, Rig, caller, eventually, running

from zun.drivers import errors
from zun.drivers.fake import Fail
from zun.model.container import Draft, MountRequest
from zun.model.lifecycle import TRANSITIONS, Action, Status
from zun.work.steps import STEPS

#: Whose crash cases need no engine: tests/unit/test_actions_crash.py.
ELSEWHERE = {action for action, move in TRANSITIONS.items() if move.keeps}
STEPS_ELSEWHERE = {
    "runtime_limits", "claim", "network_connect", "network_disconnect", "network_leave",
    "runtime_commit", "commit_record", "image_pull", "image_remove",
}  # fmt: skip


def test_every_action_that_has_steps_has_crash_cases() -> None:
    assert {scenario.action for scenario in SCENARIOS} == set(TRANSITIONS) - ELSEWHERE


def test_every_step_has_crash_cases() -> None:
    cut = {step for scenario in SCENARIOS if not scenario.fails for step in scenario.steps}
    undone = {step for scenario in SCENARIOS if scenario.fails for step in scenario.steps}
    assert cut == set(STEPS) - STEPS_ELSEWHERE
    undoable = {name for name, step in STEPS.items() if step.undo or step.undo_in}
    assert undone >= undoable - STEPS_ELSEWHERE


def _bring(rig: Rig, scenario: Scenario) -> str:
    """A container on which the scenario may begin, or has begun where it is a create."""
    if scenario.fails:
        rig.fakes.runtime.script("start", Fail(errors.Rejected("no such program")))
    mount = MountRequest(type="bind", source="", destination="/probe")
    uuid = rig.create(Draft(image="busybox", run=True, mounts=[mount])).uuid
    row = rig.settled(uuid)
    assert row is not None
    steps = {Status.STOPPED: Action.STOP, Status.PAUSED: Action.PAUSE}
    if action := steps.get(scenario.before):
        rig.house.services.containers.act(caller(), row, action)
        rig.settled(uuid)
    return uuid


def _do(rig: Rig, scenario: Scenario, uuid: str) -> None:
    containers = rig.house.services.containers
    row = rig.row(uuid)
    assert row is not None
    if scenario.action is Action.DELETE:
        containers.delete(caller(), row, force=False, stop=True)
    else:
        containers.act(caller(), row, scenario.action)


def _number(passed: list[str], kind: str) -> int:
    return sum(point.startswith(kind) for point in passed)


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda s: s.name)
def test_the_points_are_those_the_code_passes(scenario: Scenario, tmp_path: Path) -> None:
    passed: list[str] = []
    with running(tmp_path, Fakes(), checkpoint=passed.append) as rig:
        uuid = _bring(rig, scenario)
        if scenario.action is not Action.CREATE:
            # An operation has ended before the worker has passed its last point.
            eventually(lambda: _number(passed, "settled:") == _number(passed, "accepted:"))
            passed.clear()
            _do(rig, scenario, uuid)
            rig.settled(uuid)
    # The house has stopped: whoever was between the end and the point after it has passed that, too.
    if scenario.fails:
        passed = [
            p for p in passed if not p.startswith(("accepted:", "before:", "effect:", "recorded:"))
        ]
    # The request goes on beside its operation.
    accepted = [p for p in passed if p.startswith("accepted:")]
    others = [p for p in passed if p not in accepted]
    assert accepted + others == list(scenario.points)
