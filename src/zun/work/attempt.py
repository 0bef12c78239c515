"""One move of one operation: do the next step, or undo the last, or end it; and write down what happened."""

from __future__ import annotations

import logging
import random
import time
import uuid
from collections.abc import Callable, Mapping
from datetime import timedelta
from enum import Enum, auto
from typing import Any

from sqlalchemy.engine import Connection

from zun.drivers.deadline import Deadline
from zun.drivers.errors import DriverError, TimedOut, Unavailable
from zun.model.lifecycle import Status
from zun.model.operation import CONDUCTOR_QUEUE, OUTLIVING, EventKind, Operation, OperationState
from zun.store import containers, operations
from zun.store.errors import DatabaseError
from zun.work import kinds
from zun.work.context import ELSEWHERE, Env, NotYet, Recording, StepContext
from zun.work.metrics import WorkMetrics
from zun.work.steps import STEPS, Step
from zun.work.subjects import SUBJECTS, Row

LOG = logging.getLogger(__name__)

_FIRST_BACKOFF = 0.2  # seconds
_LONGEST_BACKOFF = 10.0
#: Seconds an undo may go on after the operation's deadline. What it leaves then, a delete takes away.
_UNDO_TIME = 300.0
#: Seconds the engine has to say how a container is when its operation ends.
_LOOK_TIME = 10.0
_MOST_DOUBLINGS = 10


class Outcome(Enum):
    """STEPPED: go on. MOVED: it is another queue's now. WAITING: it backs off. CLOSED: it has ended.

    FENCED: somebody else wrote; read it again.
    """

    STEPPED = auto()
    MOVED = auto()
    WAITING = auto()
    CLOSED = auto()
    FENCED = auto()


Written = tuple[Outcome, Operation | None]


