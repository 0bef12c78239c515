"""Whether the engine's networks work: an engine may answer a ping while every call that touches a network hangs.

Seen with Docker 20.10, whose network library had locked itself up. Such a host is no place for containers, but what
runs there is as it was: it is not down, it is disabled, with a reason (decision 0019).
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

from prometheus_client import CollectorRegistry, Gauge

from zun.drivers.deadline import Deadline
from zun.drivers.errors import DriverError, TimedOut
from zun.work.context import Means

LOG = logging.getLogger(__name__)

#: Seconds for a listing of the networks: it takes a millisecond, and 15 ms while eight networks are made at a time.
PATIENCE = 10.0
#: Listings in a row that must hang.
_MISSES = 2
#: How many times longer the pause is while they hang, for each that does may stay on in the engine.
_SELDOM = 6

REASON = "the networks of the container engine hang; it may have to be restarted"


class Checkup:
    """Of one host. A thread of its own between `start` and `stop`. `pause`: seconds between two looks."""

    def __init__(
        self, means: Callable[[], Means], pause: float, registry: CollectorRegistry
    ) -> None:
        self._means = means
        self._pause = pause
        self._gauge = Gauge(
            "zun_engine_ill", "1 while a part of the engine hangs although it answers itself, by part.",
            ["part"], registry=registry,
        ).labels("networks")  # fmt: skip
        self._misses = 0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="checkup", daemon=True)
        self.reason: str | None = None  # why the host is no place for containers
        self.answered = False  # whether they have in this life

    def start(self) -> None:
        """Begins."""
        self._thread.start()

    def stop(self) -> None:
        """Ends; one that hangs is left behind."""
        self._stopping.set()

    @property
    def alive(self) -> bool:
        """Whether it works."""
        return self._thread.is_alive()

    def probe(self) -> str:
        """For the health report: raises where they hang."""
        if self.reason is not None:
            raise RuntimeError(self.reason)
        return "answer"

    def _watch(self) -> None:
        while not self._stopping.wait(self._pause * (_SELDOM if self.reason else 1)):
            try:
                self.look()
            except Exception:
                LOG.exception("a look at the engine's networks failed")

    def look(self) -> None:
        """Looks once."""
        means = self._means()
        try:
            means.network.list_networks(Deadline(PATIENCE))
            misses, self.answered = 0, True
        except TimedOut:
            misses = self._misses + 1
        except DriverError:
            return  # it does not answer at all, or is another now: the heart's business
        if misses >= _MISSES and self.reason is None:
            try:
                means.runtime.ping()
            except DriverError:
                return  # not only its networks
            self.reason = REASON
            LOG.error("host %s is no place for containers: %s", means.host, REASON)
        elif not misses and self.reason is not None:
            self.reason = None
            LOG.warning("the networks of host %s answer again", means.host)
        self._misses = misses
        self._gauge.set(self.reason is not None)
