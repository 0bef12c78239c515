"""A program in the background that belongs to one directory: started, known by its pid file, stopped exactly."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Sequence
from pathlib import Path

from workbench.console import Trouble, run, tail
from workbench.packages import is_root

START_SECONDS = 60.0
STOP_SECONDS = 60.0
_LOOK_SECONDS = 0.05


class Daemon:
    """`name`: of the program's executable. Its log and pid file are in `directory`, by that name.

    `user`: who it runs as where this process is root; as ourselves elsewhere.
    """

    def __init__(self, name: str, directory: Path, user: str | None = None) -> None:
        self.name = name
        self.directory = directory
        self.user = user if is_root() else None
        self.log = directory / f"{name}.log"
        self._pid_file = directory / f"{name}.pid"
        self._process: subprocess.Popen[bytes] | None = None  # where it is a child of this process

    def pid(self) -> int | None:
        """The process that was started here, if it still runs."""
        try:
            pid = int(self._pid_file.read_text())
            command = Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        except (OSError, ValueError):
            return None
        # A zombie has no command line: it has ended. A number may be another process's by now.
        return pid if Path(os.fsdecode(command[0])).name == self.name else None

    def own(self, path: Path) -> None:
        """Makes a directory that only the daemon's user may enter."""
        path.mkdir(parents=True, exist_ok=True)
        if self.user is not None:
            shutil.chown(path, self.user, self.user)
        path.chmod(0o700)

    def run_as(self, command: Sequence[str | Path], *, what: str, timeout: float = 120.0) -> str:
        """Runs a command as the daemon's user, in a directory that it can enter; its output. Raises Trouble."""
        return run(
            [*self._becoming(), *command], what=what, cwd=Path("/"), without="LC_", timeout=timeout
        )

    def _becoming(self) -> list[str]:
        return ["runuser", "-u", self.user, "--"] if self.user is not None else []

    def start(self, command: Sequence[str | Path], answers: Callable[[], bool]) -> None:
        """Starts `command` (an absolute path first) in a session of its own; returns once it `answers`.

        Does nothing if it runs. Raises Trouble with the end of its log.
        """
        if self.pid() is None:
            with self.log.open("ab") as log:
                self._process = subprocess.Popen(
                    [str(word) for word in command],
                    cwd="/",
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    user=self.user,
                    group=self.user,
                    extra_groups=[] if self.user is not None else None,
                )
            self._pid_file.write_text(f"{self._process.pid}\n")
        until = time.monotonic() + START_SECONDS
        while not answers():
            if self._process is not None and self._process.poll() is not None:
                self._pid_file.unlink(missing_ok=True)
                raise Trouble(
                    f"{self.name} ended with code {self._process.returncode}; the end of {self.log}:\n{tail(self.log)}",
                    "the last lines name the cause",
                )
            if time.monotonic() > until:
                raise Trouble(
                    f"{self.name} does not answer after {START_SECONDS:.0f} s; the end of {self.log}:\n"
                    f"{tail(self.log)}",
                    f"see {self.log}",
                )
            time.sleep(_LOOK_SECONDS)

    def kill(self) -> None:
        """Ends it and its child processes at once, as a crash of the machine does."""
        pid = self.pid()
        if pid is None:
            return
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
        self.stop(signal.SIGKILL)
        for child in children:
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(child), signal.SIGKILL)

    def stop(self, with_signal: int = signal.SIGTERM) -> bool:
        """Ends it and waits until it has ended; whether it ran. Raises Trouble."""
        pid = self.pid()
        if pid is not None:
            os.kill(pid, with_signal)
            until = time.monotonic() + STOP_SECONDS
            while self.pid() is not None:
                if time.monotonic() > until:
                    raise Trouble(
                        f"{self.name}, process {pid}, does not end after {STOP_SECONDS:.0f} s",
                        f"see {self.log}; kill -9 {pid} ends it",
                    )
                time.sleep(_LOOK_SECONDS)
            if self._process is not None:
                self._process.wait()
        self._pid_file.unlink(missing_ok=True)
        return pid is not None
