"""Nudges and questions between processes.

A nudge may be lost, doubled or late; it carries a queue's name, never a fact.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, Protocol

#: Of what travels between processes. The major part grows when an older process could misread it.
RPC_VERSION = "1.0"

Answer = Callable[[Mapping[str, Any], float], Any]
"""(arguments, seconds left) -> a JSON-like value; raises Refused."""


class Why(StrEnum):
    """The kinds of refusal that cross the bus; the same as `drivers.errors`, and UNKNOWN for a defect of ours."""

    NOT_FOUND = "not_found"
    CONFLICT = "conflict"
    REJECTED = "rejected"
    UNSUPPORTED = "unsupported"
    UNAVAILABLE = "unavailable"
    TIMED_OUT = "timed_out"
    UNKNOWN = "unknown"


class Refused(Exception):
    """A question was not answered; `public` is fit for the user's eyes."""

    def __init__(self, why: Why, public: str) -> None:
        super().__init__(public)
        self.why = why
        self.public = public


class Bus(Protocol):
    """What every bus can do.

    nudge: tells whoever works on `queue` to look into the database now. Never raises, never waits.
    listen: `wake` is called, from any thread, after each nudge of `queue`; it must return at once.
    answer: offers the answers of `host`, by the name of the question.
    ask: the answer of `host` within `seconds`; raises Refused (UNAVAILABLE: nobody there; TIMED_OUT).
    """

    def nudge(self, queue: str) -> None: ...
    def listen(self, queue: str, wake: Callable[[], None]) -> None: ...
    def answer(self, host: str, answers: Mapping[str, Answer]) -> None: ...
    def ask(
        self, host: str, question: str, arguments: Mapping[str, Any], seconds: float
    ) -> Any: ...
