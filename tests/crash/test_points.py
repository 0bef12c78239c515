"""Whether the crash cases are all there are: every action, every step and every point the code passes."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.crash import test_move
from tests.crash.scenarios import KEEPING, OF_IMAGES, SCENARIOS, Scenario
from tests.support.house import Fakes, Rig, caller, eventually, quick_settings, running

from zun.drivers import errors
from zun.drivers.fake import Fail
from zun.model.container import Draft, MountRequest
from zun.model.lifecycle import Action, Status
from zun.service.networks import AttachRequest
from zun.work.kinds import capsule_steps, steps_of
from zun.work.steps import STEPS

ALL = [*SCENARIOS, *KEEPING]

#: Steps that no engine refuses when it is asked to: they are undone in tests/unit alone.
NEVER_REFUSED = {"network_connect", "network_disconnect"}

#: Whose crash cases are in test_capsules.py.
OF_CAPSULES = {
    *capsule_steps(Action.CREATE, init=True),
    *capsule_steps(Action.REBOOT, init=True),
    *capsule_steps(Action.DELETE, init=True),
} - {"ports", "ports_release"}


#: What goes from host to host is cut short in test_recreate and test_move.
BETWEEN_HOSTS = {Action.RECREATE, Action.MOVE}


def _has_steps(action: Action) -> bool:
    try:
        return bool(steps_of(action, {}))
    except KeyError:
        return False


def test_every_action_that_has_steps_has_crash_cases() -> None:
    covered = {scenario.action for scenario in ALL} | set(OF_IMAGES) | BETWEEN_HOSTS
    assert covered == {action for action in Action if _has_steps(action)}


def test_every_step_has_crash_cases() -> None:
    cut = {step for scenario in ALL if not scenario.fails_at for step in scenario.steps}
    cut |= {step for action in OF_IMAGES for step in steps_of(action, {})}
    cut |= {step for action in BETWEEN_HOSTS for step in steps_of(action, {})}
    undone = {step for scenario in ALL for step in scenario.undone}
    undone |= {point.split(":")[2] for point in test_move.UNDONE}
    assert cut == set(STEPS) - OF_CAPSULES
    undoable = {name for name, step in STEPS.items() if step.undo or step.undo_in}
    assert undone >= undoable - NEVER_REFUSED - OF_CAPSULES


def _bring(rig: Rig, scenario: Scenario) -> str:
    """A container on which the scenario may begin, or has begun where it is a create."""
    if scenario.fails_at in _REFUSING:
        driver, call = _REFUSING[scenario.fails_at]
        getattr(rig.fakes, driver).script(call, Fail(errors.Rejected("no")))
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
    services, row = rig.house.services, rig.row(uuid)
    assert row is not None
    match scenario.action:
        case Action.DELETE:
            services.containers.delete(caller(), row, force=False, stop=True)
        case Action.UPDATE:
            services.containers.update(caller(), row, scenario.body or {})
        case Action.RESIZE_CONTAINER:
            services.containers.resize(caller(), row, scenario.body or {})
        case Action.NETWORK_ATTACH:
            services.networks.create(caller(), "blue")
            services.networks.attach(caller(), row, AttachRequest(network="blue"))
        case Action.NETWORK_DETACH:
            services.networks.detach(caller(), row, "default", None)
        case Action.COMMIT:
            domain = "registry.test/" if scenario.params else ""
            services.images.commit(caller(), row, f"{domain}crash/x", "v1")
        case action:
            services.containers.act(caller(), row, action)


def _number(passed: list[str], kind: str) -> int:
    return sum(point.startswith(kind) for point in passed)


#: Step -> the fake, and what of it, that refuses it.
_REFUSING = {
    "runtime_start": ("runtime", "start"),
    "runtime_limits": ("runtime", "update"),
    "image_push": ("images", "push"),
}


@pytest.mark.parametrize("scenario", ALL, ids=lambda s: s.name)
def test_the_points_are_those_the_code_passes(scenario: Scenario, tmp_path: Path) -> None:
    passed: list[str] = []
    settings = quick_settings(push_registries=("*",))
    with running(tmp_path, Fakes(), settings=settings, checkpoint=passed.append) as rig:
        uuid = _bring(rig, scenario)
        if scenario.action is not Action.CREATE:
            # An operation has ended before the worker has passed its last point.
            eventually(lambda: _number(passed, "settled:") == _number(passed, "accepted:"))
            passed.clear()
            _do(rig, scenario, uuid)
            rig.settled(uuid)
    # The house has stopped: whoever was between the end and the point after it has passed that, too.
    if scenario.fails_at:
        passed = [
            p for p in passed if not p.startswith(("accepted:", "before:", "effect:", "recorded:"))
        ]
    # The request goes on beside its operation.
    accepted = [p for p in passed if p.startswith("accepted:")]
    others = [p for p in passed if p not in accepted]
    assert accepted + others == list(scenario.points)
