"""Progress for people: a spinner on a terminal, one plain line a step elsewhere."""

from __future__ import annotations

import contextlib
import itertools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

TAIL_LINES = 15
_SPIN_SECONDS = 0.1
_CODES = {"green": "32", "red": "31", "yellow": "33", "bold": "1", "dim": "2"}


class Trouble(Exception):
    """Something the user has to know: `cause` says what is wrong, `way_out` what to do about it."""

    def __init__(self, cause: str, way_out: str = "") -> None:
        super().__init__(cause)
        self.cause = cause
        self.way_out = way_out


def fancy() -> bool:
    """Whether colours and a spinner make sense here."""
    return (
        sys.stdout.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    )


def paint(text: str, colour: str) -> str:
    """`text` in a colour on a terminal, as it is elsewhere."""
    return f"\033[{_CODES[colour]}m{text}\033[0m" if fancy() else text


def say(text: str = "") -> None:
    """One line to the user, at once."""
    sys.stdout.write(text + "\n")
    sys.stdout.flush()


class Step:
    """One step of a command, shown as one line; use through `Steps.step`."""

    def __init__(self, label: str) -> None:
        self.label = label
        self.result = "done"
        self._doing = ""
        self._since = time.monotonic()

    def doing(self, text: str) -> None:
        """Tell what takes time now: beside the spinner, or as a line of its own."""
        self._doing = text
        if not fancy():
            say(f"{self.label}: {text} ...")

    def done(self, result: str) -> None:
        """What to show when the step ends."""
        self.result = result

    @property
    def seconds(self) -> float:
        """Time since the step began."""
        return time.monotonic() - self._since

    def line(self, mark: str) -> str:
        """The step as it stands, for the spinner."""
        doing = f": {self._doing}" if self._doing else ""
        return f"{mark} {self.label}{doing} {paint(f'{self.seconds:.0f} s', 'dim')}"


class Steps:
    """The numbered steps of one command."""

    def __init__(self, total: int) -> None:
        self._total = total
        self._number = itertools.count(1)
        self._since = time.monotonic()

    @property
    def seconds(self) -> float:
        """Time since the first step began."""
        return time.monotonic() - self._since

    @contextlib.contextmanager
    def step(self, what: str) -> Iterator[Step]:
        """Show `what` while the block runs and its result when it ends."""
        step = Step(f"[{next(self._number)}/{self._total}] {what}")
        ended = threading.Event()
        spinner = threading.Thread(target=_spin, args=(step, ended), daemon=True)
        if fancy():
            spinner.start()
        try:
            yield step
        except BaseException:
            _end(spinner, ended)
            say(f"{step.label}: {paint('failed', 'red')} ({step.seconds:.1f} s)")
            raise
        _end(spinner, ended)
        say(f"{step.label}: {paint(step.result, 'green')} ({step.seconds:.1f} s)")


def _spin(step: Step, ended: threading.Event) -> None:
    for mark in itertools.cycle("|/-\\"):
        sys.stdout.write(f"\r\033[K{step.line(mark)}")
        sys.stdout.flush()
        if ended.wait(_SPIN_SECONDS):
            sys.stdout.write("\r\033[K")
            return


def _end(spinner: threading.Thread, ended: threading.Event) -> None:
    ended.set()
    if spinner.is_alive():
        spinner.join()


def run(
    command: Sequence[str | Path],
    *,
    what: str,
    way_out: str = "",
    env: Mapping[str, str] | None = None,
    without: str | None = None,
    cwd: Path | None = None,
    timeout: float | None = None,
) -> str:
    """Run `command` quietly and return its output.

    `env` is added to our environment, of which variables that begin with `without` are left out.
    `timeout` is in seconds. Raises Trouble with the end of the output when it fails.
    """
    words = [str(word) for word in command]
    kept = {
        key: value
        for key, value in os.environ.items()
        if not without or not key.startswith(without)
    }
    try:
        ended = subprocess.run(
            words,
            env={**kept, **(env or {})},
            cwd=cwd,
            timeout=timeout,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
        )
    except FileNotFoundError as error:
        raise Trouble(f"{what}: {words[0]} is not installed", way_out) from error
    except subprocess.TimeoutExpired as error:
        raise Trouble(
            f"{what}: no end after {timeout:.0f} s: {' '.join(words)}", way_out
        ) from error
    if ended.returncode:
        shown = tail_of(ended.stdout + ended.stderr)
        raise Trouble(f"{what}: `{' '.join(words)}` failed\n{shown}", way_out)
    return ended.stdout


def tail_of(text: str, lines: int = TAIL_LINES) -> str:
    """The last lines of `text`, indented."""
    return "\n".join(f"    {line}" for line in text.splitlines()[-lines:])


def tail(path: Path, lines: int = TAIL_LINES) -> str:
    """The last lines of a file, indented; a note where it can't be read."""
    try:
        return tail_of(path.read_text(encoding="utf-8", errors="replace"), lines)
    except OSError as error:
        return f"    ({error})"


def guarded(action: Callable[[], int]) -> int:
    """Run `action`; its exit code, or 1 with cause and way out on stderr when it raises Trouble."""
    try:
        return action()
    except Trouble as trouble:
        sys.stderr.write(f"{paint('Error:', 'red')} {trouble.cause}\n")
        if trouble.way_out:
            sys.stderr.write(f"{paint('What to do:', 'bold')} {trouble.way_out}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("\nInterrupted; run it again to go on.\n")
        return 130
