"""What can be cut short, and where: derived from the step lists and the steps, so that a new step has cases."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.support.images import NAME

from zun.model.lifecycle import Action, Status
from zun.work.kinds import IMAGE_PUSH, RUNTIME_LIMITS, RUNTIME_START, steps_of
from zun.work.steps import STEPS

#: Writes a line to an injected file at each start, and ends at once when it is told to.
PROBE = "/probe"
COMMAND = ["sh", "-c", f"trap 'exit 0' TERM; echo ran >> {PROBE}; sleep 100000 & wait"]
MOUNT = {"type": "bind", "source": b64encode(b"").decode(), "destination": PROBE}


def body(command: Sequence[str] = COMMAND, **more: Any) -> dict[str, Any]:
    """The body of a create."""
    return {
        "image": f"{NAME}:latest",
        "image_pull_policy": "never",
        "command": list(command),
        "mounts": [MOUNT],
        "memory": 64,
        "cpu": 0.1,
        **more,
    }


def points_of(action: Action, steps: Sequence[str]) -> Sequence[str]:
    """Every point that an operation passes which ends well, in order."""
    done = [
        f"{point}:{action}:{step}"
        for step in steps
        # What is done inside the database is recorded in the same breath.
        for point in (
            ("before", "effect", "recorded") if STEPS[step].do else ("before", "recorded")
        )
    ]
    return [f"accepted:{action}", *done, f"settle:{action}:done", f"settled:{action}:done"]


def capsule_body(init: Sequence[str] = ("true",), policy: str = "Never") -> dict[str, Any]:
    """The body of a capsule's create: an init container, and another one that runs on."""
    small = {
        "image": f"{NAME}:latest",
        "imagePullPolicy": "never",
        "resources": {"requests": {"cpu": 0.1, "memory": 16}},
    }
    forever = ["sh", "-c", "trap 'exit 0' TERM; sleep 100000 & wait"]
    spec = {
        "restartPolicy": policy,
        "initContainers": [{**small, "command": list(init)}],
        "containers": [{**small, "command": forever}],
    }
    return {"template": {"kind": "capsule", "metadata": {}, "spec": spec}}


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One request on a container. `params` and `before` give its steps; `after`: None = the container is gone.

    `path` may name {uuid}, and a {registry} and a {private} one. `seen`: what the engine tells of it, each exactly that
    often however often the service dies; None = no matter. `fails_at`: the step that fails. `networks`: how many the
    container has then.
    """

    name: str
    action: Action
    method: str = "POST"
    path: str = ""
    body: Mapping[str, Any] | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    before: Status
    after: Status | None
    seen: Mapping[str, int] | None
    fails_at: str | None = None
    networks: int = 1

    @property
    def steps(self) -> Sequence[str]:
        """Its steps, as the journal lists them."""
        return steps_of(self.action, self.params, self.before)

    @property
    def points(self) -> Sequence[str]:
        """Every point it passes, in order; of one that fails, those from its turning round on."""
        verb = self.action.value
        if self.fails_at is not None:
            undone = [
                f"{point}:{verb}:{step}"
                for step in reversed(self.undone)
                for point in ("undo", "undone")
            ]
            return [*undone, f"settle:{verb}:failed", f"settled:{verb}:failed"]
        return points_of(self.action, self.steps)

    @property
    def undone(self) -> Sequence[str]:
        """The steps that are undone, of one that fails: up to the one where it does."""
        return self.steps[: self.steps.index(self.fails_at) + 1] if self.fails_at else ()


def _act(action: Action, before: Status, after: Status, query: str = "", **seen: int) -> Scenario:
    return Scenario(
        name=action.value,
        action=action,
        path=f"/{action.value}{query}",
        before=before,
        after=after,
        seen=seen,
    )


CREATE = Scenario(
    name="create",
    action=Action.CREATE,
    path="?run=true",
    body=body(),
    params={"run": True, "mounts": [MOUNT]},
    before=Status.CREATING,
    after=Status.RUNNING,
    seen={"create": 1, "start": 1},
)

SCENARIOS: Sequence[Scenario] = (
    CREATE,
    Scenario(
        # All is done, up to the start, which the engine refuses: all is undone.
        name="undo",
        action=Action.CREATE,
        path="?run=true",
        body=body(["/no/such/program"]),
        params={"run": True, "mounts": [MOUNT]},
        before=Status.CREATING,
        after=Status.ERROR,
        seen={"create": 1, "destroy": 1},
        fails_at=RUNTIME_START,
    ),
    _act(Action.STOP, Status.RUNNING, Status.STOPPED, "?timeout=30", die=1),
    _act(Action.START, Status.STOPPED, Status.RUNNING, start=1),
    _act(Action.PAUSE, Status.RUNNING, Status.PAUSED, pause=1),
    _act(Action.UNPAUSE, Status.PAUSED, Status.RUNNING, unpause=1),
    _act(Action.REBOOT, Status.RUNNING, Status.RUNNING, "?timeout=30", die=1, start=1),
    _act(Action.KILL, Status.RUNNING, Status.STOPPED, die=1),
    _act(Action.REBUILD, Status.RUNNING, Status.RUNNING, die=1, destroy=1, create=1, start=1),
    Scenario(
        name="delete",
        action=Action.DELETE,
        method="DELETE",
        path="?stop=true",
        params={"stop": True},
        before=Status.RUNNING,
        after=None,
        seen={"die": 1, "destroy": 1},
    ),
)

#: What leaves the status as it is. Resized from and to these; networks besides the project's own.
SMALL, LARGE = {"cpu": 0.1, "memory": 64}, {"cpu": 0.2, "memory": 96}
OTHER_NETWORK = "blue"


def _kept(name: str, action: Action, path: str, **more: Any) -> Scenario:
    values: dict[str, Any] = {"before": Status.RUNNING, "after": Status.RUNNING, "seen": {}, **more}
    return Scenario(name=name, action=action, path=path, **values)


_COMMIT = "/commit?tag=v1&repository="

KEEPING: Sequence[Scenario] = (
    _kept("resize", Action.RESIZE_CONTAINER, "/resize_container", body=LARGE),
    _kept(
        # Less than any engine gives a container.
        "resize_refused", Action.RESIZE_CONTAINER, "/resize_container", body={"memory": 4},
        fails_at=RUNTIME_LIMITS,
    ),
    _kept("update", Action.UPDATE, "", method="PATCH", body=LARGE),
    _kept("attach", Action.NETWORK_ATTACH, f"/network_attach?network={OTHER_NETWORK}", networks=2),
    _kept("detach", Action.NETWORK_DETACH, f"/network_detach?network={OTHER_NETWORK}"),
    _kept("commit", Action.COMMIT, _COMMIT + "crash/{uuid}", seen=None),
    _kept("push", Action.COMMIT, _COMMIT + "{registry}/crash/{uuid}", params={"push": "x/y:z"}, seen=None),
    _kept(
        # The registry wants a password that nobody gave.
        "push_refused", Action.COMMIT, _COMMIT + "{private}/crash/{uuid}", params={"push": "x/y:z"}, seen=None,
        fails_at=IMAGE_PUSH,
    ),
)  # fmt: skip

#: Of images: the actions, tested in tests/crash/test_images.py.
OF_IMAGES = (Action.IMAGE_PULL, Action.IMAGE_DELETE)

#: What force-deletes a container whatever goes on.
FORCE = Scenario(
    name="force",
    action=Action.DELETE,
    method="DELETE",
    path="?force=true",
    params={"force": True},
    before=Status.CREATING,
    after=None,
    seen={},
)

#: The engine's events that are counted; "stop" and "kill" come with a "die".
COUNTED = frozenset({"create", "start", "die", "destroy", "pause", "unpause", "restart"})
