"""In which order events may be told, when rows do not become visible in the order of their ids.

Databases with several writers give out ids before they commit: a reader may see 12 while 11 is still to come. Whoever
told 12 and remembered "12" as its cursor would never tell 11. So nothing beyond a hole is told until the hole is
filled, or has been there for longer than any transaction may take (`Database.longest_write`, with a margin for the
commit itself): then its transaction was rolled back, and the id never comes.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence


class Ordered:
    """Where a reader of the events is; `patience`: seconds until a hole is believed to stay (0 = at once)."""

    def __init__(
        self, position: int, patience: float, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self.position = position
        self._patience = patience
        self._monotonic = monotonic
        self._first_seen: dict[int, float] = {}  # ids beyond a hole

    @property
    def holding(self) -> bool:
        """Whether something was seen that may not be told yet."""
        return bool(self._first_seen)

    def accept(self, ids: Sequence[int]) -> int:
        """How many of `ids`, the next ones that are visible, may be told; the position moves behind them."""
        now, expected, accepted = self._monotonic(), self.position + 1, 0
        for ident in ids:
            # Ids below `ident` had been given out when it was first seen: since then the hole has waited.
            if ident != expected and now - self._first_seen.get(ident, now) < self._patience:
                break
            accepted += 1
            expected = ident + 1
        self.position = expected - 1
        self._first_seen = {ident: self._first_seen.get(ident, now) for ident in ids[accepted:]}
        return accepted
