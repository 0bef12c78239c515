"""Why a container did not start: the one place where the engine's words are read, for it has no code for it.

Seen of Docker 20.10: a command that can't be run is 400 with exit code 126 or 127 in the state; whatever else the OCI
runtime refuses (a bad hostname, a mount) is 500, just as a passing trouble of the engine; an address that is taken
is 403; a network that is gone 404, just as the container itself.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from zun.drivers import errors
from zun.drivers.docker.client import clean

#: An engine that was killed in the middle of a start does not know that the container runs, and can't start it again.
_LOST = re.compile(r"\btask \w+: already exists")
#: It has not got rid of what an earlier life of the container left with containerd, though it has just tried again: a
#: task, or the folder of one that was only begun.
_STALE = re.compile(r"\bid already in use|failed to start shim: mkdir .*: file exists")
_REBUILD = (
    "cannot start the container: the container engine lost track of it in a crash; rebuild it"
)
_NOT_RUNNABLE = frozenset({126, 127})
_OCI = re.compile(r"OCI runtime|oci runtime")
_EXEC = re.compile(r'exec: "(?P<command>[^"]*)": (?P<why>.*?)(: unknown)?$')
_STAT = re.compile(r"^stat \S+: ")


class Stale(errors.Rejected):
    """What an earlier life left is in the way: for a while, as on a full disk, or until it is rebuilt."""


def why(text: str) -> str:
    """The engine's reason for users: a command is named, for it is their own; paths of the host are not."""
    if match := _EXEC.search(text.strip()):
        return f'"{match["command"]}" cannot be run: {clean(_STAT.sub("", match["why"]))}'
    *_, last = text.rsplit("unable to start container process: ", 1)
    return clean(last)


def start_error(error: errors.DriverError, raw: Mapping[str, Any] | None) -> errors.DriverError:
    """The error for a start that failed with `error`, where `raw` is what inspect showed after it (None = nothing)."""
    if raw is None:
        return errors.NotFound("cannot start the container: the container engine does not know it")
    state = raw["State"]
    text = str(state.get("Error") or "")
    if _LOST.search(text) or _LOST.search(error.public):
        return errors.Rejected(_REBUILD)
    if _STALE.search(error.public):
        return Stale(_REBUILD)
    refused = state.get("ExitCode") in _NOT_RUNNABLE or _OCI.search(text)
    if text and not isinstance(error, errors.Conflict | errors.NotFound) and refused:
        return errors.Rejected(f"cannot start the container: {why(text)}")
    return error
