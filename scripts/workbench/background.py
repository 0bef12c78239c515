"""Processes in the background, found again by their pid file or by a mark in their environment.

A pid file holds the number and the time the process began: a number that another process has got since is not ours.
The mark outlives every pid file, and children inherit it: what carries it can be ended, whoever started it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from workbench.console import Trouble, tail

#: Variable of the environment that says whose a process is.
MARK = "ZUN_CLUSTER"
STOP_SECONDS = 45.0
_LOOK_SECONDS = 0.05
#: A process of its own starts the daemon and ends: whoever asked for it need not bury it.
_STARTER = """
import json, subprocess, sys
given = json.load(sys.stdin)
with open(given["log"], "ab") as log:
    process = subprocess.Popen(
        given["command"], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        start_new_session=True, cwd="/", env=given["env"],
    )
print(process.pid)
"""


@dataclass(frozen=True, kw_only=True)
class Background:
    """One process: how it is started, and where its pid file `<run>/<name>.pid` and its log are.

    `netns` names a network namespace to start in. `env` is added to ours; nothing that begins with OS_ is passed on.
    """

    name: str
    command: Sequence[str]
    run: Path
    log: Path
    mark: str
    env: Mapping[str, str] = field(default_factory=dict)
    netns: str | None = None

    @property
    def pid_file(self) -> Path:
        """Where its number is kept."""
        return self.run / f"{self.name}.pid"

    def start(self) -> int:
        """Start it in a session of its own, as nobody's child; its number. Raises Trouble: it is not installed."""
        inherited = {key: value for key, value in os.environ.items() if not key.startswith("OS_")}
        # Where engines are, which root's own path does not always name.
        inherited["PATH"] = f"{inherited.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin"
        # nsenter executes the command in its own place: the number stays.
        within = ["nsenter", f"--net=/run/netns/{self.netns}"] if self.netns else []
        wanted = {
            "command": [*within, *self.command],
            "log": str(self.log),
            "env": {**inherited, **self.env, MARK: self.mark},
        }
        made = subprocess.run(
            [sys.executable, "-I", "-S", "-c", _STARTER],
            input=json.dumps(wanted), capture_output=True, text=True, check=False,
        )  # fmt: skip
        if made.returncode:
            raise Trouble(f"{self.name} can't be started: {made.stderr.strip().splitlines()[-1]}")
        pid = int(made.stdout)
        self.pid_file.write_text(f"{pid} {began(pid)}\n")
        return pid

    def pid(self) -> int | None:
        """Its number while it lives, else None."""
        try:
            number, since = self.pid_file.read_text().split()
        except (OSError, ValueError):
            return None
        return int(number) if began(int(number)) == since else None

    def signal(self, number: signal.Signals) -> bool:
        """Send it a signal; whether it lived."""
        pid = self.pid()
        if pid is None:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        return True

    def kill(self) -> bool:
        """SIGKILL, and wait until it is gone; whether it lived."""
        lived = self.signal(signal.SIGKILL)
        _until(lambda: self.pid() is None, STOP_SECONDS)
        return lived

    def stop(self, seconds: float = STOP_SECONDS) -> bool:
        """SIGTERM, and after `seconds` SIGKILL; whether it lived."""
        lived = self.signal(signal.SIGTERM)
        if lived:
            self.signal(signal.SIGCONT)  # a process that was paused would never hear it
            if not _until(lambda: self.pid() is None, seconds):
                self.kill()
        self.pid_file.unlink(missing_ok=True)
        return lived

    def wait(self, ready: Callable[[], bool], seconds: float, what: str) -> None:
        """Wait until it is `ready`. Raises Trouble with the end of its log when it ends or takes too long."""
        ended = False

        def decided() -> bool:
            nonlocal ended
            ended = self.pid() is None
            return ended or ready()

        in_time = _until(decided, seconds)
        if ended:
            raise Trouble(
                f"{self.name} ended at once; the end of {self.log}:\n{tail(self.log)}",
                "the last lines name the cause",
            )
        if not in_time:
            raise Trouble(
                f"{self.name} {what} not after {seconds:.0f} s; the end of {self.log}:\n{tail(self.log)}",
                "the last lines may name the cause; run this again to go on",
            )


def began(pid: int) -> str | None:
    """When a process began, in ticks since the machine's start; None where none lives under the number."""
    try:
        # "4561 (name of any kind) S ...": the name may hold blanks and parentheses.
        state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except (OSError, ValueError):
        return None
    return None if state in "ZX" else rest[18]


def marked(mark: str) -> list[int]:
    """The processes that carry `mark`, ourselves not among them."""
    wanted = f"{MARK}={mark}".encode()
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            with contextlib.suppress(OSError):
                words = (entry / "environ").read_bytes().split(b"\0")
                if wanted in words and began(int(entry.name)) is not None:
                    found.append(int(entry.name))
    return found


def end(pids: Callable[[], Collection[int]], seconds: float = STOP_SECONDS) -> int:
    """Kill whatever `pids` finds until it finds nothing; how many there were. Raises Trouble: some won't end."""
    seen: set[int] = set()

    def none_left() -> bool:
        left = pids()
        seen.update(left)
        send(left, signal.SIGKILL)
        return not left

    if not _until(none_left, seconds):
        listed = " ".join(str(pid) for pid in sorted(pids()))
        raise Trouble(
            f"processes do not end: {listed}", "see what they wait for: ps -o pid,stat,wchan,cmd"
        )
    return len(seen)


def send(pids: Iterable[int], number: signal.Signals) -> None:
    """Signal processes; those that are gone are no trouble."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)


def _until(so: Callable[[], bool], seconds: float) -> bool:
    """Whether it became `so` in time."""
    end_at = time.monotonic() + seconds
    while not so():
        if time.monotonic() > end_at:
            return False
        time.sleep(_LOOK_SECONDS)
    return True
