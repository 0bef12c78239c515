"""How a fake is told to misbehave, and what it remembers of having been called."""

from __future__ import annotations

import contextlib
import threading
from collections import defaultdict, deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from zun.drivers.deadline import Deadline
from zun.drivers.errors import TimedOut

FOREVER = (
    60.0  # seconds a Block waits where the call has no deadline; a test that gets there has failed
)


@dataclass(frozen=True, slots=True)
class Fail:
    """The next `times` calls raise `error` and have no effect."""

    error: BaseException
    times: int = 1


@dataclass(frozen=True, slots=True)
class LoseReply:
    """The call takes effect and then raises `error`."""

    error: BaseException | None = None  # None = TimedOut


@dataclass(frozen=True, slots=True)
class Act:
    """`before` and `after` are called around the effect, in the caller's thread; what they raise comes out."""

    before: Callable[[], object] | None = None
    after: Callable[[], object] | None = None


@dataclass(frozen=True, slots=True)
class Block:
    """The call waits for `event` (until the deadline: TimedOut, no effect) and goes on as `then` says.

    `entered` is set once the call waits.
    """

    event: threading.Event
    then: Fail | LoseReply | Act | None = None
    entered: threading.Event | None = None


Item = Fail | LoseReply | Act | Block


@dataclass(frozen=True, slots=True)
class Call:
    """One call of a fake: `key` is the uuid or reference it was about, None if about none."""

    verb: str
    key: str | None
    args: Sequence[Any] = ()


class Scripted:
    """Base of the fakes: a script a verb, the record of calls, and the lock that guards the fake's state."""

    def __init__(self, lock: threading.RLock | None = None) -> None:
        self.calls: list[Call] = []
        # Fakes that ask one another share one lock, so that none can wait for the other.
        self.lock = self._lock = lock or threading.RLock()
        self._scripts: defaultdict[str, deque[Item]] = defaultdict(deque)

    def script(self, verb: str, *items: Item) -> None:
        """Adds what the next calls of `verb` shall do, one item a call."""
        with self._lock:
            for item in items:
                if isinstance(item, Fail):
                    self._scripts[verb].extend([Fail(item.error)] * item.times)
                else:
                    self._scripts[verb].append(item)

    def unscript(self) -> None:
        """Drops what is left of all scripts."""
        with self._lock:
            self._scripts.clear()

    def called(self, verb: str, key: str | None = None) -> int:
        """How often `verb` was called (for `key`)."""
        with self._lock:
            return sum(c.verb == verb and key in (None, c.key) for c in self.calls)

    @contextlib.contextmanager
    def _call(
        self, verb: str, key: str | None, deadline: Deadline | None, *args: Any
    ) -> Iterator[None]:
        """Around the effect of a call; the effect takes place under the fake's lock."""
        with self._lock:
            self.calls.append(Call(verb, key, args))
            script = self._scripts[verb]
            item = script.popleft() if script else None
        if isinstance(item, Block):
            _wait(item, deadline)
            item = item.then
        if isinstance(item, Fail):
            raise item.error
        if isinstance(item, Act) and item.before:
            item.before()
        if deadline is not None:
            deadline.left()
        with self._lock:
            yield
        if isinstance(item, LoseReply):
            raise item.error or TimedOut("the fake lost its reply")
        if isinstance(item, Act) and item.after:
            item.after()


def _wait(block: Block, deadline: Deadline | None) -> None:
    if block.entered is not None:
        block.entered.set()
    if not block.event.wait(FOREVER if deadline is None else deadline.left(FOREVER)):
        raise TimedOut("the fake was blocked until the deadline")
