"""Keeps the rows of this host's capsules true to its engine: the part of the observer that knows them (13.2-43).

A sandbox that has ended - its engine was restarted, the machine was - takes the network of its members with it, and no
engine starts them in the right order: that is done here, where the restart policy has members started again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

from sqlalchemy.engine import Connection

from zun.drivers.deadline import Deadline
from zun.drivers.runtime import Facts
from zun.model import lifecycle
from zun.model.capsule import Capsule
from zun.model.container import Container
from zun.model.lifecycle import Action, Observed, Status
from zun.model.names import new_uuid
from zun.model.operation import OperationState
from zun.service.errors import Conflict
from zun.service.intents import Asker, Intents
from zun.store import capsules, containers, operations
from zun.work import capsules as seen
from zun.work import facts
from zun.work.context import Env
from zun.work.metrics import WorkMetrics
from zun.work.steps.capsule import in_its_life

LOG = logging.getLogger(__name__)


class CapsuleWatch:
    """Of one host; the observer says when to look. `may_write` is asked in the transaction that writes."""

    def __init__(
        self,
        env: Env,
        intents: Intents,
        metrics: WorkMetrics,
        may_write: Callable[[Connection], bool],
    ) -> None:
        self._env = env
        self._may_write = may_write
        self._intents = intents
        self._means = env.on_host()
        self._metrics = metrics

    def row(self, uuid: str) -> Capsule | None:
        """The capsule, if it is on this host."""
        with self._env.db.read() as conn:
            found = capsules.get(conn, uuid)
        return found if found is not None and found.host == self._means.host else None

    def doubtful(self, listed: Mapping[str, Facts]) -> Sequence[str]:
        """The capsules whose sandbox a listing does not show as it should be, whatever was recorded of them last:
        an engine that is shut down ends the members first."""
        with self._env.db.read() as conn:
            mine = capsules.on_host(conn, self._means.host)
        settled = [capsule for capsule in mine if capsule.status not in lifecycle.IN_TRANSIT]
        return [
            capsule.uuid
            for capsule in settled
            if capsule.status is Status.UNKNOWN or not _runs(listed.get(capsule.uuid))
        ]

    def look(self, capsule: Capsule, deadline: Deadline) -> bool:
        """Looks, and writes what is new; whether nobody wrote in between. Raises DriverError."""
        with self._env.db.read() as conn:
            members = containers.members_of(conn, [capsule.uuid])[capsule.uuid]
        if capsule.status in lifecycle.IN_TRANSIT:
            return True
        found = seen.sights(self._means.runtime, capsule, members, deadline)
        if self._heals(capsule, members, found):
            return True
        verdict = seen.judge(capsule, members, found, _observed)
        fresh = {
            m.uuid: verdict.members[m.uuid]
            for m in members
            if m.uuid in verdict.members and facts.differs(m, verdict.members[m.uuid])
        }
        # Why an operation failed stays until something new is seen.
        if not fresh and verdict.capsule["status"] is capsule.status:
            return True
        return self._write(capsule, members, seen.Verdict(capsule=verdict.capsule, members=fresh))

    def _heals(self, capsule: Capsule, members: Sequence[Container], found: seen.Sights) -> bool:
        """Opens a reboot of a capsule whose sandbox has ended, or was started anew without its members.

        Not where the last one failed: it would fail again and again.
        """
        sandbox = found[capsule.uuid]
        ended = sandbox.observed in (Observed.EXITED, Observed.CREATED)
        astray = [
            m for m in members
            if found[m.uuid].observed is Observed.RUNNING and not in_its_life(found[m.uuid], sandbox)
        ]  # fmt: skip
        if capsule.restart_policy.get("Name") == "no" or not (ended or (_runs(sandbox) and astray)):
            return False
        with self._env.db.read() as conn:
            last = operations.of_container(conn, capsule.uuid)[0]
        if last.action is Action.REBOOT and last.state is OperationState.FAILED:
            return False
        LOG.info("capsule %s has lost its sandbox and is started again", capsule.uuid)
        asker = Asker(user_id=capsule.user_id, request_id=f"req-{new_uuid()}")
        try:
            self._intents.restart_capsule(asker, capsule.uuid)
        except Conflict:
            return False  # an operation came first; the write that follows finds it, too
        return True

    def _write(self, capsule: Capsule, members: Sequence[Container], verdict: seen.Verdict) -> bool:
        now = self._env.clock()

        def write(conn: Connection) -> bool | None:
            if not self._may_write(conn):
                return True  # another host's by now, perhaps: nothing to look at again
            if not capsules.update_if_idle(conn, capsule, now, verdict.capsule):
                return capsules.get(conn, capsule.uuid) is None
            for member in members:
                changes = verdict.members.get(member.uuid)
                if changes is None:
                    continue
                containers.update(conn, member.uuid, now, **changes)
                detail = {
                    "status": changes["status"],
                    "status_before": member.status,
                    "exit_code": changes.get("exit_code"),
                    "status_reason": changes.get("status_reason"),
                }
                operations.tell_observed(conn, member.uuid, member.project_id, now, detail)
            if verdict.capsule["status"] is not capsule.status:
                detail = {**verdict.capsule, "status_before": capsule.status}
                operations.tell_observed(conn, capsule.uuid, capsule.project_id, now, detail)
            return None

        gone = self._env.db.run(write)
        if gone is not None:
            return gone
        status = verdict.capsule["status"]
        if status is not capsule.status:
            LOG.info("capsule %s is %s (was %s)", capsule.uuid, status, capsule.status)
            self._metrics.observed.labels(status).inc()
        return True


def _runs(sandbox: Facts | None) -> bool:
    return sandbox is not None and sandbox.observed is Observed.RUNNING


def _observed(member: Container, observed: Observed) -> Status:
    return lifecycle.observe(member.status, observed, auto_remove=False)
