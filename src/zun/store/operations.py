"""SQL on the journal. Every write to an open operation is compare-and-set on its version."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime
from functools import cache
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from zun.model import lifecycle
from zun.model.lifecycle import Action, Status
from zun.model.operation import CLAIMABLE, CLAIMED, Event, EventKind, Operation, OperationState
from zun.store.database import TELLS
from zun.store.rows import columns_of, insert_new, names_of, values_of
from zun.store.schema import events, operations

_COLUMNS = columns_of(operations, Operation)
_NAMES = names_of(_COLUMNS)
_SELECT = sa.select(*_COLUMNS)
_CHANGE = operations.update().where(
    operations.c.id == sa.bindparam("of_id"), operations.c.version == sa.bindparam("of_version")
)
_NO_ID = frozenset({"id"})
#: What this release can read. Actions that only a newer one knows are left to its processes.
_READABLE = operations.c.action.in_(sorted(Action))


def _claimable_now() -> sa.Select[Any]:
    """See `claimable`.

    Each state by itself, and what backs off apart from what does not: so the index (queue, state, not_before) has the
    oldest first. Of one condition on all of it MariaDB sorts the whole queue, or walks through the history by its ids;
    where few wait and many have ended it would still, so it is told.
    """
    parts = []
    for state in sorted(CLAIMABLE):
        for due in (operations.c.not_before.is_(None), operations.c.not_before <= _NOW):
            mine = (operations.c.queue == sa.bindparam("of_queue"), operations.c.state == state)
            which = sa.and_(*mine, due, _READABLE)
            oldest = sa.select(operations.c.id).where(which).order_by(operations.c.id)
            for dialect in ("mysql", "mariadb"):
                oldest = oldest.with_hint(operations, f"FORCE INDEX ({_BY_QUEUE})", dialect)
            # In a query of its own: SQLite takes no limit of a part.
            parts.append(sa.select(oldest.limit(_UP_TO).subquery().c.id))
    found = sa.union_all(*parts).order_by("id").limit(_integer("most")).offset(_integer("past"))
    ids = found.subquery()
    return _SELECT.join(ids, ids.c.id == operations.c.id).order_by(operations.c.id)


def _integer(name: str) -> sa.BindParameter[int]:
    return sa.bindparam(name, type_=sa.Integer)


#: The name of the index (queue, state, not_before).
_BY_QUEUE = next(
    index.name
    for index in operations.indexes
    if index.columns.keys() == ["queue", "state", "not_before"]
)
_NOW = sa.bindparam("by_now", type_=operations.c.not_before.type)
_UP_TO = _integer("up_to")
_CLAIMABLE_NOW = _claimable_now()


class AlreadyOpen(Exception):
    """The container has an open operation; there may be only one."""


def _value(row: Any) -> Operation:
    values = dict(zip(_NAMES, row, strict=True))
    values["action"] = Action(values["action"])
    values["state"] = OperationState(values["state"])
    if values["prior_status"] is not None:
        values["prior_status"] = Status(values["prior_status"])
    return Operation(**values)


def open_(conn: Connection, operation: Operation) -> None:
    """Adds an open operation with its event `accepted`. Raises AlreadyOpen."""
    values = values_of(operations, operation, but=_NO_ID)
    row = {**values, "open_key": operation.container_uuid}
    if not insert_new(conn, operations, row, ["open_key"]):
        raise AlreadyOpen
    detail = None  # an image has no status
    if operation.prior_status is not None:
        detail = {"status": lifecycle.begin(operation.action, operation.prior_status)}
    tell(conn, operation, EventKind.ACCEPTED, operation.created_at, detail=detail)


def get(conn: Connection, uuid: str) -> Operation | None:
    """The operation of this uuid, or None."""
    row = conn.execute(_SELECT.where(operations.c.uuid == uuid)).first()
    return None if row is None else _value(row)


def open_of(conn: Connection, container_uuid: str, *, hold: bool = False) -> Operation | None:
    """The open operation of a container, or None. `hold`: nobody else writes to it before this transaction ends.

    Whoever holds an operation and a container took the operation first.
    """
    query = _SELECT.where(operations.c.open_key == container_uuid)
    row = conn.execute(query.with_for_update() if hold else query).first()
    return None if row is None else _value(row)


def of_container(conn: Connection, container_uuid: str) -> Sequence[Operation]:
    """All operations of a container, newest first."""
    query = _SELECT.where(operations.c.container_uuid == container_uuid)
    return [_value(row) for row in conn.execute(query.order_by(operations.c.id.desc()))]


def claimable(
    conn: Connection, queue: str, now: datetime, most: int, *, past: int = 0
) -> Sequence[Operation]:
    """Operations of `queue` that wait to be claimed and whose back-off is over, oldest first.

    `past`: without so many of the oldest.
    """
    given = {"of_queue": queue, "by_now": now, "up_to": past + most, "past": past, "most": most}
    return [_value(row) for row in conn.execute(_CLAIMABLE_NOW, given)]


def open_in(conn: Connection, queue: str, most: int) -> Sequence[Operation]:
    """Open operations of `queue`, oldest first, whoever has them."""
    query = _SELECT.where(
        operations.c.queue == queue, operations.c.open_key.is_not(None), _READABLE
    )
    return [_value(row) for row in conn.execute(query.order_by(operations.c.id).limit(most))]


def next_due(conn: Connection, queue: str) -> datetime | None:
    """When the earliest back-off in `queue` ends, or None if nothing backs off."""
    query = sa.select(sa.func.min(operations.c.not_before)).where(
        operations.c.queue == queue, operations.c.state.in_(sorted(CLAIMABLE)), _READABLE
    )
    due: datetime | None = conn.execute(query).scalar()
    return due


def change(conn: Connection, operation: Operation, **changes: Any) -> Operation | None:
    """Sets columns if nobody wrote since `operation` was read; the new value, or None if somebody did."""
    version = operation.version + 1
    read = {"of_id": operation.id, "of_version": operation.version}
    done = conn.execute(_CHANGE, {**read, "version": version, **changes})
    return replace(operation, version=version, **changes) if done.rowcount == 1 else None


def claim(
    conn: Connection, operation: Operation, by: str, epoch: int, until: datetime, begun: bool
) -> Operation | None:
    """As `claim_all`, one."""
    return next(iter(claim_all(conn, [operation], by, epoch, until, begun)), None)


def claim_all(
    conn: Connection,
    waiting: Sequence[Operation],
    by: str,
    epoch: int,
    until: datetime,
    begun: bool,
) -> Sequence[Operation]:
    """Takes waiting operations; those of them where nobody else was first. `begun`: a host's agent has them."""
    won: list[Operation] = []
    for operation_state in (OperationState.PENDING, OperationState.UNDO_PENDING):
        undoes = operation_state is OperationState.UNDO_PENDING
        mine = [one for one in waiting if (one.state is OperationState.UNDO_PENDING) is undoes]
        changes: dict[str, Any] = {
            "state": OperationState.UNDOING if undoes else OperationState.RUNNING,
            "claimed_by": by,
            "claimed_epoch": epoch,
            "claimed_until": until,
            **({"begun": True} if begun else {}),
        }
        for one in _unchanged(conn, mine, changes):
            won.append(replace(one, version=one.version + 1, **changes))
    return sorted(won, key=lambda one: one.id)


