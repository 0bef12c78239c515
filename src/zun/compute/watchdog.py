"""Stops what may be moved once this host has been out of touch for too long: by then others may take it for theirs.

A conductor makes a movable container anew elsewhere only well after this has happened here (decision 0020). Which ones
are movable is written on the engine, so this needs nothing that could be out of reach.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor

from zun.drivers.deadline import Deadline
from zun.drivers.errors import DriverError
from zun.drivers.runtime import Facts
from zun.model.lifecycle import Observed
from zun.work.context import Means
from zun.work.metrics import WorkMetrics

LOG = logging.getLogger(__name__)

_UP = frozenset({Observed.RUNNING, Observed.PAUSED, Observed.RESTARTING})
_GRACE = 1  # seconds a container has to end by itself
_TIME = 20.0  # for one stop
_AT_ONCE = 8


def moment() -> float:
    """Seconds that go on while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Watchdog:
    """Of one host. `after`: seconds without a renewal, None = never. A thread of its own between `start` and `stop`.

    `unlisted`: what the engine is known to have and not to list.
    """

    def __init__(
        self,
        means: Callable[[], Means],
        after: float | None,
        metrics: WorkMetrics,
        unlisted: Callable[[], Iterable[str]] = lambda: (),
        clock: Callable[[], float] = moment,
    ) -> None:
        self._means = means
        self._after = after
        self._metrics = metrics
        self._unlisted = unlisted
        self._clock = clock
        self._renewed = clock()
        self._told = False
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="watchdog")

    def start(self) -> None:
        """Begins, in touch."""
        self._renewed = self._clock()
        if self._after is not None:
            self._thread.start()

    def stop(self, seconds: float = 5.0) -> None:
        """Ends, within `seconds`."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(seconds)

    def now(self) -> float:
        """The moment, for `renew`."""
        return self._clock()

    def renew(self, at: float) -> None:
        """The database has heard of us; `at`: the moment before it was told, for it may have taken long."""
        if self._told and self._clock() - at <= (self._after or 0):
            LOG.warning("the host is in touch again")
            self._told = False
        self._renewed = max(self._renewed, at)

    def lapsed(self) -> bool:
        """Whether it has been out of touch for too long."""
        return self._after is not None and self._clock() - self._renewed > self._after

    def _watch(self) -> None:
        assert self._after is not None
        pause = min(1.0, self._after / 10)
        while not self._stopping.wait(pause):
            if self.lapsed():
                try:
                    self.isolate()
                except DriverError as exc:
                    LOG.critical(
                        "what may be moved can't be stopped, and may come to run twice: %s", exc
                    )
                except Exception:
                    LOG.exception("the watchdog failed; it tries again")

    def isolate(self) -> None:
        """Stops every movable container that runs. Raises DriverError."""
        means = self._means()
        found = {f.uuid: f for f in means.runtime.list(means.host_id, Deadline(_TIME))}
        for uuid in self._unlisted():
            if uuid not in found:
                found[uuid] = means.runtime.inspect(uuid, Deadline(_TIME))
        up = [facts for facts in found.values() if facts.movable and facts.observed in _UP]
        if not self._told:
            LOG.critical(
                "out of touch with the database for more than %g s: %d containers that may be moved are stopped",
                self._after or 0, len(up),
            )  # fmt: skip
            self._told = True
        if up:
            with ThreadPoolExecutor(_AT_ONCE, thread_name_prefix="isolate") as pool:
                for done in [pool.submit(self._end, facts) for facts in up]:
                    done.result()

    def _end(self, facts: Facts) -> None:
        runtime = self._means().runtime
        runtime.stop(facts.uuid, _GRACE, Deadline(_TIME), runtime_id=facts.runtime_id)
        self._metrics.isolated.inc()
        LOG.warning("container %s was stopped: the host is out of touch", facts.uuid)
