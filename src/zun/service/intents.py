"""Opening operations: guard, row and journal in one transaction, then the nudge. Rule 1: intention first."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Any, TypeVar

from sqlalchemy.engine import Connection

from zun.bus import Bus
from zun.model import lifecycle
from zun.model.capsule import Capsule
from zun.model.container import Container
from zun.model.image import HostImage
from zun.model.lifecycle import Action, Status
from zun.model.names import new_uuid
from zun.model.operation import (
    CAPSULE,
    CLAIMABLE,
    CONDUCTOR_QUEUE,
    CONTAINER,
    IMAGE,
    OUTLIVING,
    EventKind,
    Operation,
    OperationState,
    host_queue,
)
from zun.service.errors import Conflict
from zun.store import capsules, containers, operations, removal
from zun.store.database import Database
from zun.store.errors import Contended
from zun.work import kinds
from zun.work.clock import Clock

Made = TypeVar("Made", bound=tuple[Container | HostImage | Capsule, Operation] | None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asker:
    """On whose behalf an operation is opened; the service itself asks under the container's own project."""

    user_id: str
    request_id: str


def guard(action: Action, container: Container) -> None:
    """Raises Conflict if the container's status forbids the action (contract 2.3)."""
    if not lifecycle.guard(action, container.status):
        raise Conflict(
            f"Container {container.uuid} is {container.status}: {action} is not possible in this state.",
            slug="invalid-state-exception",
        )