class Attempt:
    """See `advance`. `row`: what the operation is about, if it has been read since it was claimed."""

    def __init__(
        self,
        operation: Operation,
        env: Env,
        metrics: WorkMetrics,
        checkpoint: Callable[[str], None],
        progress: Callable[[Mapping[str, Any]], None],
        deadline: Deadline,
        row: Row | None = None,
    ) -> None:
        self._operation = operation
        self._row = row
        self._subject = SUBJECTS[operation.resource]
        self._env = env
        self._metrics = metrics
        self._checkpoint = checkpoint
        self._progress = progress
        self._deadline = deadline

    def advance(self) -> Written:
        """Moves the operation by one; it must be claimed by the caller.

        Raises DatabaseError: what was written, if anything, is to be read again. Steps bear being done twice.
        """
        operation = self._operation
        row = self._row or self._env.db.look(
            lambda conn: self._subject.load(conn, operation.container_uuid)
        )
        if row is None:
            return self._cancel(lambda conn: self._subject.gone(conn, operation.container_uuid))
        if operation.cancelling and not self._outlives():
            return self._cancel(lambda conn: None)  # its successor does what is to be done
        if operation.cancelling and operation.state is OperationState.RUNNING:
            return self._turn_round("A delete of the container took its place.")
        if operation.state is OperationState.UNDOING:
            if self._is_to_be_placed_again():
                return self._place_again()
            return self._undo_one(row) if operation.position else self._settle(row)
        if operation.position == len(operation.steps):
            return self._settle(row)
        return self._do_one(row, operation.steps[operation.position])

    def _outlives(self) -> bool:
        """Whether there may be something that the delete which takes its place would leave."""
        operation = self._operation
        if operation.action not in OUTLIVING:
            return False
        if operation.state is OperationState.UNDOING:
            return operation.position > 0
        return operation.position < len(operation.steps)

    # ---- forward

    def _do_one(self, row: Row, name: str) -> Written:
        begun = time.monotonic()
        ctx = self._context(row, self._deadline)
        try:
            self._deadline.left()
            step = _known(name)
            self._at("before", name)
            recording = step.do(ctx) if step.do else None
            if step.do:
                self._at("effect", name)
            written = self._record(ctx, step, name, recording)
        except NotYet as exc:
            self._timed(name, "waits", begun)
            return self._later(exc)
        except DriverError as exc:
            self._timed(name, "failed", begun)
            if self._deadline.cancelled():
                # Nobody waits for it any more: superseded, or we stop. Not the step's fault: read it again.
                return Outcome.FENCED, None
            return self._failed(row, name, exc)
        except DatabaseError:
            self._timed(name, "unwritten", begun)
            raise
        except Exception as exc:
            self._timed(name, "defect", begun)
            return self._failed(row, name, _opaque(exc, name))
        self._timed(name, "done", begun)
        self._at("recorded", name)
        return written

    def _record(
        self, ctx: StepContext, step: Step, name: str, recording: Recording | None
    ) -> Written:

        def write(conn: Connection) -> Operation:
            made = recording
            if made is None:
                assert step.do_in is not None
                made = step.do_in(conn, ctx)
            return self._write_down(conn, name, made)

        try:
            new = self._env.db.run(write)
        except _Fenced:
            return Outcome.FENCED, None
        moved = new.queue != self._operation.queue
        return (Outcome.MOVED if moved else Outcome.STEPPED), new

    def _write_down(self, conn: Connection, name: str, recording: Recording) -> Operation:
        operation, now = self._operation, self._env.clock()
        changes: dict[str, Any] = {
            "position": operation.position + 1,
            "outputs": {**operation.outputs, name: dict(recording.outputs)},
            "attempts": 0,
            "error": None,
        }
        if recording.queue is not None and recording.queue != operation.queue:
            changes |= {"queue": recording.queue, "state": OperationState.PENDING,
                        "claimed_by": None, "claimed_until": None}  # fmt: skip
        new = operations.change(conn, operation, **changes)
        if new is None:
            raise _Fenced  # takes back what the step wrote
        if recording.container:
            self._subject.update(conn, operation.container_uuid, now, recording.container)
        self._write_members(conn, recording.members)
        operations.tell(conn, new, EventKind.STEP_DONE, now, step=name)
        return new

    def _later(self, waits: NotYet) -> Written:
        """Lets go of an operation whose step waits; whoever hears of what it waits for wakes it before its time."""
        operation, now = self._operation, self._env.clock()
        attempts = operation.attempts + 1

        def write(conn: Connection) -> Written:
            new = operations.change(
                conn, operation, state=OperationState.PENDING, attempts=attempts, error=None,
                not_before=now + timedelta(seconds=_backoff(attempts)),
                claimed_by=None, claimed_until=None,
            )  # fmt: skip
            if new is None:
                return Outcome.FENCED, None
            self._write_members(conn, waits.members)
            return Outcome.WAITING, new

        return self._env.db.run(write)

    def _write_members(self, conn: Connection, members: Mapping[str, Mapping[str, Any]]) -> None:
        for member, columns in members.items():
            containers.update(conn, member, self._env.clock(), **columns)

    def _failed(self, row: Row, name: str, error: DriverError) -> Written:
        """Tries again later, or turns round."""
        operation, now = self._operation, self._env.clock()
        if error.retryable:
            attempts = operation.attempts + 1
            pause = _backoff(attempts)
            if now + timedelta(seconds=pause) < operation.deadline:
                return self._wait(name, error, attempts, pause, OperationState.PENDING)
            # That the time is over is no reason: what it was lost on is.
            why = operation.error if isinstance(error, TimedOut) else None
            error = TimedOut(f"Gave up after {attempts} attempts: {why or error.public}")
        LOG.warning(
            "%s of %s %s failed at %s: %s",
            operation.action, operation.resource, operation.container_uuid, name, error.public,
        )  # fmt: skip
        return self._turn_round(error.public, failed=name, **self._refusal(row, error))

    def _turn_round(self, why: str, *, failed: str | None = None, **changes: Any) -> Written:
        operation, now = self._operation, self._env.clock()

        def write(conn: Connection) -> Written:
            # The step it is at is undone too: whether its effect took place is not known.
            new = operations.change(
                conn, operation, state=OperationState.UNDOING, position=operation.position + 1,
                error=why, attempts=0, **changes,
            )  # fmt: skip
            if new is None:
                return Outcome.FENCED, None
            if failed is not None:
                detail = {"error": why}
                operations.tell(conn, new, EventKind.STEP_FAILED, now, step=failed, detail=detail)
            return Outcome.STEPPED, new

        return self._env.db.run(write)

    def _wait(
        self, name: str, error: DriverError, attempts: int, pause: float, state: OperationState
    ) -> Written:
        operation, now = self._operation, self._env.clock()
        undoing = operation.state is OperationState.UNDOING  # then `error` is why it is undone
        again = {"error": error.public, "attempt": attempts, "retry_in_seconds": round(pause, 1)}
        told = attempts == 1 or (not undoing and error.public != operation.error)
        if told:
            LOG.info("%s of %s waits: %s", operation.action, operation.container_uuid, error)

        def write(conn: Connection) -> Written:
            new = operations.change(
                conn, operation, state=state, attempts=attempts,
                not_before=now + timedelta(seconds=pause), claimed_by=None, claimed_until=None,
                **({} if undoing else {"error": error.public}),
            )  # fmt: skip
            if new is None:
                return Outcome.FENCED, None
            if told:
                operations.tell(conn, new, EventKind.STEP_FAILED, now, step=name, detail=again)
            return Outcome.WAITING, new

        return self._env.db.run(write)

    # ---- backward

    def _undo_one(self, row: Row) -> Written:
        operation = self._operation
        name = operation.steps[operation.position - 1]
        left = (operation.deadline - self._env.clock()).total_seconds() + _UNDO_TIME
        ctx = self._context(row, Deadline(max(left, 1.0)))
        try:
            step = _known(name)
            self._at("undo", name)
            if step.undo and (self._env.means is not None or not step.on_host):
                step.undo(ctx)
            self._at("undone", name)
            return self._record_undo(ctx, step, name)
        except DriverError as exc:
            if exc.retryable and left > 0:
                attempts = operation.attempts + 1
                pause = _backoff(attempts)
                return self._wait(name, exc, attempts, pause, OperationState.UNDO_PENDING)
            LOG.error("%s of %s can't be undone at %s: %s", operation.action, row.uuid, name, exc)
        except DatabaseError:
            raise
        except Exception as exc:
            LOG.error("%s", _opaque(exc, name).public)
        return self._record_undo(ctx, Step(do=lambda c: Recording()), name)

    def _record_undo(self, ctx: StepContext, step: Step, name: str) -> Written:
        operation, now = self._operation, self._env.clock()

        def write(conn: Connection) -> Written:
            new = operations.change(conn, operation, position=operation.position - 1, attempts=0)
            if new is None:
                return Outcome.FENCED, None
            if step.undo_in is not None:
                columns = step.undo_in(conn, ctx)
                if columns:
                    self._subject.update(conn, operation.container_uuid, now, columns)
            if step.undo or step.undo_in:
                operations.tell(conn, new, EventKind.STEP_UNDONE, now, step=name)
            return Outcome.STEPPED, new

        return self._env.db.run(write)

    # ---- elsewhere

    def _refusal(self, row: Row, error: DriverError) -> Mapping[str, Any]:
        """What is changed of the operation if its host refused it, so that it is placed on another."""
        operation = self._operation
        host, asked = getattr(row, "host", None), getattr(row, "placement", None) or {}
        refused = [*operation.outputs.get(ELSEWHERE, {}).get("refused", ()), host]
        most = self._env.settings.scheduler.most_places
        if not (error.elsewhere and self._place_step() in operation.outputs and host):
            return {}
        if asked.get("host"):
            return {}  # it shall be there and nowhere else
        if len(refused) >= most:
            return {}
        self._metrics.replaced.inc()
        again = {"refused": refused, "why": error.public, "again": True}
        return {"outputs": {**operation.outputs, ELSEWHERE: again}}

    def _is_to_be_placed_again(self) -> bool:
        operation = self._operation
        again = operation.outputs.get(ELSEWHERE, {}).get("again", False)
        step = self._place_step()
        return (
            bool(again) and step is not None and operation.position == operation.steps.index(step)
        )

    def _place_step(self) -> str | None:
        return next((step for step in self._operation.steps if step in kinds.PLACES), None)

    def _place_again(self) -> Written:
        """All that was done on the host that refused is undone: the operation waits for a conductor once more."""
        operation = self._operation
        before = operation.steps[: operation.position]
        outputs = {name: out for name, out in operation.outputs.items() if name in before}
        outputs[ELSEWHERE] = {**operation.outputs[ELSEWHERE], "again": False}

        def write(conn: Connection) -> Operation | None:
            new = operations.change(
                conn, operation, state=OperationState.PENDING, queue=CONDUCTOR_QUEUE, attempts=0,
                outputs=outputs, error=None, claimed_by=None, claimed_until=None,
            )  # fmt: skip
            if new is not None:
                detail = {"refused": list(outputs[ELSEWHERE]["refused"])}
                operations.tell(conn, new, EventKind.PROGRESS, self._env.clock(), detail=detail)
            return new

        new = self._env.db.run(write)
        if new is None:
            return Outcome.FENCED, None
        LOG.info("%s of %s is placed elsewhere", operation.action, operation.container_uuid)
        return Outcome.MOVED, new

    # ---- the end

    def _settle(self, row: Row) -> Written:
        operation = self._operation
        ctx = self._context(row, Deadline(_LOOK_TIME))
        ended_well = operation.state is OperationState.RUNNING
        self._at("settle", "done" if ended_well else "failed")
        try:
            facts = self._subject.look(ctx)
        except DriverError as exc:
            pause = _backoff(operation.attempts + 1)
            if self._env.clock() + timedelta(seconds=pause) < operation.deadline:
                waiting = OperationState.PENDING if ended_well else OperationState.UNDO_PENDING
                return self._wait("settle", exc, operation.attempts + 1, pause, waiting)
            facts = None  # the observer corrects it when the engine answers again
        if ended_well:
            return self._close(
                lambda conn: self._subject.done(conn, ctx, facts),
                OperationState.DONE,
                EventKind.DONE,
            )
        return self._close(
            lambda conn: self._subject.failed(conn, ctx, facts),
            OperationState.FAILED,
            EventKind.FAILED,
            operation.error,
        )

    def _close(
        self,
        finish: Callable[[Connection], Status | None],
        state: OperationState,
        kind: EventKind,
        error: str | None = None,
    ) -> Written:
        operation, now = self._operation, self._env.clock()

        def write(conn: Connection) -> Written:
            new = operations.close(conn, operation, state, now, error)
            if new is None:
                return Outcome.FENCED, None
            detail: dict[str, Any] = {"error": error} if error else {}
            status = finish(conn)
            if status is not None:
                detail["status"] = status
            operations.tell(conn, new, kind, now, detail=detail or None)
            return Outcome.CLOSED, new

        written = self._env.db.run(write)
        if written[0] is Outcome.CLOSED:
            self._at("settled", str(state))
        return written

    def _cancel(self, finish: Callable[[Connection], None]) -> Written:
        return self._close(finish, OperationState.CANCELLED, EventKind.CANCELLED)

    # ---- helpers

    def _context(self, row: Row, deadline: Deadline) -> StepContext:
        return StepContext(
            env=self._env, operation=self._operation, subject=row, deadline=deadline,
            progress=self._progress,
        )  # fmt: skip

    def _at(self, point: str, name: str) -> None:
        self._checkpoint(f"{point}:{self._operation.action}:{name}")

    def _timed(self, name: str, outcome: str, begun: float) -> None:
        self._metrics.steps.labels(name, outcome).observe(time.monotonic() - begun)


def _known(name: str) -> Step:
    """The step. Raises Unavailable: a newer release accepted the operation, whose processes can do it, and we can't."""
    step = STEPS.get(name)
    if step is None:
        raise Unavailable(
            f"The release that runs there does not know the step {name[:40]!r}; a newer one has to take its place."
        )
    return step


def _backoff(attempts: int) -> float:
    doublings = min(attempts - 1, _MOST_DOUBLINGS)
    return min(_FIRST_BACKOFF * 2.0**doublings, _LONGEST_BACKOFF) * random.uniform(0.8, 1.2)


class _Fenced(Exception):
    """Somebody else wrote to the operation first."""


class _Defect(DriverError):
    """Our own mistake: the traceback is in the log, the user gets a code to quote."""


def _opaque(exc: Exception, where: str) -> DriverError:
    code = uuid.uuid4().hex[:12]
    LOG.error("defect %s at %s", code, where, exc_info=exc)
    return _Defect(f"Internal error; the operator finds it in the log under the code {code}.")
