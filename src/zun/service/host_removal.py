"""Taking a host out of the records: when nothing is on it, or by force when it is down and will not come back."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from functools import partial

from sqlalchemy.engine import Connection

from zun.model.capsule import Capsule
from zun.model.container import Container
from zun.model.host import Host, beats
from zun.model.lifecycle import Action, Status
from zun.model.operation import IMAGE, EventKind, OperationState, host_queue
from zun.service.errors import Conflict
from zun.service.settings import ServiceSettings
from zun.store import (
    capsules,
    claims,
    containers,
    hosts,
    left_behind,
    operations,
    removal,
    standing,
)
from zun.store.database import Database
from zun.work.clock import Clock

LOG = logging.getLogger(__name__)

_AT_ONCE = 1000
_ANEW = frozenset({Action.RECREATE, Action.MOVE})
_GONE: Mapping[str, None] = {"container_id": None, "lost_status": None}


class HostRemoval:
    """See `remove`."""

    def __init__(self, db: Database, clock: Clock, settings: ServiceSettings) -> None:
        self._db = db
        self._clock = clock
        self._down_after = settings.down_after

    def remove(self, host: Host, *, force: bool) -> None:
        """Removes a host whose agent is gone. Raises Conflict: it is alive, or something is on it.

        `force`: what is on it is given up - Error, for its user to delete - but what is being made anew elsewhere,
        which goes on. Should the host ever return, it removes all that before it does anything else.
        """
        self._refuse_alive(host)
        name = host.hostname
        if force:
            self._db.run(lambda conn: self._fence(conn, name), twice=True)
            for row in self._on(name):
                self._db.run(partial(self._give_up, uuid=row.uuid, name=name))
            self._db.run(partial(self._end_images, name=name), twice=True)
        removed = self._db.run(lambda conn: self._forget(conn, name, keep=force), twice=True)
        if not removed:
            raise Conflict(
                f"Host {name} still has containers: drain it, or delete them, or remove it with force once it is down "
                "for good."
            )
        LOG.warning("host %s was removed%s", name, " by force" if force else "")

    def _refuse_alive(self, host: Host) -> None:
        with self._db.read() as conn:
            now = standing.now(conn, self._clock())
        alive = beats(now, self._down_after, host.last_seen_up, host.lease_until)
        if alive and not host.forced_down:
            raise Conflict(
                f"Host {host.hostname} is up: stop its zun-compute first and wait until it is shown as down, or force "
                "it down."
            )

    def _fence(self, conn: Connection, name: str) -> None:
        now = standing.now(conn, self._clock())
        standing.lose_removed(conn, name, now)
        epoch = standing.fence_removed(conn, name, now)
        if epoch is not None:
            operations.take_back(conn, now, by=f"compute:{name}", epoch=epoch)

    def _on(self, name: str) -> Sequence[Container | Capsule]:
        with self._db.read() as conn:
            alone = [row for row in containers.on_host(conn, name) if row.capsule_uuid is None]
            return [*alone, *capsules.on_host(conn, name)]

    def _give_up(self, conn: Connection, uuid: str, name: str) -> None:
        now = self._clock()
        busy = operations.open_of(conn, uuid, hold=True)
        row = containers.hold(conn, uuid) or capsules.hold(conn, uuid)
        if row is None or row.host != name:
            return  # it went, or went elsewhere, since it was listed
        members = containers.members_of(conn, [uuid])[uuid]
        left_behind.add(conn, name, [uuid, *(member.uuid for member in members)])
        if busy is not None and busy.action in _ANEW and busy.queue != host_queue(name):
            return  # it is made anew elsewhere, and nothing more is to be done here for that
        error = f"Host {name} was removed; delete this and create it anew."
        if busy is not None:
            ended = operations.close(conn, busy, OperationState.FAILED, now, error)
            assert ended is not None  # it is held
            operations.tell(conn, ended, EventKind.FAILED, now, detail={"error": error})
            if busy.action is Action.DELETE:
                remove = (
                    removal.remove_container
                    if isinstance(row, Container)
                    else removal.remove_capsule
                )
                remove(conn, row.uuid)
                return
        claims.release(conn, row.uuid)
        changes = {"status": Status.ERROR, "status_reason": error, "host": None}
        if isinstance(row, Container):
            containers.update(conn, row.uuid, now, **_GONE, **changes)
        else:
            capsules.update(conn, row.uuid, now, {**changes, "sandbox_id": None})
            for member in members:
                containers.update(conn, member.uuid, now, **_GONE, **changes)
        detail = {"status": Status.ERROR, "status_before": row.status, "status_reason": error}
        operations.tell_observed(conn, row.uuid, row.project_id, now, detail)

    def _end_images(self, conn: Connection, name: str) -> None:
        """What was to be done to images there will not be; nobody else would end it."""
        error, now = f"Host {name} was removed.", self._clock()
        for operation in operations.open_in(conn, host_queue(name), _AT_ONCE):
            if operation.resource == IMAGE:
                ended = operations.close(conn, operation, OperationState.FAILED, now, error)
                if ended is not None:
                    operations.tell(conn, ended, EventKind.FAILED, now, detail={"error": error})

    def _forget(self, conn: Connection, name: str, *, keep: bool) -> bool:
        """Removes the rows, or (`keep`) hides the host's, so that it is known should it come back; whether it could."""
        if not keep and (containers.any_on(conn, name) or capsules.on_host(conn, name)):
            return False
        now = standing.of(conn, name)
        keep = keep or (now is not None and now.fenced)  # what it still has is others' by now
        hosts.delete_service(conn, name, hosts.BINARY)
        hosts.remove(conn, name, standing.now(conn, self._clock()) if keep else None)
        return True
