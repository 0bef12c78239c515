"""THE state machine of a container: what may follow what, said once.

Readers of the tables: `guard` (may this action start?), `begin` (the status while it runs), `settle`
(the status when it ended well), `fail` (when it ended badly) and `observe` (what the engine shows).
The API's 409s, the schema enums, the database's CHECK and the pages of docs/reference/lifecycle.md are
made from here. Statuses: API contract 2.3 and 3.2; no status may be added (Heat fails a stack on one).
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Status(StrEnum):
    """The statuses a container shows in the API; the values are the contract's own spelling."""

    CREATING = "Creating"
    CREATED = "Created"
    RUNNING = "Running"
    STOPPED = "Stopped"
    PAUSED = "Paused"
    ERROR = "Error"
    UNKNOWN = "Unknown"
    DELETED = "Deleted"
    DELETING = "Deleting"
    REBUILDING = "Rebuilding"
    DEAD = "Dead"
    RESTARTING = "Restarting"


class Observed(StrEnum):
    """What a container engine shows of a container when one looks; MISSING = it knows none."""

    CREATED = "created"
    RUNNING = "running"
    PAUSED = "paused"
    RESTARTING = "restarting"
    REMOVING = "removing"
    EXITED = "exited"
    DEAD = "dead"
    MISSING = "missing"


class Action(StrEnum):
    """What a user (or the service on a user's behalf) may ask of a container."""

    CREATE = "create"
    START = "start"
    STOP = "stop"
    REBOOT = "reboot"
    PAUSE = "pause"
    UNPAUSE = "unpause"
    KILL = "kill"
    REBUILD = "rebuild"
    DELETE = "delete"
    UPDATE = "update"
    RESIZE_CONTAINER = "resize_container"
    COMMIT = "commit"
    NETWORK_ATTACH = "network_attach"
    NETWORK_DETACH = "network_detach"
    # Of the service itself: made anew on another host, because its own is drained or has failed.
    MOVE = "move"
    RECREATE = "recreate"
    # Of images, which have no status.
    IMAGE_PULL = "image_pull"
    IMAGE_DELETE = "image_delete"
    # Actions answered without an operation in the journal: they have a guard, no transition.
    ADD_SECURITY_GROUP = "add_security_group"
    REMOVE_SECURITY_GROUP = "remove_security_group"
    GET_ARCHIVE = "get_archive"
    PUT_ARCHIVE = "put_archive"
    LOGS = "logs"
    EXECUTE = "execute"
    EXECUTE_RESIZE = "execute_resize"
    ATTACH = "attach"
    RESIZE = "resize"
    TOP = "top"
    STATS = "stats"
    DELETE_STOP = "delete_stop"
    DELETE_FORCE = "delete_force"


_S = Status
_ALL = frozenset(Status)
_RUNNING = frozenset({_S.RUNNING})
_PLACED = frozenset({_S.CREATED, _S.RUNNING, _S.STOPPED})
_DELETABLE = frozenset({_S.CREATED, _S.STOPPED, _S.ERROR, _S.DELETED, _S.DEAD})

#: action -> the statuses in which it may start (contract 2.3). An action that is not a key may start in any.
ALLOWED: dict[Action, frozenset[Status]] = {
    Action.CREATE: frozenset(),
    Action.MOVE: frozenset(),
    Action.RECREATE: frozenset(),
    Action.START: frozenset({_S.CREATED, _S.STOPPED, _S.ERROR}),
    Action.STOP: _RUNNING,
    Action.PAUSE: _RUNNING,
    Action.KILL: _RUNNING,
    Action.EXECUTE: _RUNNING,
    Action.EXECUTE_RESIZE: _RUNNING,
    Action.ATTACH: _RUNNING,
    Action.RESIZE: _RUNNING,
    Action.TOP: _RUNNING,
    Action.STATS: _RUNNING,
    Action.UNPAUSE: frozenset({_S.PAUSED}),
    Action.REBOOT: _PLACED | {_S.ERROR},
    Action.REBUILD: _PLACED | {_S.ERROR},
    Action.UPDATE: _PLACED | {_S.PAUSED},
    Action.RESIZE_CONTAINER: _PLACED | {_S.PAUSED},
    Action.ADD_SECURITY_GROUP: _PLACED | {_S.PAUSED},
    Action.REMOVE_SECURITY_GROUP: _PLACED | {_S.PAUSED},
    Action.GET_ARCHIVE: _PLACED | {_S.PAUSED},
    Action.PUT_ARCHIVE: _PLACED | {_S.PAUSED},
    Action.COMMIT: frozenset({_S.RUNNING, _S.STOPPED, _S.PAUSED}),
    Action.LOGS: _PLACED | {_S.PAUSED, _S.ERROR, _S.UNKNOWN},
    Action.DELETE: _DELETABLE,
    Action.DELETE_STOP: _DELETABLE | {_S.RUNNING},
    Action.DELETE_FORCE: _ALL - {_S.PAUSED},
}


