"""What a process of ours does at its begin and end, whatever its work is."""

from __future__ import annotations

import fcntl
import logging
import os
import resource
import signal
import sys
import threading
from contextlib import suppress
from pathlib import Path
from typing import IO, NoReturn

from zun.cmd.arguments import CannotServe

LOG = logging.getLogger(__name__)

_TURN = 0.5  # seconds

#: Processes of one kind on one machine, at most.
_SLOTS = 256

#: Files that a process wants to have open where nothing bounds them.
_FILES = 1024 * 1024

#: Those it needs besides what comes and goes: database, queue, engine, logs.
SPARE = 256


def refuse_patched() -> None:
    """Raises CannotServe where the process is monkey patched: our threads would not be threads."""
    eventlet = sys.modules.get("eventlet.patcher")
    if eventlet is not None and getattr(eventlet, "already_patched", None):
        raise CannotServe("eventlet has patched this process: run it with threads")
    gevent = sys.modules.get("gevent.monkey")
    if gevent is not None and getattr(gevent, "saved", None):
        raise CannotServe("gevent has patched this process: run it with threads")


def slot(state: Path, binary: str) -> tuple[IO[str], int]:
    """A number that no other running process of this kind on this machine has, held until the file is closed.

    Raises OSError: the state directory can't be written; CannotServe: there are too many.
    """
    locks = state / "locks"
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    locks.mkdir(exist_ok=True, mode=0o700)
    for number in range(_SLOTS):
        handle = held(locks / f"{binary}.{number}")
        if handle is not None:
            return handle, number
    raise CannotServe(f"{_SLOTS} processes {binary} run on {state} already")


def held(path: Path) -> IO[str] | None:
    """The file, locked until it is closed or this process ends; None where another process has it."""
    handle = path.open("a")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        handle.close()
        return None
    return handle


def more_files(wanted: int = 0, what: str = "") -> int:
    """Lets this process have as many files open as it may; how many that are.

    A warning where that is less than `wanted`, for `what`.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = max(soft, _FILES) if hard == resource.RLIM_INFINITY else hard
    if soft != resource.RLIM_INFINITY and soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
    if most < wanted:
        LOG.warning(
            "this process may have %d files open, and %s may need %d (LimitNOFILE of systemd)",
            most, what, wanted,
        )  # fmt: skip
    return most


def told_to_stop() -> threading.Event:
    """Set by SIGTERM and SIGINT from now on."""
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def wait_for(stop: threading.Event) -> None:
    """Returns once `stop` is set.

    In turns: a signal that comes between the last look for one and the wait is handled only after the wait.
    """
    while not stop.wait(_TURN):
        pass


def end(in_time: bool) -> NoReturn:
    """Ends the process: 0, or 1 where steps in flight did not end in time.

    At once, whatever threads do: a call that hangs would keep the interpreter from ending.
    """
    LOG.info("stopped" if in_time else "stopped with steps in flight: the next start resumes them")
    logging.shutdown()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(0 if in_time else 1)
