"""Tells in the database that this process runs, and which release it is: what an upgrade has to know."""

from __future__ import annotations

import logging
import threading
from dataclasses import replace
from datetime import timedelta

from zun.model.process import Process
from zun.store import processes
from zun.store.database import Database
from zun.work.clock import Clock

LOG = logging.getLogger(__name__)

#: Seconds between two signs of life. Nobody waits for them: hosts have heartbeats of their own.
BEAT = 120.0
#: Without a sign of life for this long a process is taken to have ended.
LATELY = timedelta(seconds=3 * BEAT)
_KEPT = timedelta(days=1)


class Presence:
    """Of `me`, between `start` and `stop`."""

    def __init__(self, db: Database, clock: Clock, me: Process) -> None:
        self._db = db
        self._clock = clock
        self._me = me
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._keep, name="presence", daemon=True)

    def start(self) -> None:
        """Begins. Raises what the database raises: without it nothing can begin."""
        self._beat()
        with self._db.write(durable=False) as conn:
            processes.expire(conn, self._clock() - _KEPT)
        self._thread.start()

    def stop(self) -> None:
        """Ends; the row goes, if the database is there to be asked."""
        self._stopping.set()
        if self._thread.ident is None:
            return
        self._thread.join(5)
        try:
            with self._db.write(durable=False) as conn:
                processes.forget(conn, self._me.name)
        except Exception as exc:
            LOG.info("the end of this process is not recorded: %s", exc)

    def _beat(self) -> None:
        with self._db.write(durable=False) as conn:
            processes.record(conn, replace(self._me, seen_at=self._clock()))

    def _keep(self) -> None:
        while not self._stopping.wait(BEAT):
            try:
                self._beat()
            except Exception as exc:
                LOG.warning("this process can't say that it runs: %s", exc)
