"""The conductor: works on the queue of no host, and keeps house in the journal."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field, replace
from datetime import timedelta

from zun.bus import Bus
from zun.conductor.watch import HostWatch, WatchSettings
from zun.model.operation import CONDUCTOR_QUEUE
from zun.service.intents import Intents
from zun.service.once import KEPT
from zun.store import bound_execs, history, idempotency, sessions, tickets
from zun.store.errors import DatabaseError
from zun.work.context import Env
from zun.work.metrics import WorkMetrics
from zun.work.runner import Checkpoint, Claimant, Runner, RunnerSettings, take_back_expired

LOG = logging.getLogger(__name__)

_EXPIRE_AT_ONCE = 1000

#: Operations claimed besides those worked on. Each is placed in milliseconds; who dies gives them up with its leases.
_AHEAD = 16

#: How long what is known of a spent token is kept: for a refusal that says what is wrong, and for whose an exec was.
_SPENT = timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class ConductorSettings:
    """Seconds between rounds of housekeeping; days the event history is kept."""

    round: float = 30.0
    history_days: int = 30
    watch: WatchSettings = field(default_factory=WatchSettings)
    runner: RunnerSettings = field(default_factory=RunnerSettings)


class Conductor:
    """See the module. Any number may run at once: every write is compare-and-set."""

    def __init__(
        self,
        env: Env,
        bus: Bus,
        claimant: Claimant,
        settings: ConductorSettings,
        metrics: WorkMetrics,
        checkpoint: Checkpoint = lambda name: None,
        *,
        intents: Intents,
    ) -> None:
        self.watch = HostWatch(env, bus, intents, settings.watch, metrics, checkpoint)
        self._env = env
        self._bus = bus
        self._settings = settings
        self._metrics = metrics
        self._runner = Runner(
            queue=CONDUCTOR_QUEUE,
            claimant=claimant,
            env=env,
            bus=bus,
            settings=replace(settings.runner, ahead=_AHEAD),
            metrics=metrics,
            checkpoint=checkpoint,
        )
        self._stopping = threading.Event()
        self._keeper = threading.Thread(target=self._keep_house, name="conductor-house")

    def start(self) -> None:
        """Begins."""
        self._look_around()
        self._runner.start()
        self._keeper.start()
        self.watch.start()

    def _look_around(self) -> None:
        placement = self._env.placement
        if placement is None:
            return
        try:
            self._env.db.look(lambda conn: placement.warm(conn, self._env.clock()))
        except Exception as exc:
            # Whoever is placed first tries again, and says what is wrong.
            LOG.warning("the hosts can't be read yet: %s: %s", type(exc).__name__, exc)

    def stop(self, seconds: float) -> bool:
        """Ends within `seconds`; whether all steps in flight had ended by then."""
        self._stopping.set()
        self.watch.stop()
        ended = self._runner.stop(seconds)
        if self._keeper.ident is not None:
            self._keeper.join(5)
        return ended

    def probe(self) -> str:
        """For the health report: raises where a part of it has died."""
        if not (self._runner.alive and self._keeper.is_alive() and self.watch.alive):
            raise RuntimeError("a thread of the conductor has ended; see the log")
        return "working"

    def _keep_house(self) -> None:
        while not self._stopping.wait(self._settings.round):
            try:
                take_back_expired(self._env.db, self._env, self._bus, self._metrics)
                self._forget_history()
            except DatabaseError as exc:
                LOG.warning("a round of housekeeping is put off: %s", exc)
            except Exception:
                LOG.exception("a round of housekeeping failed")

    def _forget_history(self) -> None:
        now, db = self._env.clock(), self._env.db
        db.run(lambda conn: idempotency.expire(conn, now - KEPT, _EXPIRE_AT_ONCE), twice=True)
        db.run(lambda conn: sessions.expire(conn, now - _SPENT), twice=True)
        db.run(lambda conn: bound_execs.expire(conn, now - _SPENT), twice=True)
        db.run(lambda conn: tickets.expire(conn, now), twice=True)
        before = now - timedelta(days=self._settings.history_days)
        gone = db.run(
            lambda conn: history.remove(conn, "events", before, _EXPIRE_AT_ONCE), twice=True
        )
        if gone:
            LOG.info("%d events older than %d days were removed", gone, self._settings.history_days)
