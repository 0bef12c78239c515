"""The engine's events about our containers, as hints."""

from __future__ import annotations

import json
import logging
import threading
import time
from collections.abc import Iterator

from zun.drivers import errors
from zun.drivers.docker.client import Engine, Stream
from zun.drivers.runtime import Hint
from zun.model.names import LABEL_UUID

log = logging.getLogger(__name__)

FIRST_PAUSE = 0.1
LONGEST_PAUSE = 5.0

#: What the engine is asked for. Not exec_*: a health check makes three a round. "health_status" covers all its values.
ACTIONS = (
    "create", "destroy", "die", "health_status", "oom", "pause", "rename", "restart", "start", "stop", "unpause",
)  # fmt: skip


class EventStream:
    """One subscription at a time; `close` ends it for good, from any thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._stream: Stream | None = None

    def hints(self) -> Iterator[Hint]:
        """See `Runtime.events`. The hint with `gap` comes once the engine has our subscription."""
        pause = FIRST_PAUSE
        while not self._closed.is_set():
            try:
                for hint in self._subscribed():
                    pause = FIRST_PAUSE
                    yield hint
            except errors.DriverError as e:
                log.debug("no events from the container engine: %s", e.public)
            except Exception:
                # A defect of ours, or an engine gone mad: the observer must not go blind for it.
                if not self._closed.is_set():
                    log.exception("the events of the container engine could not be read")
            if self._closed.is_set():
                return
            # The engine may come back as another one: its version is negotiated again.
            self._engine.reset()
            self._closed.wait(pause)
            pause = min(2 * pause, LONGEST_PAUSE)

    def _subscribed(self) -> Iterator[Hint]:
        filters = json.dumps({"type": ["container"], "label": [LABEL_UUID], "event": list(ACTIONS)})
        # The engine answers a moment before it subscribes us; `since` has it replay what falls into that moment.
        params = {"filters": filters, "since": f"{time.time():.9f}"}
        with (
            self._engine.call("watch the containers") as client,
            client.open("GET", "/events", params=params) as stream,
        ):
            stream.timeout(None)
            with self._lock:
                self._stream = stream
            if self._closed.is_set():
                return
            yield Hint(uuid=None, gap=True)
            for event in stream.lines():
                attributes = event.get("Actor", {}).get("Attributes") or {}
                if uuid := attributes.get(LABEL_UUID):
                    yield Hint(uuid=uuid)

    def close(self) -> None:
        """Ends `hints` at once, also one that is blocked or waits for the engine to come back."""
        self._closed.set()
        with self._lock:
            stream = self._stream
        if stream is not None:
            stream.end()
