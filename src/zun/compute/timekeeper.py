"""Stops containers whose time is over (`max_run_time`).

When that is, follows from the row: the start, and for how many seconds. Nothing is kept here, so a restart of the agent
loses nothing; what should have been stopped meanwhile is stopped at once. Between two rounds it sleeps until the next
is due: whoever writes that a container of this host runs wakes it, so that hosts that do nothing ask nothing.
"""

from __future__ import annotations

import logging
import threading
from datetime import timedelta

from zun.model.lifecycle import Action
from zun.model.names import new_uuid
from zun.service.errors import ServiceError
from zun.service.intents import Asker, Intents
from zun.store import containers
from zun.store.errors import DatabaseError
from zun.work.context import Env

LOG = logging.getLogger(__name__)

_SOONEST = 0.05  # seconds between two rounds
_AGAIN = 1.0  # the same, where something is due that can't be stopped yet
#: The same, where nothing is: that it is woken makes it fast, this makes it certain.
SELDOM = 60.0


class Timekeeper:
    """Of one host; a thread of its own between `start` and `stop`."""

    def __init__(self, env: Env, intents: Intents) -> None:
        self._env = env
        self._host = env.on_host().host
        self._intents = intents
        self._stopping = threading.Event()
        self._wake = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="timekeeper")

    def start(self) -> None:
        """Begins."""
        self._thread.start()

    def stop(self, seconds: float = 5.0) -> None:
        """Ends, within `seconds`."""
        self._stopping.set()
        self._wake.set()
        if self._thread.ident is not None:
            self._thread.join(seconds)

    def wake(self) -> None:
        """Has it look at once: a container may have started."""
        self._wake.set()

    @property
    def alive(self) -> bool:
        """Whether it works."""
        return self._thread.is_alive()

    def _keep(self) -> None:
        pause = 0.0
        while True:
            self._wake.wait(pause)
            self._wake.clear()
            if self._stopping.is_set():
                return
            try:
                pause = self._round()
            except DatabaseError as exc:
                LOG.warning("a round of keeping time is put off: %s", exc)
                pause = _AGAIN
            except Exception:
                LOG.exception("a round of keeping time failed")
                pause = _AGAIN

    def _round(self) -> float:
        """Stops what is due; seconds until the next round."""
        with self._env.db.read() as conn:
            limited = containers.limited(conn, self._host)
        pause, now = SELDOM, self._env.clock()
        for uuid, started, most in limited:
            left = (started + timedelta(seconds=most) - now).total_seconds()
            if left <= 0:
                self._end(uuid, most)
            pause = min(pause, left if left > 0 else _AGAIN)
        return max(pause, _SOONEST)

    def _end(self, uuid: str, most: int) -> None:
        with self._env.db.read() as conn:
            row = containers.get(conn, uuid)
        if row is None or row.open_action is not None:
            return  # whatever is under way goes first; if it still runs afterwards, it is seen again
        asker = Asker(user_id=row.user_id, request_id=f"req-{new_uuid()}")
        try:
            self._intents.act(asker, uuid, Action.STOP, {})
        except ServiceError as exc:
            LOG.info("container %s, whose time is over, can't be stopped now: %s", uuid, exc)
            return
        LOG.info("container %s is stopped: its %d seconds are over", uuid, most)
