"""Sends nudges from a thread of its own: who nudges never waits, whatever the message queue does."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable

from zun.bus.metrics import BusMetrics

LOG = logging.getLogger(__name__)

#: Queues that may wait to be nudged. There are as many as hosts that were given work in one moment.
_WAITING = 1000
#: Seconds between two tries while the message queue is down, and between two signs of life while all is quiet.
_RETRY, _QUIET = 1.0, 15.0
#: Seconds after which a message that is still being handed over means that nobody takes it.
_STUCK = 5.0

#: What is sent when there is nothing to send, to see whether anybody takes it.
PROBE = "@probe"


class Publisher:
    """`send` hands one nudge to the message queue, by the name of our queue; it raises where that fails."""

    def __init__(
        self,
        send: Callable[[str], None],
        metrics: BusMetrics,
        *,
        retry: float = _RETRY,
        quiet: float = _QUIET,
        stuck: float = _STUCK,
    ) -> None:
        self._send = send
        self._metrics = metrics
        self._retry, self._quiet, self._stuck = retry, quiet, stuck
        self._changed = threading.Condition()
        self._waiting: dict[str, None] = {}
        self._stopping = False
        self._up = False
        self._sending_since: float | None = None
        self._failed = ""
        self._thread = threading.Thread(target=self._run, name="bus-nudges", daemon=True)
        metrics.watch(lambda: self.connected)

    def start(self) -> None:
        """Begins; until the first message is taken, nothing counts as connected."""
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """Sends what still waits if it can be sent, and ends within `seconds`."""
        with self._changed:
            self._stopping = True
            self._changed.notify_all()
        if self._thread.ident is not None:
            self._thread.join(seconds)

    @property
    def connected(self) -> bool:
        """Whether what was sent last was taken, and what is being sent now is not stuck."""
        since = self._sending_since
        return self._up and (since is None or time.monotonic() - since < self._stuck)

    @property
    def failure(self) -> str:
        """Why it is not connected; empty where it is."""
        return "" if self.connected else self._failed or "not connected yet"

    def failed(self, why: str) -> None:
        """Somebody else found the message queue down."""
        with self._changed:
            self._down(why)
            self._changed.notify_all()

    def nudge(self, queue: str) -> None:
        """Has `queue` nudged soon; dropped where too many wait."""
        with self._changed:
            if queue in self._waiting:
                self._metrics.nudges.labels("joined").inc()
                return
            if len(self._waiting) >= _WAITING or self._stopping:
                self._metrics.nudges.labels("dropped").inc()
                return
            self._waiting[queue] = None
            self._changed.notify_all()

    def _run(self) -> None:
        while (queue := self._next()) is not None:
            self._sending_since = time.monotonic()
            try:
                self._send(queue)
            except Exception as exc:
                LOG.debug("a nudge was not sent", exc_info=True)
                with self._changed:
                    self._down(f"{type(exc).__name__}: {exc}")
                    if queue != PROBE:
                        self._waiting.setdefault(queue)
            else:
                self._sent(queue)
            finally:
                self._sending_since = None

    def _next(self) -> str | None:
        """The queue to nudge now, once there is one or it is time for a sign of life; None at the end."""
        with self._changed:
            if not self._up:
                self._changed.wait_for(lambda: self._stopping, self._retry if self._failed else 0)
            else:
                self._changed.wait_for(
                    lambda: self._stopping or self._waiting or not self._up, self._quiet
                )
            if self._stopping and not (self._up and self._waiting):
                return None
            if not self._waiting:
                return PROBE
            queue = next(iter(self._waiting))
            # Taken out first: a nudge that comes while this one is sent is one more.
            del self._waiting[queue]
            return queue

    def _sent(self, queue: str) -> None:
        if queue != PROBE:
            self._metrics.nudges.labels("sent").inc()
        with self._changed:
            if not self._up:
                LOG.info("the message queue takes messages")
            self._up, self._failed = True, ""

    def _down(self, why: str) -> None:
        if self._up or not self._failed:
            LOG.warning("the message queue takes no messages, work is found by looking: %s", why)
        self._up, self._failed = False, why
