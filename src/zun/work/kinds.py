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

_FIXED: Mapping[Action, Sequence[str]] = {
    Action.START: (RUNTIME_START,),
    Action.STOP: (RUNTIME_STOP,),
    Action.REBOOT: (RUNTIME_STOP, RUNTIME_START),
    Action.PAUSE: (RUNTIME_PAUSE,),
    Action.UNPAUSE: (RUNTIME_UNPAUSE,),
    Action.KILL: (RUNTIME_SIGNAL,),
}


def steps_of(action: Action, params: Mapping[str, Any], status: Status) -> Sequence[str]:
    """The steps of an operation, from the request's parameters and the container's status at acceptance.

    `params`: create `run` and `mounts`; delete `stop`; rebuild `start`, where it should not follow
    the status. Raises KeyError for an action that has no operation.
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
        stop = [RUNTIME_STOP] if params.get("stop") and running else []
        return [*stop, RUNTIME_REMOVE, PORTS_RELEASE, FILES_RELEASE]
    return _FIXED[action]
