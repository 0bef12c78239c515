"""Processes in the background, found again by their pid file or by a mark in their environment.

A pid file holds the number and the time the process began: a number that another process has got since is not ours.
The mark outlives every pid file, and children inherit it: what carries it can be ended, whoever started it.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from workbench.console import Trouble, run, tail
from workbench.packages import is_root

#: Variable of the environment that says whose a process is.
MARK = "ZUN_CLUSTER"
START_SECONDS = 60.0
STOP_SECONDS = 45.0  # our services' own bound is [compute] graceful_shutdown_timeout = 30
_LOOK_SECONDS = 0.05
_BURIAL = 5.0
_TERM = signal.SIGTERM  # within the class `signal` is a method
#: A process of its own starts the daemon and ends: whoever asked for it need not bury it.
_STARTER = """
import json, subprocess, sys
given = json.load(sys.stdin)
with open(given["log"], "ab") as log:
    process = subprocess.Popen(
        given["command"], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
        start_new_session=True, cwd=given["cwd"], env=given["env"], user=given["user"], group=given["user"],
        extra_groups=None if given["user"] is None else [],
    )
print(process.pid)
"""


@dataclass(frozen=True, kw_only=True)
class Background:
    """One process: how it is started, and where its pid file `<run>/<name>.pid` and its log are.

    `mark`: "" = that of this process, where it has one. `env` is added to ours, of which nothing that begins with
    `without` is passed on. `netns` names a network namespace to start in. `user`: as whom it runs where this process
    is root.
    """

    name: str
    run: Path
    log: Path
    command: Sequence[str | Path] = ()
    mark: str = ""
    env: Mapping[str, str] = field(default_factory=dict)
    without: str | None = "OS_"
    cwd: Path = Path("/")
    netns: str | None = None
    user: str | None = None

    @property
    def pid_file(self) -> Path:
        """Where its number is kept."""
        return self.run / f"{self.name}.pid"

    def start(self) -> int:
        """Start it in a session of its own, as nobody's child; its number. Raises Trouble: it is not installed."""
        inherited = {
            key: value
            for key, value in os.environ.items()
            if self.without is None or not key.startswith(self.without)
        }
        # Where engines are, which root's own path does not always name.
        inherited["PATH"] = f"{inherited.get('PATH', '')}:/usr/local/sbin:/usr/sbin:/sbin"
        # nsenter executes the command in its own place: the number stays.
        within = ["nsenter", f"--net=/run/netns/{self.netns}"] if self.netns else []
        wanted = {
            "command": [str(word) for word in (*within, *self.command)],
            "log": str(self.log),
            "cwd": str(self.cwd),
            "env": {**inherited, **self.env, **({MARK: self.mark} if self.mark else {})},
            "user": self._user,
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

    def ensure(self, command: Sequence[str | Path], answers: Callable[[], bool]) -> None:
        """Start `command` where it does not run, and wait until it `answers`. Raises Trouble."""
        if self.pid() is None:
            replace(self, command=command).start()
        self.wait(answers, START_SECONDS, "answers")

    @property
    def _user(self) -> str | None:
        return self.user if is_root() else None

    def own(self, path: Path) -> None:
        """Make a directory that only its user may enter."""
        path.mkdir(parents=True, exist_ok=True)
        if self._user is not None:
            shutil.chown(path, self._user, self._user)
        path.chmod(0o700)

    def run_as(self, command: Sequence[str | Path], *, what: str, timeout: float = 120.0) -> str:
        """Run a command as its user, in a directory that it can enter; the output. Raises Trouble."""
        becoming = ["runuser", "-u", self._user, "--"] if self._user is not None else []
        return run([*becoming, *command], what=what, cwd=Path("/"), without="LC_", timeout=timeout)

    def pid(self) -> int | None:
        """Its number while it lives, else None."""
        try:
            number, *since = self.pid_file.read_text().split()
            pid = int(number)
        except (OSError, ValueError):
            return None
        if since:
            return pid if began(pid) == since[0] else None
        # Written by itself, or by an older release: it is known by its program.
        return pid if began(pid) is not None and self.name in _programs(pid) else None

    def signal(self, number: signal.Signals) -> bool:
        """Send it a signal; whether it lived."""
        pid = self.pid()
        if pid is None:
            return False
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, number)
        return True

    def kill(self, *, children: bool = False) -> bool:
        """SIGKILL, and wait until it is gone; whether it lived.

        children: its child processes too, as a crash of the machine does.
        """
        pid = self.pid()
        below = _children(pid) if children and pid is not None else []
        if pid is None:
            return False
        self.signal(signal.SIGKILL)
        self._gone(pid, STOP_SECONDS, buried=children)
        send(below, signal.SIGKILL)
        return True

    def stop(
        self,
        seconds: float = STOP_SECONDS,
        *,
        number: signal.Signals = _TERM,
        forcibly: bool = True,
    ) -> bool:
        """SIGTERM, or another signal, and after `seconds` SIGKILL; whether it lived.

        Not `forcibly`: it is never killed. Raises Trouble: it does not end.
        """
        pid = self.pid()
        if pid is not None:
            self.signal(number)
            self.signal(signal.SIGCONT)  # a process that was paused would never hear it
            if not self._gone(pid, seconds, buried=not forcibly):
                if not forcibly:
                    raise Trouble(
                        f"{self.name}, process {pid}, does not end after {seconds:.0f} s",
                        f"see {self.log}; kill -9 {pid} ends it",
                    )
                self.kill()
        self.pid_file.unlink(missing_ok=True)
        return pid is not None

    def _gone(self, pid: int, seconds: float, *, buried: bool) -> bool:
        """Whether it ended in time.

        buried: and is gone from the table of processes, if that takes only a moment: a database server that finds its
        old number there takes it for running.
        """
        ended = _until(lambda: self.pid() is None, seconds)
        if ended and buried:
            _until(lambda: not Path(f"/proc/{pid}").exists(), _BURIAL)
        return ended

    def wait(
        self,
        ready: Callable[[], bool],
        seconds: float,
        what: str,
        why: Callable[[], str] = lambda: "",
    ) -> None:
        """Wait until it is `ready`. Raises Trouble with the end of its log when it ends or takes too long.

        what, why: what it does once it is ready, and why it is not.
        """
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
                f"{self.name} {what} not after {seconds:.0f} s{why()}; the end of {self.log}:\n{tail(self.log)}",
                "repair what is named, or what the last lines name, then run this again to go on",
            )


def began(pid: int) -> str | None:
    """When a process began, in ticks since the machine's start; None where none lives under the number."""
    try:
        # "4561 (name of any kind) S ...": the name may hold blanks and parentheses.
        state, *rest = Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2].split()
    except (OSError, ValueError):
        return None
    return None if state in "ZX" else rest[18]


def _programs(pid: int) -> set[str]:
    """The names of what is in a process's command line: of a script, its interpreter's and its own."""
    try:
        words = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
    except OSError:
        return set()
    return {Path(os.fsdecode(word)).name for word in words[:3]}


def _children(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(word) for word in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


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
