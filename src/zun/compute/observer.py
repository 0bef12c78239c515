"""Keeps the rows of this host true to its engine.

An event says where to look; what is seen on looking is the truth. After any gap in the events, and every few minutes, a
listing of the whole host finds what no event told. A container with an open operation is left to it, and looked at
once more when it ends, if something happened meanwhile.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import timedelta

from sqlalchemy.engine import Connection

from zun.compute.capsules import CapsuleWatch
from zun.drivers.deadline import Deadline
from zun.drivers.errors import DriverError
from zun.drivers.runtime import Facts
from zun.model import lifecycle
from zun.model.container import STARTED_AGAIN, Container
from zun.model.lifecycle import Action, Observed, Status
from zun.model.names import new_uuid
from zun.model.operation import Operation
from zun.service.errors import Conflict, ServiceError
from zun.service.intents import Asker, Intents
from zun.store import containers, operations
from zun.store.errors import DatabaseError
from zun.work import facts as seen
from zun.work.context import Env
from zun.work.metrics import WorkMetrics

LOG = logging.getLogger(__name__)

_LOOK_TIME = 10.0  # seconds for one look
_LOOK_AGAIN = 1.0
_LIST_TIME = 60.0

#: One that ended before it lived so long is started again only after as long a pause.
_LIVED = timedelta(seconds=10)

#: Between the death and the end of one that is removed by force.
_JUST_DIED = timedelta(seconds=10)

_ALIVE = frozenset({Status.RUNNING, Status.PAUSED, Status.RESTARTING})


@dataclass(frozen=True, slots=True, kw_only=True)
class ObserverSettings:
    """Seconds between listings (each varied by a fifth); how many looks at once."""

    listing_interval: float = 300.0
    lookers: int = 2


class Observer:
    """Watches until stopped. `listed` is told the facts of each listing (for the reaper).

    `may_write` is asked before anything comes of a look, and in the transaction that writes it down. `ran` is told when
    a container was written down as running.
    """

    def __init__(
        self,
        env: Env,
        intents: Intents,
        settings: ObserverSettings,
        metrics: WorkMetrics,
        listed: Callable[[list[Facts]], None] = lambda facts: None,
        may_write: Callable[[Connection], bool] = lambda conn: True,
        ran: Callable[[], None] = lambda: None,
    ) -> None:
        self._env = env
        self._means = env.on_host()
        self._intents = intents
        self._settings = settings
        self._metrics = metrics
        self._listed = listed
        self._capsules = CapsuleWatch(env, intents, metrics, may_write)
        self._may_write = may_write
        self._told_of_runs = ran
        self.started = False
        self._work = threading.Condition()
        self._pending: dict[str, None] = {}  # a set that keeps its order
        self._looking: set[str] = set()
        self._deferred: set[str] = set()
        self._unlisted: set[str] = set()  # of ours, what the last listing left out
        self._listing_due = False
        self._gap = False
        self._stopping = threading.Event()
        self.synced = threading.Event()  # set after the first listing
        self._threads = [
            threading.Thread(target=self._watch, name="observer-events"),
            threading.Thread(target=self._tick, name="observer-tick"),
            threading.Thread(target=self._list_when_due, name="observer-list"),
            *(
                threading.Thread(target=self._look_when_told, name=f"observer-look-{n}")
                for n in range(settings.lookers)
            ),
        ]

    def start(self) -> None:
        """Begins to watch; the first thing is a listing."""
        self.started = True
        for thread in self._threads:
            thread.start()

    def stop(self, seconds: float = 5.0) -> None:
        """Ends watching, within `seconds`. The runtime's event stream must be closed by its owner."""
        until = time.monotonic() + seconds
        self._stopping.set()
        with self._work:
            self._work.notify_all()
        self._means.runtime.close()
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(max(until - time.monotonic(), 0))

    @property
    def alive(self) -> bool:
        """Whether all its threads run."""
        return all(thread.is_alive() for thread in self._threads)

    @property
    def unlisted(self) -> frozenset[str]:
        """What of this host's the last listing left out, until it is looked at and listed, or gone."""
        with self._work:
            return frozenset(self._unlisted)

    def look_at(self, uuid: str) -> None:
        """Has a container looked at soon; asking twice before that is one look."""
        with self._work:
            self._pending[uuid] = None
            self._work.notify_all()

    def look_at_all(self, *, gap: bool = False) -> None:
        """Has the whole host listed soon; after a `gap` in the events a listing alone is not believed."""
        with self._work:
            self._listing_due = True
            self._gap = self._gap or gap
            self._work.notify_all()

    def operation_closed(self, operation: Operation) -> None:
        """Looks again at a container of which something was heard while the operation had it."""
        uuid = operation.container_uuid
        with self._work:
            heard = uuid in self._deferred
            self._deferred.discard(uuid)
        if heard:
            self.look_at(uuid)

    # ---- the threads

    def _watch(self) -> None:
        for hint in self._means.runtime.events():
            if hint.gap:
                self._metrics.gaps.inc()
                self.look_at_all(gap=True)
            elif hint.uuid is not None:
                self.look_at(hint.uuid)

    def _tick(self) -> None:
        interval = self._settings.listing_interval
        while not self._stopping.wait(interval * random.uniform(0.8, 1.2)):
            self.look_at_all()

    def _look_when_told(self) -> None:
        while True:
            with self._work:
                self._work.wait_for(lambda: self._next() or self._stopping.is_set())
                uuid = self._next()
                if uuid is None or self._stopping.is_set():
                    return
                del self._pending[uuid]
                self._looking.add(uuid)
            try:
                self._look(uuid)
                self._relist(uuid)
            except DatabaseError as exc:
                LOG.warning("what container %s is can't be written: %s", uuid, exc)
                if not self._stopping.wait(_LOOK_AGAIN):
                    self.look_at(uuid)
            except DriverError as exc:
                LOG.info("container %s can't be looked at: %s", uuid, exc)
                if exc.retryable and not self._stopping.wait(_LOOK_AGAIN):
                    self.look_at(uuid)  # no other event may come of what this one told
            except Exception:
                LOG.exception("looking at container %s failed", uuid)
            finally:
                with self._work:
                    self._looking.discard(uuid)
                    self._work.notify_all()

    def _next(self) -> str | None:
        # Nobody else's: of two looks at once, the older could be written last.
        return next((uuid for uuid in self._pending if uuid not in self._looking), None)

    def _list_when_due(self) -> None:
        while True:
            with self._work:
                self._work.wait_for(lambda: self._listing_due or self._stopping.is_set())
                if self._stopping.is_set():
                    return
                self._listing_due, gap, self._gap = False, self._gap, False
            try:
                self._list(gap)
                self.synced.set()
            except (DriverError, DatabaseError) as exc:
                LOG.warning("the engine can't be listed: %s", exc)
                if not self._stopping.wait(1.0):
                    self.look_at_all(gap=gap)
            except Exception:
                LOG.exception("listing the engine failed")

    # ---- looking

    def _list(self, gap: bool) -> None:
        found = list(self._means.runtime.list(self._means.host_id, Deadline(_LIST_TIME)))
        by_uuid = {facts.uuid: facts for facts in found}
        with self._env.db.read() as conn:
            rows = containers.on_host(conn, self._means.host)
        # A listing does not show that one died and came back, nor its health.
        doubtful = [
            row.uuid
            for row in rows
            if (gap and row.status in _ALIVE) or _worth_a_look(row, by_uuid.get(row.uuid))
        ]
        doubtful += self._capsules.doubtful(by_uuid)
        with self._work:
            self._unlisted = {uuid for uuid in doubtful if uuid not in by_uuid}
        for uuid in doubtful:
            self.look_at(uuid)
        self._listed(found)

    def _look(self, uuid: str) -> None:
        with self._env.db.read() as conn:
            row = containers.get(conn, uuid)
            mine = self._may_write(conn)
        if not mine:
            return
        if row is None:
            self._look_at_capsule(uuid)
            return
        if row.capsule_uuid is not None:
            self.look_at(
                row.capsule_uuid
            )  # all of it in one look: no two may be written in the wrong order
            return
        if row.host != self._means.host:
            return
        if row.open_action is not None and self._defer(uuid):
            return
        facts = self._means.runtime.inspect(uuid, Deadline(_LOOK_TIME))
        self._apply(row, facts)

    def _relist(self, uuid: str) -> None:
        """Has the engine list what it has and left out: by the list alone it is found when it has to go."""
        if uuid not in self._unlisted:
            return
        runtime, deadline = self._means.runtime, Deadline(_LOOK_TIME)
        if runtime.inspect(uuid, deadline).observed is not Observed.MISSING:
            LOG.warning("the engine has container %s and does not list it: it is made to", uuid)
            runtime.relist(uuid, deadline)
            self._metrics.relisted.inc()
        with self._work:
            self._unlisted.discard(uuid)

    def _look_at_capsule(self, uuid: str) -> None:
        """What is known by this uuid is a sandbox, if it is anything."""
        row = self._capsules.row(uuid)
        if row is None:
            return
        if row.open_action is not None and self._defer(uuid):
            self._intents.wake(uuid)  # this may be what the operation waits for
            return
        if not self._capsules.look(row, Deadline(_LOOK_TIME)):
            self.look_at(uuid)

    def _defer(self, uuid: str) -> bool:
        """Leaves a container or a capsule to its open operation; False if that has ended in between."""
        with self._work:
            self._deferred.add(uuid)
        with self._env.db.read() as conn:
            row = containers.get(conn, uuid) or self._capsules.row(uuid)
        if row is None or row.open_action is not None:
            return True
        with self._work:
            self._deferred.discard(uuid)
        return False

    def _apply(self, row: Container, facts: Facts) -> None:
        if self._heal(row, facts) or self._start_again(row, facts):
            return
        status = lifecycle.observe(row.status, facts.observed, auto_remove=row.auto_remove)
        changes = dict(seen.columns(row, status, facts))
        reason = seen.reason(row, status, facts)
        # Why an operation failed stays until something new is seen; that it left a stopped container is not news.
        stays = (
            status is Status.ERROR
            or (row.status is Status.ERROR and status is Status.STOPPED)
            or not seen.differs(row, changes)
        )
        known = row.status is status is Status.ERROR and row.status_reason is not None
        if not known and (reason is not None or not stays):
            changes["status_reason"] = reason
        news = row.status not in lifecycle.IN_TRANSIT and seen.differs(row, changes)
        if news and not self._write(row, status, changes):
            self.look_at(row.uuid)  # somebody wrote in between: look again
            return
        if row.auto_remove and _is_over(status, facts):
            LOG.info("container %s ended and is removed, as its user asked", row.uuid)
            self._intents.delete(_itself(row), row.uuid, {"force": True}, None)

    def _write(self, row: Container, status: Status, changes: dict[str, object]) -> bool:
        now = self._env.clock()

        def write(conn: Connection) -> bool:
            if not self._may_write(conn):
                return True  # another host's by now, perhaps: nothing to look at again
            if not containers.update_if_idle(
                conn, row.uuid, self._means.host, row.status, now, **changes
            ):
                return False
            detail = {
                "status": status,
                "status_before": row.status,
                "exit_code": changes.get("exit_code"),
                "status_reason": changes.get("status_reason"),
            }
            operations.tell_observed(conn, row.uuid, row.project_id, now, detail)
            return True

        if not self._env.db.run(write):
            return False
        if status is Status.RUNNING:
            self._told_of_runs()
        if status is not row.status:
            LOG.info("container %s is %s (was %s)", row.uuid, status, row.status)
            self._metrics.observed.labels(status).inc()
        return True

    def _heal(self, row: Container, facts: Facts) -> bool:
        """Opens what `auto_heal` promises: a rebuild of one that vanished, a reboot of an unhealthy one."""
        if not row.auto_heal or row.status in lifecycle.IN_TRANSIT:
            return False
        vanished = facts.observed is Observed.MISSING and row.status is not Status.ERROR
        ill = facts.observed is Observed.RUNNING and facts.health == "unhealthy"
        if not (vanished or ill):
            return False
        action = Action.REBUILD if vanished else Action.REBOOT
        params = {"force": True, "start": self._ran(row)} if vanished else {}
        LOG.info("container %s is healed by a %s", row.uuid, action)
        try:
            self._act(row, action, params)
        except ServiceError as exc:
            LOG.info("container %s can't be healed now: %s", row.uuid, exc)
            if not self._defer(row.uuid):
                self.look_at(row.uuid)
        return True

    def _start_again(self, row: Container, facts: Facts) -> bool:
        """Does for movable ones what their restart policy promises and the engine is not asked for (steps.runtime)."""
        policy = (row.restart_policy or {}).get("Name")
        if not row.movable or policy not in STARTED_AGAIN or facts.observed is not Observed.EXITED:
            return False
        if (row.lost_status or row.status) not in _ALIVE:
            return False
        now = self._env.clock()
        lived = now - facts.started_at if facts.started_at else _LIVED
        delay = 0.0 if lived >= _LIVED else _LIVED.total_seconds()
        LOG.info("container %s is started again in %g s, as its policy says", row.uuid, delay)
        try:
            self._act(row, Action.REBOOT, {}, delay=delay)
        except ServiceError as exc:
            LOG.info("container %s can't be started again now: %s", row.uuid, exc)
            if not self._defer(row.uuid):
                self.look_at(row.uuid)
        return True

    def _act(
        self, row: Container, action: Action, params: Mapping[str, object], delay: float = 0.0
    ) -> None:
        """Opens what a look calls for. Raises ServiceError, also where the row is not as it was then: a whole stop may
        have been asked for and done since."""

        def as_it_was(conn: Connection, now: Container) -> None:
            then = (row.status, row.host, row.container_id)
            if (now.status, now.host, now.container_id) != then or not self._may_write(conn):
                raise Conflict(f"Container {row.uuid} is not what it was when it was looked at.")

        self._intents.act(
            _itself(row), row.uuid, action, params, guarded=False, delay=delay, admit=as_it_was
        )

    def _ran(self, row: Container) -> bool:
        """Whether one that vanished ran until then.

        A removal by force kills it first, which may be seen as a death of its own; unless its user ended it.
        """
        if (row.lost_status or row.status) in _ALIVE:
            return True
        if row.status is not Status.STOPPED or row.finished_at is None:
            return False
        if self._env.clock() - row.finished_at > _JUST_DIED:
            return False
        with self._env.db.read() as conn:
            asked = operations.of_container(conn, row.uuid)
        return not asked or asked[0].action not in (Action.STOP, Action.KILL)


def _worth_a_look(row: Container, facts: Facts | None) -> bool:
    """Whether a listing leaves a doubt about a row."""
    if facts is None:
        # Deleted is what the observer writes before it opens the delete: there may have been no time for that.
        unfinished = row.auto_remove and row.status is Status.DELETED
        known = row.status is Status.ERROR or row.status in lifecycle.IN_TRANSIT
        return unfinished or not known
    status = lifecycle.observe(row.status, facts.observed, auto_remove=row.auto_remove)
    unfinished = (row.auto_remove and _is_over(row.status, facts)) or (
        row.auto_heal and row.health == "unhealthy"
    )
    return status is not row.status or unfinished


def _is_over(status: Status, facts: Facts) -> bool:
    """Whether a container has run and ended, or is gone: what `auto_remove` waits for."""
    return status is Status.DELETED or (
        status is Status.STOPPED and facts.observed in (Observed.EXITED, Observed.REMOVING)
    )


def _itself(row: Container) -> Asker:
    """The service as asker: under the user's name, with a request id of its own."""
    return Asker(user_id=row.user_id, request_id=f"req-{new_uuid()}")
