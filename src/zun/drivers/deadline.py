"""A deadline that is passed along: how long is left, and whether the caller still wants the answer."""

from __future__ import annotations

import time
from collections.abc import Callable

from zun.drivers.errors import TimedOut


class Deadline:
    """A point of the monotonic clock, in seconds from now, with a floor for socket time-outs."""

    def __init__(
        self,
        seconds: float,
        cancelled: Callable[[], bool] = lambda: False,
        listen: Callable[[Callable[[], None]], None] = lambda call: None,
    ) -> None:
        """`listen` has what it is given called once, from whatever thread, when `cancelled` becomes true."""
        self._at = time.monotonic() + seconds
        self._cancelled = cancelled
        self._listen = listen

    def left(self, most: float | None = None) -> float:
        """Seconds left, at most `most`. Raises TimedOut when none are."""
        left = self._at - time.monotonic()
        if left <= 0:
            raise TimedOut("the deadline of the operation has passed")
        return left if most is None else min(left, most)

    def cancelled(self) -> bool:
        """Whether the one who asked no longer wants the result; long work looks at it from time to time."""
        return self._cancelled()

    def when_cancelled(self, call: Callable[[], None]) -> None:
        """Has `call` called once nobody wants the result any more, where the caller can tell; for what blocks."""
        self._listen(call)