class Intents:
    """Writes intentions. `checkpoint` is for crash tests."""

    def __init__(
        self,
        db: Database,
        bus: Bus,
        clock: Clock,
        operation_seconds: float,
        checkpoint: Callable[[str], None] = lambda name: None,
    ) -> None:
        self._db = db
        self._bus = bus
        self._clock = clock
        self._seconds = operation_seconds
        self._checkpoint = checkpoint

    def create(
        self,
        asker: Asker,
        prepare: Callable[[Connection], tuple[Container, Mapping[str, Any]]],
    ) -> Container:
        """Inserts the row that `prepare` gives, with its operation. What `prepare` raises leaves nothing behind."""

        def write(conn: Connection) -> tuple[Container, Operation]:
            container, params = prepare(conn)
            containers.insert(conn, container)
            operation = self._operation(asker, Action.CREATE, container, params, CONDUCTOR_QUEUE)
            operations.open_(conn, operation)
            return container, operation

        return self._accepted(*self._written(write))

    def act(
        self,
        asker: Asker,
        uuid: str,
        action: Action,
        params: Mapping[str, Any],
        changes: Mapping[str, Any] | None = None,
        *,
        guarded: bool = True,
        queue: str | None = None,
        delay: float = 0.0,
        admit: Callable[[Connection, Container], object] = lambda conn, container: None,
    ) -> Container | None:
        """Opens an operation of `action`, setting `changes` in the row; None if the row is gone.

        `admit` is called in the same transaction, once the operation is open: what it raises leaves nothing behind.
        `guarded=False` is for the service itself, when what it saw on the host calls for it whatever the row says.
        `queue`: where it begins, by default on the container's host. `delay`: seconds until it may begin.
        Raises Conflict: the status forbids it, the container was never placed, or an operation is open.
        """

        def write(conn: Connection) -> tuple[Container, Operation] | None:
            operations.open_of(conn, uuid, hold=True)
            container = containers.hold(conn, uuid)
            if container is None:
                return None
            if guarded:
                guard(action, container)
            if container.host is None:
                raise Conflict(
                    f"Container {uuid} was never placed on a host; delete it and create another.",
                    slug="invalid-state-exception",
                )
            operation = self._operation(
                asker, action, container, params, queue or host_queue(container.host)
            )
            if delay:
                due = operation.created_at + timedelta(seconds=delay)
                operation = replace(operation, not_before=due)
            after = self._begin(conn, container, operation, changes or {})
            admit(conn, container)
            return after, operation

        written = self._written(write)
        return None if written is None else self._accepted(*written)

    def image(
        self,
        asker: Asker,
        action: Action,
        params: Mapping[str, Any],
        prepare: Callable[[Connection], HostImage],
    ) -> HostImage:
        """Opens an operation on the image that `prepare` gives, on its host. Raises Conflict: one is open."""

        def write(conn: Connection) -> tuple[HostImage, Operation]:
            image = prepare(conn)
            operation = self._operation(
                asker, action, image, params, host_queue(image.host), resource=IMAGE
            )
            try:
                operations.open_(conn, operation)
            except operations.AlreadyOpen as exc:
                raise Conflict(
                    f"Image {image.uuid} is busy: ask again when its last operation has ended."
                ) from exc
            return image, operation

        image, operation = self._written(write)
        self._tell(operation)
        return image

    def _written(self, write: Callable[[Connection], Made]) -> Made:
        """What `write` made of a row and its operation; by the operation's uuid it is known after a lost commit."""
        made: list[Made] = []

        def keep(conn: Connection) -> Made:
            made[:] = [write(conn)]
            return made[0]

        def committed(conn: Connection) -> Made | None:
            last = made[0]
            there = last is not None and operations.get(conn, last[1].uuid) is not None
            return last if there else None

        return self._db.run(keep, committed=committed)

    def _begin(
        self,
        conn: Connection,
        container: Container,
        operation: Operation,
        changes: Mapping[str, Any],
    ) -> Container:
        try:
            operations.open_(conn, operation)
        except operations.AlreadyOpen as exc:
            busy = operations.open_of(conn, container.uuid)
            what = busy.action if busy else "operation"
            raise Conflict(
                f"Container {container.uuid} is busy: its {what} has not ended. Ask again when it has."
            ) from exc
        return self._begun(conn, container, operation, changes)

    def _begun(
        self,
        conn: Connection,
        container: Container,
        operation: Operation,
        changes: Mapping[str, Any],
    ) -> Container:
        columns = {**changes, "status": lifecycle.begin(operation.action, container.status)}
        containers.update(conn, container.uuid, self._clock(), **columns)
        return replace(container, **columns)

    def delete(
        self, asker: Asker, uuid: str, params: Mapping[str, Any], guarded_as: Action | None
    ) -> None:
        """Opens a delete; it takes the place of an open operation, which ends at its next step boundary.

        `guarded_as` is the kind of delete whose rule applies; None is for the service itself.
        A container that no host has anything of goes at once.
        """

        def write(conn: Connection) -> tuple[Container, Operation] | None:
            busy = operations.open_of(conn, uuid, hold=True)
            container = containers.hold(conn, uuid)
            if container is None:
                return None
            if guarded_as is not None:
                guard(guarded_as, container)
            state, waits_for = self._make_way(conn, busy)
            if container.host is None and state is OperationState.PENDING:
                removal.remove_container(conn, uuid)
                gone = {"status": Status.DELETED, "status_before": container.status}
                operations.tell_observed(conn, uuid, container.project_id, self._clock(), gone)
                return None
            queue = host_queue(container.host) if container.host else CONDUCTOR_QUEUE
            operation = self._operation(asker, Action.DELETE, container, params, queue)
            operation = replace(operation, state=state, supersedes=waits_for)
            if container.host is None:
                operation = replace(operation, steps=())  # no host has anything of it
            self._open_delete(conn, operation)
            return self._begun(conn, container, operation, {}), operation

        written = self._written(write)
        if written is not None:
            self._accepted(*written)

    def create_capsule(
        self,
        asker: Asker,
        seconds: float,
        prepare: Callable[[Connection], tuple[Capsule, Sequence[Container]]],
    ) -> tuple[Capsule, Sequence[Container]]:
        """Inserts the rows that `prepare` gives, with one operation. What `prepare` raises leaves nothing behind.

        `seconds`: how long each init container may take, beyond what an operation may.
        """
        made: Sequence[Container] = ()

        def write(conn: Connection) -> tuple[Capsule, Operation]:
            nonlocal made
            capsule, made = prepare(conn)
            capsules.insert(conn, capsule)
            for member in made:
                containers.insert(conn, member)
            inits = sum(member.init for member in made)
            steps = kinds.capsule_steps(Action.CREATE, init=inits > 0)
            operation = self._operation(
                asker, Action.CREATE, capsule, {}, CONDUCTOR_QUEUE, resource=CAPSULE, steps=steps
            )
            later = timedelta(seconds=inits * seconds)
            operation = replace(operation, deadline=operation.deadline + later)
            operations.open_(conn, operation)
            return capsule, operation

        capsule, operation = self._written(write)
        self._tell(operation)
        return capsule, made

    def restart_capsule(self, asker: Asker, uuid: str) -> None:
        """Opens the reboot of a capsule that is placed, for the service itself. Raises Conflict: one is open."""

        def write(conn: Connection) -> tuple[Capsule, Operation] | None:
            operations.open_of(conn, uuid, hold=True)
            capsule = capsules.hold(conn, uuid)
            if capsule is None or capsule.host is None:
                return None
            steps = kinds.capsule_steps(Action.REBOOT, init=False)
            operation = self._operation(
                asker, Action.REBOOT, capsule, {}, host_queue(capsule.host), resource=CAPSULE, steps=steps
            )  # fmt: skip
            try:
                operations.open_(conn, operation)
            except operations.AlreadyOpen as exc:
                raise Conflict(f"Capsule {uuid} is busy.") from exc
            during = {"status": lifecycle.begin(Action.REBOOT, capsule.status)}
            capsules.update(conn, uuid, self._clock(), during)
            return capsule, operation

        written = self._written(write)
        if written is not None:
            self._tell(written[1])

    def delete_capsule(self, asker: Asker, uuid: str) -> None:
        """Opens a delete, whatever the status (contract 2.5); it takes the place of an open operation, as `delete`'s.

        A capsule that no host has anything of goes at once.
        """

        def write(conn: Connection) -> tuple[Capsule, Operation] | None:
            busy = operations.open_of(conn, uuid, hold=True)
            capsule = capsules.hold(conn, uuid)
            if capsule is None:
                return None
            state, waits_for = self._make_way(conn, busy)
            if capsule.host is None and state is OperationState.PENDING:
                removal.remove_capsule(conn, uuid)
                gone = {"status": Status.DELETED, "status_before": capsule.status}
                operations.tell_observed(conn, uuid, capsule.project_id, self._clock(), gone)
                return None
            queue = host_queue(capsule.host) if capsule.host else CONDUCTOR_QUEUE
            steps = kinds.capsule_steps(Action.DELETE, init=False) if capsule.host else ()
            operation = self._operation(
                asker, Action.DELETE, capsule, {}, queue, resource=CAPSULE, steps=steps
            )
            operation = replace(operation, state=state, supersedes=waits_for)
            self._open_delete(conn, operation)
            now, going = self._clock(), {"status": Status.DELETING}
            capsules.update(conn, uuid, now, going)
            for member in containers.members_of(conn, [uuid])[uuid]:
                containers.update(conn, member.uuid, now, **going)
            return capsule, operation

        written = self._written(write)
        if written is not None:
            self._tell(written[1])

    def wake(self, uuid: str) -> None:
        """Has the open operation of a resource looked after now, where it waits for its time."""
        queue = self._db.run(lambda conn: operations.wake(conn, uuid), twice=True)
        if queue is not None:
            self._bus.nudge(queue)

    def _open_delete(self, conn: Connection, operation: Operation) -> None:
        try:
            operations.open_(conn, operation)
        except operations.AlreadyOpen as exc:
            # Somebody opened one between our looking and our hold: begun anew, this one takes its place.
            raise Contended(f"{operation.container_uuid} was given an operation just now") from exc

    def _make_way(
        self, conn: Connection, busy: Operation | None
    ) -> tuple[OperationState, str | None]:
        """Ends the container's open operation, or has it end soon; the state the delete begins in."""
        if busy is None:
            return OperationState.PENDING, None
        operations.supersede(conn, busy)
        if busy.action in OUTLIVING:
            return OperationState.WAITING, busy.uuid
        if busy.state in CLAIMABLE or busy.state is OperationState.WAITING:
            now = self._clock()
            gone = replace(busy, version=busy.version + 1)
            ended = operations.close(conn, gone, OperationState.CANCELLED, now, None)
            assert ended is not None
            operations.tell(conn, ended, EventKind.CANCELLED, now)
        if busy.state is OperationState.WAITING:
            return OperationState.WAITING, busy.supersedes
        if busy.state in CLAIMABLE:
            return OperationState.PENDING, None
        return OperationState.WAITING, busy.uuid

    def _operation(
        self,
        asker: Asker,
        action: Action,
        row: Container | HostImage | Capsule,
        params: Mapping[str, Any],
        queue: str,
        *,
        resource: str = CONTAINER,
        steps: Sequence[str] | None = None,
    ) -> Operation:
        now = self._clock()
        status = None if isinstance(row, HostImage) else row.status
        return Operation(
            uuid=new_uuid(),
            action=action,
            resource=resource,
            container_uuid=row.uuid,
            project_id=row.project_id,
            user_id=asker.user_id,
            request_id=asker.request_id,
            queue=queue,
            state=OperationState.PENDING,
            steps=kinds.steps_of(action, params, status) if steps is None else steps,
            params=params,
            prior_status=status,
            deadline=now + timedelta(seconds=self._seconds + float(params.get("timeout") or 0)),
            created_at=now,
        )

    def _accepted(self, container: Container, operation: Operation) -> Container:
        self._tell(operation)
        return replace(container, open_action=operation.action, open_begun=False)

    def _tell(self, operation: Operation) -> None:
        self._checkpoint(f"accepted:{operation.action}")
        # Also where it waits: what it waits for may have to be taken up again.
        self._bus.nudge(operation.queue)
