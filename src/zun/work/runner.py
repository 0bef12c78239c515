"""Takes operations from a queue and runs them: claim, do a step, record it, retry, undo, settle.

One runner a queue and process. Who dies at any point loses nothing: what was recorded is done, what was not
is looked at and done again. Every write is compare-and-set on the operation's version, so an older life
of this process, or one whose lease another took, can't write any more.
"""

from __future__ import annotations

import logging
import random
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy.engine import Connection
from sqlalchemy.exc import DBAPIError

from zun.bus import Bus
from zun.drivers.deadline import Deadline
from zun.model.operation import CLAIMED, CLOSED, CONTAINER, EventKind, Operation, OperationState
from zun.store import containers, operations
from zun.store.database import Database
from zun.store.errors import DatabaseError
from zun.work.attempt import Attempt, Outcome
from zun.work.context import Env
from zun.work.metrics import WorkMetrics
from zun.work.subjects import Row

LOG = logging.getLogger(__name__)

_LOOK_AGAIN = 0.5  # seconds

#: Operations at the head of a queue that are passed over at most where others were quicker.
_FURTHEST = 64

Checkpoint = Callable[[str], None]
"""Called by name at the points where a crash is interesting; the crash tests die in it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimant:
    """Who claims: a name that is the same after a restart, and the epoch of this life."""

    name: str
    epoch: int


@dataclass(frozen=True, slots=True, kw_only=True)
class RunnerSettings:
    """`workers` operations at once; seconds of the slow poll that a lost nudge costs; seconds of a lease.

    `ahead`: operations claimed besides, so that one transaction claims several; for a queue whose steps are short.
    """

    workers: int = 4
    ahead: int = 0
    poll: float = 5.0
    lease: float = 60.0


class Runner:
    """Works on one queue until stopped. `closed` is called after each operation that ended.

    `may_claim` is asked in each transaction that takes an operation.
    """

    def __init__(
        self,
        *,
        queue: str,
        claimant: Claimant,
        env: Env,
        bus: Bus,
        settings: RunnerSettings,
        metrics: WorkMetrics,
        closed: Callable[[Operation], None] = lambda operation: None,
        may_claim: Callable[[Connection], bool] = lambda conn: True,
        checkpoint: Checkpoint = lambda name: None,
    ) -> None:
        self._queue = queue
        self._claimant = claimant
        self._env = env
        self._bus = bus
        self._settings = settings
        self._metrics = metrics
        self._closed = closed
        self._may_claim = may_claim
        self._checkpoint = checkpoint
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._mine: set[str] = set()
        self._among = 1  # of how many at the head of the queue one is the first to be claimed
        self._idle = threading.Condition()
        self._pool = ThreadPoolExecutor(settings.workers, thread_name_prefix=f"work-{queue}")
        self._threads = [
            threading.Thread(target=self._dispatch, name=f"dispatch-{queue}"),
            threading.Thread(target=self._renew, name=f"renew-{queue}"),
        ]
        metrics.in_flight.labels(queue).set_function(lambda: float(len(self._mine)))
        bus.listen(queue, self._wake.set)

    # ---- life

    def start(self) -> None:
        """Takes back what an older life of this claimant held, then begins to work."""
        freed = self._env.db.run(
            lambda conn: operations.take_back(
                conn, self._env.clock(), by=self._claimant.name, epoch=self._claimant.epoch
            ),
            twice=True,
        )
        for operation in freed:
            LOG.info("took back %s of %s", operation.action, operation.container_uuid)
        self._metrics.taken_back.inc(len(freed))
        for thread in self._threads:
            thread.start()

    def stop(self, seconds: float) -> bool:
        """Claims nothing more and waits for the steps in flight; whether all ended in time.

        An operation stops at its next step boundary and is left for the next life.
        """
        self._stopping.set()
        self._wake.set()
        with self._idle:
            ended = self._idle.wait_for(lambda: not self._mine, seconds)
        self._pool.shutdown(wait=ended, cancel_futures=True)
        for thread in self._threads:
            if thread.ident is not None:
                thread.join(seconds if ended else 0.1)
        return ended

    @property
    def epoch(self) -> int:
        """Of the life it works for."""
        return self._claimant.epoch

    @property
    def alive(self) -> bool:
        """Whether the threads that take work are running."""
        return all(thread.is_alive() for thread in self._threads)

    # ---- taking work

    def _dispatch(self) -> None:
        while not self._stopping.is_set():
            self._wake.clear()
            try:
                wait = self._take()
            except DatabaseError as exc:
                LOG.warning("queue %s can't be read: %s", self._queue, exc)
                wait = _LOOK_AGAIN
            except Exception:
                LOG.exception("queue %s can't be read; trying again", self._queue)
                wait = self._settings.poll
            self._wake.wait(wait)

    def _take(self) -> float:
        """Claims what may be claimed; the seconds until it is worth looking again."""
        while not self._stopping.is_set():
            workers, ahead = self._settings.workers, self._settings.ahead
            held = len(self._mine)
            free = workers + ahead - held
            if free <= 0 or held > workers + ahead // 4:
                return self._settings.poll
            now = self._env.clock()
            waiting, due = self._env.db.look(partial(self._waiting, now=now, most=free))
            # One whose lease we lost is worked on here until its next write fails: not twice at once.
            with self._idle:
                waiting = [o for o in waiting if o.uuid not in self._mine]
            if not waiting:
                until = (due - now).total_seconds() if due else self._settings.poll
                return min(max(until, 0.01), self._settings.poll)
            lost = self._claim(waiting) < len(waiting)
            self._among = min(2 * self._among, _FURTHEST) if lost else max(self._among - 1, 1)
        return self._settings.poll

    def _waiting(
        self, conn: Connection, *, now: datetime, most: int
    ) -> tuple[Sequence[Operation], datetime | None]:
        """What may be claimed, and if there is nothing, when there will be.

        The oldest; where others have been quicker, some that are further down, for they take the oldest, too.
        """
        past = random.randrange(self._among) * (1 + self._settings.ahead // 2)
        waiting = operations.claimable(conn, self._queue, now, most, past=past)
        if not waiting and past:
            waiting = operations.claimable(conn, self._queue, now, most)
        return waiting, None if waiting else operations.next_due(conn, self._queue)

    def _claim(self, waiting: Sequence[Operation]) -> int:
        """How many of these became ours; they are worked on."""
        until = self._env.clock() + timedelta(seconds=self._settings.lease)
        begun = self._env.means is not None

        def claim(conn: Connection) -> tuple[Sequence[Operation], Mapping[str, Row]]:
            if not self._may_claim(conn):
                return (), {}
            name, epoch = self._claimant.name, self._claimant.epoch
            claimed = operations.claim_all(conn, waiting, name, epoch, until, begun)
            return claimed, _rows_of(conn, claimed)

        def committed(conn: Connection) -> tuple[Sequence[Operation], Mapping[str, Row]] | None:
            now = [self._ours(operations.get(conn, operation.uuid)) for operation in waiting]
            claimed = [operation for operation in now if operation is not None]
            return (claimed, {}) if claimed else None

        mine, rows = self._env.db.run(claim, committed=committed)
        with self._idle:
            self._mine.update(operation.uuid for operation in mine)
        for operation in mine:
            self._pool.submit(self._work, operation, rows.get(operation.container_uuid))
        return len(mine)

    def _renew(self) -> None:
        while not self._stopping.wait(self._settings.lease / 3):
            # Only of what is worked on: one that was dropped must be found by its lease.
            with self._idle:
                mine = list(self._mine)
            try:
                if mine:
                    self._renew_leases(mine)
            except DatabaseError as exc:
                LOG.warning("the leases of %s can't be renewed: %s", self._claimant.name, exc)
            except Exception:
                LOG.exception("the leases of %s can't be renewed", self._claimant.name)

    def _renew_leases(self, uuids: Sequence[str]) -> None:
        name, epoch = self._claimant.name, self._claimant.epoch
        until = self._env.clock() + timedelta(seconds=self._settings.lease)
        self._env.db.run(lambda conn: operations.renew(conn, name, epoch, until, uuids), twice=True)

    # ---- working

    def _work(self, operation: Operation, row: Row | None) -> None:
        try:
            self._run(operation, row)
        except Exception:
            # Nothing is lost: the lease ends, or the next start takes it back.
            LOG.exception("operation %s was dropped", operation.uuid)
        finally:
            with self._idle:
                self._mine.discard(operation.uuid)
                self._idle.notify_all()
            self._wake.set()

    def _run(self, operation: Operation, row: Row | None) -> None:
        current: Operation | None = operation
        while current is not None and current.state in CLAIMED and current.queue == self._queue:
            if self._stopping.is_set():
                self._put_back(current)
                return
            attempt = Attempt(
                current, self._env, self._metrics, self._checkpoint, self._progress(current),
                self._deadline(current), row,
            )  # fmt: skip
            row = None  # what it is after this move is to be read
            try:
                outcome, written = attempt.advance()
            except DatabaseError as exc:
                LOG.warning("operation %s is to be read again: %s", current.uuid, exc)
                outcome, written = Outcome.FENCED, None
            if outcome is Outcome.FENCED:
                current = self._reread(current)
                continue
            current = written
            if outcome is Outcome.CLOSED and written is not None:
                self._ended(written)
            elif outcome is Outcome.MOVED and written is not None:
                self._bus.nudge(written.queue)
            if outcome is not Outcome.STEPPED:
                return

    def _put_back(self, operation: Operation) -> None:
        undoing = operation.state is OperationState.UNDOING
        state = OperationState.UNDO_PENDING if undoing else OperationState.PENDING
        # As what is taken back: the step that was cut short may have had its effect.
        self._env.db.run(
            lambda conn: operations.change(
                conn, operation, state=state, attempts=operation.attempts + 1,
                claimed_by=None, claimed_until=None,
            )
        )  # fmt: skip

    def _reread(self, operation: Operation) -> Operation | None:
        """What became of an operation, once the database answers; None if it is ours no more.

        After a lost compare-and-set, or a commit whose answer was lost: then it may have ended or moved by our hand.
        """
        now = self._read_until(operation)
        if now is None:
            self._closed(operation)
        elif now.state in CLOSED:
            self._ended(now)
        elif now.queue != self._queue:
            self._bus.nudge(now.queue)
        return self._ours(now)

    def _read_until(self, operation: Operation) -> Operation | None:
        while True:
            try:
                with self._env.db.read() as conn:
                    return operations.get(conn, operation.uuid)
            except DatabaseError as exc:
                LOG.warning("the journal can't be read: %s", exc)
                if self._stopping.wait(_LOOK_AGAIN):
                    return None

    def _ours(self, operation: Operation | None) -> Operation | None:
        """`operation` if this life of ours has claimed it."""
        if operation is None or operation.claimed_by != self._claimant.name:
            return None
        return operation if operation.claimed_epoch == self._claimant.epoch else None

    def _ended(self, operation: Operation) -> None:
        self._metrics.operations.labels(operation.action, operation.state).inc()
        self._closed(operation)
        try:
            with self._env.db.read() as conn:
                successor = operations.successor_of(conn, operation)
        except DatabaseError:
            return  # the slow poll of its queue finds it
        if successor is not None:
            self._bus.nudge(successor.queue)

    def _progress(self, operation: Operation) -> Callable[[Mapping[str, Any]], None]:
        def tell(detail: Mapping[str, Any]) -> None:
            with self._env.db.write() as conn:
                operations.tell(
                    conn, operation, EventKind.PROGRESS, self._env.clock(), detail=detail
                )

        return tell

    def _deadline(self, operation: Operation) -> Deadline:
        left = (operation.deadline - self._env.clock()).total_seconds()
        return Deadline(left, lambda: self._stopping.is_set() or self._cancelled(operation))

    def _cancelled(self, operation: Operation) -> bool:
        with self._env.db.read() as conn:
            now = operations.get(conn, operation.uuid)
        return now is None or now.cancelling


def _rows_of(conn: Connection, claimed: Sequence[Operation]) -> Mapping[str, Row]:
    """The containers that operations are about, by their uuids, for the first move of each.

    What is absent that move is to read, and to say what is wrong.
    """
    about = [one.container_uuid for one in claimed if one.resource == CONTAINER]
    try:
        return containers.get_all(conn, about) if about else {}
    except (DatabaseError, DBAPIError):
        raise
    except Exception:
        LOG.warning("the rows of operations can't be read with their claims", exc_info=True)
        return {}


def take_back_expired(db: Database, env: Env, bus: Bus, metrics: WorkMetrics) -> int:
    """Frees operations whose lease is over, of whatever claimant; how many. Any conductor may do it at any time."""
    freed = db.run(lambda conn: operations.take_back(conn, env.clock()), twice=True)
    for operation in freed:
        LOG.warning("the lease of %s on operation %s is over", operation.claimed_by, operation.uuid)
        bus.nudge(operation.queue)
    metrics.taken_back.inc(len(freed))
    return len(freed)
