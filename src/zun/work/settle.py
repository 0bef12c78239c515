"""The end of an operation: a look at the engine first, then the state machine gives the status, in the closing
transaction."""

from __future__ import annotations

from typing import Any

from sqlalchemy.engine import Connection

from zun.drivers.runtime import Facts
from zun.model import lifecycle
from zun.model.lifecycle import Action, Observed, Status
from zun.model.operation import OperationState
from zun.store import claims, containers, networks, removal
from zun.work import facts as seen
from zun.work.context import StepContext


def look(ctx: StepContext) -> Facts | None:
    """What the engine shows of the container; None where there is nothing to look at. Raises DriverError."""
    means = ctx.env.means
    deleted = (
        ctx.operation.action is Action.DELETE and ctx.operation.state is OperationState.RUNNING
    )
    if means is None or ctx.container.host != means.host or deleted:
        return None
    return means.runtime.inspect(ctx.container.uuid, ctx.deadline)


def done(conn: Connection, ctx: StepContext, facts: Facts | None) -> Status:
    """Writes the status of a container whose operation did all its steps, or removes the row; the status."""
    container, now = ctx.container, ctx.env.clock()
    observed = facts.observed if facts else None
    status = lifecycle.settle(ctx.operation.action, container.status, observed)
    if status is None:
        removal.remove_container(conn, container.uuid)
        return Status.DELETED
    changes = dict(seen.columns(container, status, facts))
    changes["status_reason"] = seen.reason(container, status, facts) if facts else None
    if not containers.update(conn, container.uuid, now, **changes):
        forget(conn, container.uuid)
        return Status.DELETED
    return status


def failed(conn: Connection, ctx: StepContext, facts: Facts | None) -> Status:
    """Writes the status of a container whose operation could not be done, with the reason; the status."""
    container, operation = ctx.container, ctx.operation
    # After its host was removed it has none to be given back to.
    nowhere = Observed.MISSING if container.host is None else None
    observed = facts.observed if facts else nowhere
    status = lifecycle.fail(operation.action, operation.prior_status or container.status, observed)
    changes: dict[str, Any] = dict(seen.columns(container, status, facts))
    changes["status_reason"] = operation.error
    if not containers.update(conn, container.uuid, ctx.env.clock(), **changes):
        forget(conn, container.uuid)
        return Status.DELETED
    return status


def forget(conn: Connection, uuid: str) -> None:
    """Gives back what the records hold for a container that has no row; its host's things are the reaper's."""
    claims.release(conn, uuid)
    networks.release_ports(conn, uuid)