@dataclass(frozen=True, slots=True)
class Transition:
    """How an operation moves the status.

    `during`: the status from acceptance on, None = unchanged. `settled`: the status expected when all steps
    are done, None = the row is gone. `failed`: the status when it could not be done, None = what it was before,
    corrected by what the engine shows. `task`: the `task_state` in the API while the operation is open, if the
    contract has one. `keeps`: the operation is no matter of status: it stays, corrected by what the engine shows.
    """

    during: Status | None
    settled: Status | None
    failed: Status | None
    task: str | None
    keeps: bool = False


TRANSITIONS: dict[Action, Transition] = {
    Action.CREATE: Transition(_S.CREATING, _S.CREATED, _S.ERROR, "container_creating"),
    Action.START: Transition(None, _S.RUNNING, _S.ERROR, "container_starting"),
    Action.STOP: Transition(None, _S.STOPPED, None, "container_stopping"),
    Action.REBOOT: Transition(_S.RESTARTING, _S.RUNNING, None, "container_rebooting"),
    Action.PAUSE: Transition(None, _S.PAUSED, None, "container_pausing"),
    Action.UNPAUSE: Transition(None, _S.RUNNING, None, "container_unpausing"),
    Action.KILL: Transition(None, _S.STOPPED, None, "container_killing"),
    Action.REBUILD: Transition(_S.REBUILDING, _S.CREATED, _S.ERROR, "container_rebuilding"),
    Action.DELETE: Transition(_S.DELETING, None, None, "container_deleting"),
    Action.UPDATE: Transition(None, None, None, None, keeps=True),
    Action.RESIZE_CONTAINER: Transition(None, None, None, None, keeps=True),
    Action.COMMIT: Transition(None, None, None, None, keeps=True),
    Action.MOVE: Transition(_S.REBUILDING, _S.RUNNING, _S.ERROR, "container_rebuilding"),
    Action.RECREATE: Transition(_S.REBUILDING, _S.RUNNING, None, "container_rebuilding"),
    Action.NETWORK_ATTACH: Transition(None, None, None, "network_attaching", keeps=True),
    Action.NETWORK_DETACH: Transition(None, None, None, "network_detaching", keeps=True),
}

_DURING = frozenset(t.during for t in TRANSITIONS.values() if t.during) | {_S.DELETED}

#: Statuses whose row only an open operation may change; the observer leaves them alone (contract 3.2).
IN_TRANSIT: frozenset[Status] = frozenset({_S.CREATING, _S.DELETING, _S.DELETED})

#: Statuses a container that was never started keeps while the engine shows it as created (contract 3.2).
_NEVER_STARTED: frozenset[Status] = frozenset({_S.CREATED, _S.ERROR, _S.RESTARTING, _S.REBUILDING})

_OBSERVED: dict[Observed, Status] = {
    Observed.RUNNING: _S.RUNNING,
    Observed.PAUSED: _S.PAUSED,
    Observed.RESTARTING: _S.RESTARTING,
    Observed.EXITED: _S.STOPPED,
    Observed.REMOVING: _S.STOPPED,
    Observed.DEAD: _S.DEAD,
}


def guard(action: Action, status: Status) -> bool:
    """Whether `action` may start on a container in `status` (contract 2.3)."""
    return status in ALLOWED.get(action, _ALL)


def begin(action: Action, status: Status) -> Status:
    """The status from the acceptance of `action` until its operation ends."""
    return TRANSITIONS[action].during or status


def settle(action: Action, recorded: Status, observed: Observed | None) -> Status | None:
    """The status when the operation of `action` has done all its steps; None = the row is gone.

    `observed` is what the engine showed after the last step; None where nothing needed to be looked at.
    """
    expected = TRANSITIONS[action].settled
    if TRANSITIONS[action].keeps:
        return recorded if observed is None else observe(recorded, observed, auto_remove=False)
    if expected is None or observed is None:
        return expected
    if observed is Observed.CREATED:
        return _S.CREATED
    return observe(expected, observed, auto_remove=False)


def fail(action: Action, before: Status, observed: Observed | None) -> Status:
    """The status when the operation of `action` could not be done and was undone.

    `before` is the status when it was accepted, `observed` what the engine shows now (None = it can't be asked).
    """
    fixed = TRANSITIONS[action].failed
    if fixed is not None:
        return fixed
    if before in _DURING:
        before = (
            _S.ERROR
        )  # of an operation that a delete took the place of: it will not end any more
    if observed is None:
        return before
    return observe(before, observed, auto_remove=False)


def observe(recorded: Status, observed: Observed, *, auto_remove: bool) -> Status:
    """The status a container should have, given the one recorded and what the engine shows.

    Rows in transit stay as they are: their operation speaks. A container the engine does not know
    is Deleted where `auto_remove` asked for it, else Error (contract 3.2).
    """
    if recorded in IN_TRANSIT:
        return recorded
    if observed is Observed.MISSING:
        return _S.DELETED if auto_remove else _S.ERROR
    if observed is Observed.CREATED:
        return recorded if recorded in _NEVER_STARTED else _S.CREATED
    return _OBSERVED[observed]


def task_state(action: Action | None, *, begun: bool) -> str | None:
    """The API's `task_state`, derived from the open operation (contract 3.2).

    `begun` says whether a step on the host has begun: a create that waits or is being placed shows none.
    """
    if action is None or (action is Action.CREATE and not begun):
        return None
    return TRANSITIONS[action].task
