"""A very small shell, so that one contract suite can run the same commands on the fake and on a real engine.

It knows true, false, echo WORDS [>&2], exit N, cat of what it is given, and takes all else for a program that runs
until it is killed. A command that begins with /no/ or nosuch is not there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

STDOUT, STDERR = 1, 2


@dataclass(frozen=True, slots=True)
class Outcome:
    """What a command printed, by stream and in order, and its exit code; None = it runs on."""

    output: Sequence[tuple[int, bytes]]
    exit_code: int | None


def absent(command: Sequence[str]) -> bool:
    """Whether there is no such program."""
    return bool(command) and command[0].startswith(("/no/", "nosuch"))


def run(command: Sequence[str], stdin: bytes | None = None) -> Outcome:
    """Runs `command`: a program, or ["sh", "-c", "one; another"]."""
    script = [list(command)]
    if list(command[:2]) == ["sh", "-c"] and len(command) > 2:
        script = [part.split() for part in command[2].split(";")]
    output: list[tuple[int, bytes]] = []
    code: int | None = 0
    for words in filter(None, script):
        match words:
            case ["exit", number]:
                return Outcome(output, int(number))
            case ["echo", *rest]:
                stream = STDERR if rest[-1:] == [">&2"] else STDOUT
                said = " ".join(rest[:-1] if stream == STDERR else rest).strip("'\"")
                output.append((stream, said.encode() + b"\n"))
                code = 0
            case ["cat"] if stdin is not None:
                output.append((STDOUT, stdin))
                code = 0
            case ["true"]:
                code = 0
            case ["false"]:
                code = 1
            case _:
                return Outcome(output, None)
    return Outcome(output, code)
