"""The kinds of operation: which steps fulfil an action. The list is stored with the operation, so an upgrade
changes no run in flight."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from zun.model.lifecycle import Action, Status

# The names are stored in the journal: never rename one, never give an old one a new meaning.
PLACE = "place"
FILES = "files"
PORTS = "ports"
IMAGE = "image"
RUNTIME_CREATE = "runtime_create"
RUNTIME_START = "runtime_start"
RUNTIME_STOP = "runtime_stop"
RUNTIME_PAUSE = "runtime_pause"
RUNTIME_UNPAUSE = "runtime_unpause"
RUNTIME_SIGNAL = "runtime_signal"
RUNTIME_REMOVE = "runtime_remove"
PORTS_RELEASE = "ports_release"
FILES_RELEASE = "files_release"
RUNTIME_LIMITS = "runtime_limits"
CLAIM = "claim"
NETWORK_CONNECT = "network_connect"
NETWORK_DISCONNECT = "network_disconnect"
NETWORK_LEAVE = "network_leave"
RUNTIME_COMMIT = "runtime_commit"
COMMIT_RECORD = "commit_record"
IMAGE_PUSH = "image_push"
PORTS_LEAVE = "ports_leave"
PORTS_STAND = "ports_stand"
IMAGE_PULL = "image_pull"
IMAGE_REMOVE = "image_remove"
CAPSULE_PLACE = "capsule_place"
SANDBOX = "sandbox"
CAPSULE_IMAGES = "capsule_images"
CAPSULE_CREATE = "capsule_create"
CAPSULE_INIT = "capsule_init"
CAPSULE_START = "capsule_start"
CAPSULE_RESTART = "capsule_restart"
CAPSULE_REMOVE = "capsule_remove"
SANDBOX_REMOVE = "sandbox_remove"

_ANEW = (PLACE, PORTS_STAND, IMAGE, RUNTIME_CREATE, RUNTIME_START)

#: The steps that choose a host.
PLACES = (PLACE, CAPSULE_PLACE)

_FIXED: Mapping[Action, Sequence[str]] = {
    Action.START: (RUNTIME_START,),
    Action.STOP: (RUNTIME_STOP,),
    Action.REBOOT: (RUNTIME_STOP, RUNTIME_START),
    Action.PAUSE: (RUNTIME_PAUSE,),
    Action.UNPAUSE: (RUNTIME_UNPAUSE,),
    Action.KILL: (RUNTIME_SIGNAL,),
    Action.UPDATE: (RUNTIME_LIMITS, CLAIM),
    Action.RESIZE_CONTAINER: (RUNTIME_LIMITS, CLAIM),
    Action.NETWORK_ATTACH: (NETWORK_CONNECT,),
    Action.NETWORK_DETACH: (NETWORK_DISCONNECT, NETWORK_LEAVE),
    Action.RECREATE: _ANEW,
    Action.MOVE: (RUNTIME_STOP, RUNTIME_REMOVE, PORTS_LEAVE, *_ANEW),
    Action.IMAGE_PULL: (IMAGE_PULL,),
    Action.IMAGE_DELETE: (IMAGE_REMOVE,),
}


def steps_of(
    action: Action, params: Mapping[str, Any], status: Status | None = None
) -> Sequence[str]:
    """The steps of an operation, from the request's parameters and the container's status at acceptance.

    `params`: create `run` and `mounts`; delete `stop`; rebuild `start`, where it should not follow
    the status; commit `push`. Raises KeyError for an action that has no operation.
    """
    running = status is Status.RUNNING
    if action is Action.CREATE:
        files = [FILES] if params.get("mounts") else []
        start = [RUNTIME_START] if params.get("run") else []
        return [PLACE, *files, PORTS, IMAGE, RUNTIME_CREATE, *start]
    if action is Action.REBUILD:
        stop = [RUNTIME_STOP] if running else []
        start = [RUNTIME_START] if params.get("start", running) else []
        return [IMAGE, *stop, RUNTIME_REMOVE, RUNTIME_CREATE, *start]
    if action is Action.DELETE:
        # Also where it does not run yet: a start may be in flight, and stopping what is stopped costs nothing.
        stop = [RUNTIME_STOP] if params.get("stop") else []
        return [*stop, RUNTIME_REMOVE, PORTS_RELEASE, FILES_RELEASE]
    if action is Action.COMMIT:
        push = [IMAGE_PUSH] if params.get("push") else []
        return [RUNTIME_COMMIT, *push, COMMIT_RECORD]
    return _FIXED[action]


def capsule_steps(action: Action, *, init: bool) -> Sequence[str]:
    """The steps of a capsule's create, reboot or delete; `init`: it has init containers. Raises KeyError for others."""
    first = [CAPSULE_INIT] if init else []
    steps: Mapping[Action, Sequence[str]] = {
        Action.CREATE: (
            CAPSULE_PLACE, PORTS, SANDBOX, CAPSULE_IMAGES, CAPSULE_CREATE, *first, CAPSULE_START,
        ),
        Action.REBOOT: (CAPSULE_RESTART,),
        Action.DELETE: (CAPSULE_REMOVE, SANDBOX_REMOVE, PORTS_RELEASE),
    }  # fmt: skip
    return steps[action]