def _unchanged(
    conn: Connection, several: Sequence[Operation], claim: Mapping[str, Any]
) -> Sequence[Operation]:
    """Claims those to which nobody wrote since they were read; which these are. One statement, as a rule."""
    if not several:
        return ()
    read = {f"of_id_{n}": one.id for n, one in enumerate(several)}
    read |= {f"of_version_{n}": one.version for n, one in enumerate(several)}
    done = conn.execute(_change_each(len(several)), {**read, **claim})
    if done.rowcount == len(several):
        return several
    if done.rowcount == 0:
        return ()
    # Versions only grow: what has the next one and our name was written by us, here.
    ours = sa.select(operations.c.id, operations.c.version).where(
        operations.c.id.in_([one.id for one in several]),
        operations.c.claimed_by == claim["claimed_by"],
        operations.c.claimed_epoch == claim["claimed_epoch"],
    )
    found = {(ident, version) for ident, version in conn.execute(ours)}
    return [one for one in several if (one.id, one.version + 1) in found]


@cache
def _change_each(number: int) -> sa.Update:
    """Compare-and-set on so many rows, in the order of their ids, so that of two at once none waits for ever."""
    each = (
        (operations.c.id == sa.bindparam(f"of_id_{n}"))
        & (operations.c.version == sa.bindparam(f"of_version_{n}"))
        for n in range(number)
    )
    return operations.update().where(sa.or_(*each)).values(version=operations.c.version + 1)


def close(
    conn: Connection, operation: Operation, state: OperationState, now: datetime, error: str | None
) -> Operation | None:
    """Ends an operation and wakes the delete that waits for it; None if somebody wrote since.

    The parameters of the request go with the end: they may hold content the user gave only to be used.
    """
    version = operation.version + 1
    done = conn.execute(
        operations.update()
        .where(operations.c.id == operation.id, operations.c.version == operation.version)
        .values(
            version=version,
            state=state,
            open_key=None,
            finished_at=now,
            error=error,
            params={},
            claimed_by=None,
            claimed_until=None,
            not_before=None,
        )
    )
    if done.rowcount != 1:
        return None
    conn.execute(
        operations.update()
        .where(
            operations.c.supersedes == operation.uuid,
            operations.c.state == OperationState.WAITING,
        )
        .values(state=OperationState.PENDING, version=operations.c.version + 1)
    )
    return replace(operation, version=version, state=state, finished_at=now, error=error, params={})


