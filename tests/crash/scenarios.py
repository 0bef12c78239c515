"""What can be cut short, and where: derived from the step lists and the steps, so that a new step has cases."""

from __future__ import annotations

from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.support.images import NAME

from zun.model.lifecycle import Action, Status
from zun.work.kinds import steps_of
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


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """One request on a container. `params` and `before` give its steps; `after`: None = the container is gone.

    `seen`: what the engine tells of it, each exactly that often however often the service dies.
    """

    name: str
    action: Action
    method: str = "POST"
    path: str = ""
    body: Mapping[str, Any] | None = None
    params: Mapping[str, Any] = field(default_factory=dict)
    before: Status
    after: Status | None
    seen: Mapping[str, int]
    fails: bool = False

    @property
    def steps(self) -> Sequence[str]:
        """Its steps, as the journal lists them."""
        return steps_of(self.action, self.params, self.before)

    @property
    def points(self) -> Sequence[str]:
        """Every point it passes, in order; of one that fails, those from its turning round on."""
        verb = self.action.value
        if self.fails:
            undone = [
                f"{point}:{verb}:{step}"
                for step in reversed(self.steps)
                for point in ("undo", "undone")
            ]
            return [*undone, f"settle:{verb}:failed", f"settled:{verb}:failed"]
        done = [
            f"{point}:{verb}:{step}"
            for step in self.steps
            # What is done inside the database is recorded in the same breath.
            for point in (
                ("before", "effect", "recorded") if STEPS[step].do else ("before", "recorded")
            )
        ]
        return [f"accepted:{verb}", *done, f"settle:{verb}:done", f"settled:{verb}:done"]


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
        fails=True,
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
