"""Watches the hosts: who is silent is down, what ran there is Unknown, and what may be made anew elsewhere is.

Every round looks at the records alone and does what is still to be done, so it does not matter where another was
killed, nor how many conductors watch. Rules and times: decisions 0019 and 0020.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import partial
from typing import Any

from sqlalchemy.engine import Connection

from zun.bus import Bus
from zun.model.capsule import Capsule
from zun.model.container import Container
from zun.model.host import Mode
from zun.model.lifecycle import IN_TRANSIT, Action, Status
from zun.model.names import new_uuid
from zun.model.operation import (
    CLAIMABLE,
    CONDUCTOR_QUEUE,
    IMAGE,
    EventKind,
    Operation,
    OperationState,
    host_queue,
)
from zun.service.errors import ServiceError
from zun.service.intents import Asker, Intents
from zun.store import capsules, claims, containers, hosts, left_behind, operations, standing
from zun.store.errors import DatabaseError
from zun.store.standing import Silent
from zun.work import kinds
from zun.work.context import Env
from zun.work.metrics import WorkMetrics
from zun.work.runner import Checkpoint
from zun.work.steps.place import request_of
from zun.work.subjects import SUBJECTS

LOG = logging.getLogger(__name__)

_AT_ONCE = 200  # rows read at once

#: Statuses that promise nothing of how it is now.
_SAYS_NOTHING = frozenset({Status.UNKNOWN, Status.ERROR}) | IN_TRANSIT


@dataclass(frozen=True, slots=True, kw_only=True)
class WatchSettings:
    """Seconds. `round`: between two looks. `recreate_after`: without any touch of its agent, until what may be moved is
    made anew elsewhere; None = only once an operator says that the host is down. `margin`: at least so much after the
    host's own agent must have stopped it.
    """

    round: float = 5.0
    recreate_after: float | None = 180.0
    margin: float = 60.0


class HostWatch:
    """One a conductor; a thread of its own between `start` and `stop`."""

    def __init__(
        self,
        env: Env,
        bus: Bus,
        intents: Intents,
        settings: WatchSettings,
        metrics: WorkMetrics,
        checkpoint: Checkpoint = lambda name: None,
    ) -> None:
        self._env = env
        self._bus = bus
        self._intents = intents
        self._settings = settings
        self._metrics = metrics
        self._checkpoint = checkpoint
        self._recounted = ""  # up to which host, by name
        self._stays: dict[str, tuple[int, int]] = {}  # what was said to stay on a drained host
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="host-watch")

    def start(self) -> None:
        """Begins."""
        self._thread.start()

    def stop(self) -> None:
        """Ends."""
        self._stopping.set()
        if self._thread.ident is not None:
            self._thread.join(5)

    @property
    def alive(self) -> bool:
        """Whether it works."""
        return self._thread.is_alive()

    def _watch(self) -> None:
        while not self._stopping.wait(self._settings.round):
            try:
                self.look()
            except DatabaseError as exc:
                LOG.warning("a look at the hosts is put off: %s", exc)
            except Exception:
                LOG.exception("a look at the hosts failed")

    def look(self) -> None:
        """One round."""
        with self._env.db.read() as conn:
            now = standing.now(conn, self._env.clock())
            silent = standing.silent(conn, now, self._env.settings.down_after)
            drained = hosts.in_mode(conn, Mode.DRAINING)
        for host in silent:
            self._guarded(self._see_to, host, now)
        for name in drained:
            if name not in {host.hostname for host in silent}:
                self._guarded(self._drain, name)
        self._stays = {name: told for name, told in self._stays.items() if name in drained}
        self.recount()

    def _guarded(self, do: Callable[..., None], *args: Any) -> None:
        # One host's trouble is no reason to leave the others alone.
        try:
            do(*args)
        except Exception:
            LOG.exception("seeing to host %s failed", args[0])

    # ---- a host that is silent

    def _see_to(self, host: Silent, now: datetime) -> None:
        name, down_after = host.hostname, self._env.settings.down_after
        if not host.lost:
            if self._env.db.run(
                lambda conn: standing.lose(conn, name, now, down_after), twice=True
            ):
                self._metrics.hosts_lost.inc()
                LOG.error("host %s is down: %s", name, _why(host))
            self._checkpoint(f"lost:{name}")
        self._guarded(self._tell_unknown, name, now)
        if not host.fenced and self._may_fence(host):
            self._fence(host, now)
        with self._env.db.read() as conn:
            stands = standing.of(conn, name)
        fenced = stands is not None and stands.fenced
        self._take_from(host, now, fenced=fenced)
        if fenced:
            self._recreate(name)

    def _may_fence(self, host: Silent) -> bool:
        if host.forced_down:
            return True
        if host.mode == Mode.MAINTENANCE or host.fence_after is None:
            return False  # it is silent with leave; or nothing there stops what would run twice
        return self._settings.recreate_after is not None and host.contact_at is not None

    def _fence(self, host: Silent, now: datetime) -> None:
        before = None
        if self._settings.recreate_after is not None and host.fence_after is not None:
            least = host.fence_after + self._settings.margin
            before = now - timedelta(seconds=max(self._settings.recreate_after, least))
        queue = host_queue(host.hostname)

        def fence(conn: Connection) -> tuple[int, int] | None:
            epoch = standing.fence(conn, host.hostname, now, before)
            if epoch is None:
                return None
            # Whatever its old life holds, it can't write it down any more.
            freed = operations.take_back(conn, now, by=f"compute:{host.hostname}", epoch=epoch)
            return epoch, len(freed)

        done = self._env.db.run(fence)
        if done is None:
            return
        self._metrics.hosts_fenced.inc()
        LOG.error(
            "host %s is fenced, epoch %d: %s; %d operations in %s wait for it",
            host.hostname, done[0], _why(host), done[1], queue,
        )  # fmt: skip
        self._checkpoint(f"fenced:{host.hostname}")

    def _take_from(self, host: Silent, now: datetime, *, fenced: bool) -> None:
        """Creates the host has not begun are placed anew; what waits for it longer than it may, ends.

        Also creates that it has begun, once nothing can come of them there: an operator says so, or the host itself
        has stopped them, as it does with those that may be moved.
        """
        name = host.hostname
        with self._env.db.read() as conn:
            waiting = operations.open_in(conn, host_queue(name), _AT_ONCE)
            rows = {o.uuid: containers.get(conn, o.container_uuid) for o in waiting if fenced}
        for operation in waiting:
            if operation.state not in CLAIMABLE:
                continue  # its lease, or the fence, frees it
            row = rows.get(operation.uuid)
            over = fenced and (host.forced_down or (row is not None and bool(row.movable)))
            if operation.action is Action.CREATE and (over or not operation.begun):
                self._place_anew(operation, name)
            elif operation.action is Action.DELETE:
                self._prolong(operation, now)  # what is gone for its user must go, whenever
            elif operation.deadline <= now:
                self._give_up(operation, name, now)

    def _place_anew(self, operation: Operation, name: str) -> None:
        uuid, now = operation.container_uuid, self._env.clock()
        step = next(step for step in operation.steps if step in kinds.PLACES)

        def write(conn: Connection) -> bool:
            new = operations.change(
                conn, operation, queue=CONDUCTOR_QUEUE, state=OperationState.PENDING, attempts=0,
                position=operation.steps.index(step), outputs={}, not_before=None,
            )  # fmt: skip
            if new is None:
                return False
            claims.release(conn, uuid)
            SUBJECTS[operation.resource].update(conn, uuid, now, {"host": None})
            members = [member.uuid for member in containers.members_of(conn, [uuid])[uuid]]
            for member in members:
                containers.update(conn, member, now, host=None)
            if operation.begun:
                left_behind.add(conn, name, [uuid, *members])
            operations.tell(conn, new, EventKind.TAKEN_BACK, now, detail={"from": name})
            return True

        if not self._env.db.run(write):
            return
        LOG.info("create of %s is placed anew: host %s is down", uuid, name)
        self._bus.nudge(CONDUCTOR_QUEUE)

    def _prolong(self, operation: Operation, now: datetime) -> None:
        left = (operation.deadline - now).total_seconds()
        if left < 60:
            later = now + timedelta(seconds=600)
            self._env.db.run(lambda conn: operations.change(conn, operation, deadline=later))

    def _give_up(self, operation: Operation, name: str, now: datetime) -> None:
        error = f"Host {name} has not come back in time."
        # How it is, nobody knows: a create may have come to its end or to none.
        lost = operation.action not in (Action.CREATE, Action.REBUILD, Action.MOVE)
        status = None if operation.resource == IMAGE else Status.UNKNOWN if lost else Status.ERROR

        def write(conn: Connection) -> None:
            new = operations.close(conn, operation, OperationState.FAILED, now, error)
            if new is None:
                return
            if status is not None:
                changes: dict[str, Any] = {"status": status, "status_reason": error}
                row = containers.get(conn, operation.container_uuid)
                if row is not None:
                    changes["lost_status"] = row.lost_status or operation.prior_status
                SUBJECTS[operation.resource].update(conn, operation.container_uuid, now, changes)
                if not lost:  # what is lost of a capsule its containers are told as any other
                    self._give_up_members(conn, operation.container_uuid, now)
            detail = {"error": error, **({"status": status} if status else {})}
            operations.tell(conn, new, EventKind.FAILED, now, detail=detail)

        self._env.db.run(write)
        LOG.warning("%s of %s is given up: %s", operation.action, operation.container_uuid, error)

    def _give_up_members(self, conn: Connection, capsule: str, now: datetime) -> None:
        for member in containers.members_of(conn, [capsule])[capsule]:
            containers.update(conn, member.uuid, now, status=Status.ERROR, lost_status=None)

    # ---- its containers

    def _tell_unknown(self, name: str, now: datetime) -> None:
        while not self._stopping.is_set():
            with self._env.db.read() as conn:
                rows = containers.still_told(conn, name, _AT_ONCE)
            told = sum(self._unknown(row, now) for row in rows)
            if told:
                LOG.warning("%d containers of host %s are Unknown: it is down", told, name)
            if not told or len(rows) < _AT_ONCE:
                break
        with self._env.db.read() as conn:
            mine = [c for c in capsules.on_host(conn, name) if c.status not in _SAYS_NOTHING]
        for capsule in mine:
            self._unknown_capsule(capsule, name, now)

    def _unknown_capsule(self, capsule: Capsule, name: str, now: datetime) -> None:
        def write(conn: Connection) -> None:
            since = standing.lost_since(conn, name)
            if since is None:
                return
            reason = _unheard(name, since, capsule.status)
            columns = {"status": Status.UNKNOWN, "status_reason": reason}
            if capsules.update_if_idle(conn, capsule, now, columns):
                detail = {**columns, "status_before": capsule.status}
                operations.tell_observed(conn, capsule.uuid, capsule.project_id, now, detail)

        self._env.db.run(write)

    def _unknown(self, row: Container, now: datetime) -> bool:
        host = row.host
        assert host is not None

        def write(conn: Connection) -> bool:
            # Held: a host that comes back now is let in after this, and then corrects it.
            since = standing.lost_since(conn, host)
            if since is None:
                return False
            reason = _unheard(host, since, row.status)
            columns = {"status": Status.UNKNOWN, "status_reason": reason}
            if not containers.update_if_idle(
                conn, row.uuid, host, row.status, now, lost_status=row.status, **columns
            ):
                return False
            detail = {**columns, "status_before": row.status}
            operations.tell_observed(conn, row.uuid, row.project_id, now, detail)
            return True

        return self._env.db.run(write)

    def _recreate(self, name: str) -> None:
        with self._env.db.read() as conn:
            rows = containers.movable_on(conn, name)
        for row in rows:
            if self._open(Action.RECREATE, row, name, "failure", self._still_fenced):
                self._checkpoint(f"recreate:{row.uuid}")

    def _still_fenced(self, conn: Connection, row: Container) -> None:
        if row.host is None or not standing.is_fenced(conn, row.host):
            raise _NotNow

    # ---- a host that is drained

    def _drain(self, name: str) -> None:
        """Moves those that may move and for which there is room elsewhere."""
        with self._env.db.read() as conn:
            rows = containers.movable_on(conn, name)
        for row in rows:
            with self._env.db.read() as conn:
                request = request_of(row, row.placement or {}, [name])
                room = self._env.placing().could(conn, request, self._env.clock())
            if not room.hosts:
                LOG.warning("container %s can't leave host %s: %s", row.uuid, name, room.explain())
                continue
            if self._open(Action.MOVE, row, name, "drain", self._still_drained):
                self._checkpoint(f"move:{row.uuid}")
        if not rows:
            self._tell_what_stays(name)

    def _tell_what_stays(self, name: str) -> None:
        """Once, and again when it is less: whoever drains a host waits for this."""
        with self._env.db.read() as conn:
            if containers.any_moving(conn, name):
                return
            stays = containers.count_alone_on(conn, name), len(capsules.on_host(conn, name))
        if self._stays.get(name) != stays:
            self._stays[name] = stays
            LOG.warning(
                "host %s is drained: %d containers and %d capsules stay; of containers those are moved that run and "
                "may be made anew, capsules never are", name, *stays,
            )  # fmt: skip

    def _still_drained(self, conn: Connection, row: Container) -> None:
        host = None if row.host is None else hosts.find(conn, row.host)
        if host is None or host.mode is not Mode.DRAINING:
            raise _NotNow

    def _open(
        self,
        action: Action,
        row: Container,
        leave: str,
        why: str,
        admit: Callable[[Connection, Container], None],
    ) -> bool:
        asker = Asker(user_id=row.user_id, request_id=f"req-{new_uuid()}")
        try:
            opened = self._intents.act(
                asker, row.uuid, action, {"leave": leave}, guarded=False, admit=admit,
                queue=CONDUCTOR_QUEUE if action is Action.RECREATE else None,
            )  # fmt: skip
        except (ServiceError, _NotNow):
            return False  # somebody was faster; the next round looks again
        if opened is None:
            return False
        LOG.warning("container %s is made anew elsewhere: %s of host %s", row.uuid, why, leave)
        self._metrics.moves.labels(why).inc()
        return True

    # ---- what is claimed

    def recount(self) -> None:
        """Compares what the rows of the next hosts say is used with their claims, and corrects it."""
        with self._env.db.read() as conn:
            next_ = hosts.names_after(conn, self._recounted, _AT_ONCE)
            wrong_ones = claims.drifting(conn, next_) if next_ else ()
        self._recounted = next_[-1] if len(next_) == _AT_ONCE else ""
        for name in wrong_ones:
            wrong = self._env.db.run(partial(claims.correct, host=name))
            for resource, (recorded, counted) in wrong.items():
                self._metrics.drift.labels(resource).inc()
                LOG.error(
                    "host %s: %s used was recorded as %g, its claims say %g: corrected",
                    name, resource, recorded, counted,
                )  # fmt: skip


class _NotNow(Exception):
    """The reason for it has gone meanwhile."""


def _unheard(host: str, since: datetime, status: Status) -> str:
    return f"Host {host} has not been heard of since {since:%Y-%m-%d %H:%M:%S} UTC; it was {status} then."


def _why(host: Silent) -> str:
    if host.forced_down:
        return "an operator says so"
    return f"not heard of since {host.last_seen_up} UTC"