def supersede(conn: Connection, operation: Operation) -> None:
    """Marks an open operation as cancelling and gives up its place for the delete that comes next.

    Whatever its version: the runner finds the mark at its next step boundary, for its compare-and-set fails.
    """
    conn.execute(
        operations.update()
        .where(operations.c.id == operation.id)
        .values(cancelling=True, open_key=None, version=operations.c.version + 1, not_before=None)
    )


def successor_of(conn: Connection, operation: Operation) -> Operation | None:
    """The delete that waits for `operation` to end, or None."""
    row = conn.execute(_SELECT.where(operations.c.supersedes == operation.uuid)).first()
    return None if row is None else _value(row)


def take_back(
    conn: Connection, now: datetime, *, by: str | None = None, epoch: int | None = None
) -> Sequence[Operation]:
    """Frees operations whose claimant is gone.

    With `by` and `epoch`: all that an older life of this claimant holds. Without: all whose lease is over.
    """
    query = _SELECT.where(operations.c.state.in_(sorted(CLAIMED)), _READABLE)
    if by is not None:
        query = query.where(operations.c.claimed_by == by, operations.c.claimed_epoch < epoch)
    else:
        query = query.where(operations.c.claimed_until < now)
    freed: list[Operation] = []
    for row in conn.execute(query.order_by(operations.c.id)).all():
        held = _value(row)
        state = (
            OperationState.UNDO_PENDING
            if held.state is OperationState.UNDOING
            else OperationState.PENDING
        )
        # What was begun and not recorded counts as an attempt: the step may have had its effect.
        new = change(
            conn, held, state=state, attempts=held.attempts + 1,
            claimed_by=None, claimed_until=None, not_before=None,
        )  # fmt: skip
        if new is not None:
            tell(conn, new, EventKind.TAKEN_BACK, now, detail={"from": held.claimed_by})
            freed.append(new)
    return freed


def renew(conn: Connection, by: str, epoch: int, until: datetime, uuids: Sequence[str]) -> None:
    """Lengthens the leases a claimant has on these operations. Not a change: the version stays."""
    conn.execute(
        operations.update()
        .where(
            operations.c.uuid.in_(uuids),
            operations.c.claimed_by == by,
            operations.c.claimed_epoch == epoch,
            operations.c.state.in_(sorted(CLAIMED)),
        )
        .values(claimed_until=until)
    )


def wake(conn: Connection, uuid: str) -> str | None:
    """Ends the back-off of a resource's open operation that waits to be claimed; its queue, or None. Not a change."""
    mine = (operations.c.open_key == uuid) & operations.c.state.in_(sorted(CLAIMABLE))
    waiting = operations.update().where(mine, operations.c.not_before.is_not(None))
    if conn.execute(waiting.values(not_before=None)).rowcount == 0:
        return None
    queue: str | None = conn.execute(sa.select(operations.c.queue).where(mine)).scalar()
    return queue


def tell(
    conn: Connection,
    operation: Operation,
    kind: EventKind,
    now: datetime,
    *,
    step: str | None = None,
    detail: Mapping[str, Any] | None = None,
) -> None:
    """Adds an event of an operation."""
    conn.info[TELLS] = True
    conn.execute(
        events.insert(),
        {
            "operation_uuid": operation.uuid,
            "container_uuid": operation.container_uuid,
            "project_id": operation.project_id,
            "kind": kind,
            "step": step,
            "detail": detail,
            "created_at": now,
        },
    )


def tell_observed(
    conn: Connection, container_uuid: str, project_id: str, now: datetime, detail: Mapping[str, Any]
) -> None:
    """Adds an event of a container that no operation caused."""
    conn.info[TELLS] = True
    conn.execute(
        events.insert().values(
            container_uuid=container_uuid,
            project_id=project_id,
            kind=EventKind.OBSERVED,
            detail=detail,
            created_at=now,
        )
    )


def events_of(conn: Connection, operation_uuid: str) -> Sequence[Event]:
    """The events of an operation, oldest first."""
    query = (
        sa.select(*columns_of(events, Event))
        .where(events.c.operation_uuid == operation_uuid)
        .order_by(events.c.id)
    )
    found = []
    for row in conn.execute(query):
        values = dict(row._mapping)
        values["kind"] = EventKind(values["kind"])
        found.append(Event(**values))
    return found


def forget_container(conn: Connection, container_uuid: str) -> None:
    """Removes the closed operations of a container that is gone (contract 9: 404 afterwards)."""
    conn.execute(
        operations.delete().where(
            operations.c.container_uuid == container_uuid, operations.c.open_key.is_(None)
        )
    )


def open_counts(conn: Connection) -> dict[str, int]:
    """How many open operations each queue has."""
    query = (
        sa.select(operations.c.queue, sa.func.count())
        .where(operations.c.open_key.is_not(None))
        .group_by(operations.c.queue)
    )
    return {queue: number for queue, number in conn.execute(query)}


def open_steps(conn: Connection) -> set[str]:
    """The names of all steps that open operations have still to do, or to undo."""
    query = sa.select(operations.c.steps).where(operations.c.open_key.is_not(None)).distinct()
    return {step for (steps,) in conn.execute(query) for step in steps}
