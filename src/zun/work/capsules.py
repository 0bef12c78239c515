"""What is seen of a capsule: of its sandbox and of each container, and what follows for the rows of all of them.

For the end of its operations, and for the observer when there is none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from sqlalchemy.engine import Connection

from zun.drivers.deadline import Deadline
from zun.drivers.runtime import Facts, Runtime
from zun.model import lifecycle
from zun.model.capsule import Capsule, finished, state_of
from zun.model.container import Container
from zun.model.lifecycle import Action, Observed, Status
from zun.model.operation import OperationState
from zun.store import capsules, claims, containers, networks, removal
from zun.work import facts as seen
from zun.work.context import StepContext

#: By the uuid of the capsule, which is its sandbox's, and of each container.
Sights = Mapping[str, Facts]


_ENDED_WELL: Mapping[str, Any] = {"lost_status": None, "status_reason": None}


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """The columns that follow from a look: of the capsule, and of each container by uuid."""

    capsule: Mapping[str, Any]
    members: Mapping[str, Mapping[str, Any]]

    def write(self, conn: Connection, uuid: str, now: Any) -> bool:
        """Sets them; whether the capsule has a row."""
        if not capsules.update(conn, uuid, now, self.capsule):
            return False
        for member, columns in self.members.items():
            containers.update(conn, member, now, **columns)
        return True


def sights(
    runtime: Runtime, capsule: Capsule, members: Sequence[Container], deadline: Deadline
) -> Sights:
    """Looks at all of it. Raises DriverError."""
    uuids = (capsule.uuid, *(member.uuid for member in members))
    return {uuid: runtime.inspect(uuid, deadline) for uuid in uuids}


def judge(
    capsule: Capsule,
    members: Sequence[Container],
    found: Sights,
    status_of: Callable[[Container, Observed], Status],
) -> Verdict:
    """What follows; `status_of` says which status a container has that was seen so."""
    changes: dict[str, Mapping[str, Any]] = {}
    for member in members:
        facts = found[member.uuid]
        before = replace(member, status=member.lost_status or member.status)
        if member.init and finished(before) and facts.observed is Observed.MISSING:
            # It has done its work; that somebody tidied it up is no news.
            changes[member.uuid] = {**_ENDED_WELL, "status": before.status}
            continue
        status = status_of(member, facts.observed)
        reason = seen.reason(member, status, facts)
        changes[member.uuid] = {**seen.columns(member, status, facts), "status_reason": reason}
    after = [replace(member, **changes.get(member.uuid, {})) for member in members]
    restarts = capsule.restart_policy.get("Name", "no")
    status, reason = state_of(restarts, after, found[capsule.uuid].observed)
    return Verdict(capsule={"status": status, "status_reason": reason}, members=changes)


# ---- the end of an operation


def look(ctx: StepContext) -> Sights | None:
    """What the engine shows when an operation ends; None where there is nothing to look at. Raises DriverError."""
    means, operation = ctx.env.means, ctx.operation
    deleted = operation.action is Action.DELETE and operation.state is OperationState.RUNNING
    if means is None or ctx.capsule.host is None or deleted:
        return None
    with ctx.env.db.read() as conn:
        members = containers.members_of(conn, [ctx.capsule.uuid])[ctx.capsule.uuid]
    return sights(means.runtime, ctx.capsule, members, ctx.deadline)


def done(conn: Connection, ctx: StepContext, found: Sights | None) -> Status:
    """Writes the statuses of a capsule whose operation did all its steps, or removes the rows; its status."""
    if ctx.operation.action is Action.DELETE:
        removal.remove_capsule(conn, ctx.capsule.uuid)
        return Status.DELETED
    if found is None:  # nobody answers: the observer corrects it when somebody does
        verdict = Verdict(capsule={"status": Status.RUNNING}, members={})
    else:
        verdict = _judged(conn, ctx, found, _settled)
    return _write(conn, ctx, verdict)


def _settled(member: Container, observed: Observed) -> Status:
    return lifecycle.settle(Action.START, member.status, observed) or member.status


def failed(conn: Connection, ctx: StepContext, found: Sights | None) -> Status:
    """Writes the statuses of a capsule whose operation could not be done, with the reason; its status."""
    action, why = ctx.operation.action, {"status_reason": ctx.operation.error}
    if action is not Action.CREATE and found is not None:
        verdict = _judged(conn, ctx, found, _as_it_is)
        verdict = replace(verdict, capsule={**verdict.capsule, **why})
    else:
        members = containers.members_of(conn, [ctx.capsule.uuid])[ctx.capsule.uuid]
        nothing = {
            "status": Status.ERROR, "container_id": None, "ports": None, "lost_status": None,
        }  # fmt: skip
        verdict = Verdict(
            capsule={"status": Status.ERROR, **why}, members={m.uuid: nothing for m in members}
        )
    return _write(conn, ctx, verdict)


def _as_it_is(member: Container, observed: Observed) -> Status:
    return lifecycle.fail(Action.DELETE, member.status, observed)


def _judged(
    conn: Connection,
    ctx: StepContext,
    found: Sights,
    status_of: Callable[[Container, Observed], Status],
) -> Verdict:
    members = containers.members_of(conn, [ctx.capsule.uuid])[ctx.capsule.uuid]
    return judge(ctx.capsule, members, found, status_of)


def _write(conn: Connection, ctx: StepContext, verdict: Verdict) -> Status:
    uuid = ctx.capsule.uuid
    if not verdict.write(conn, uuid, ctx.env.clock()):
        forget(conn, uuid)
        return Status.DELETED
    status: Status = verdict.capsule["status"]
    return status


def forget(conn: Connection, uuid: str) -> None:
    """Gives back what the records hold for a capsule that has no row; its host's things are the reaper's."""
    claims.release(conn, uuid)
    networks.release_ports(conn, uuid)
