"""The use cases of containers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.engine import Connection

from zun.bus import Bus
from zun.model.container import Container, Draft, Listed
from zun.model.lifecycle import Action
from zun.model.names import uuid_or_none
from zun.model.operation import UNRECORDED, Event, Operation
from zun.model.quota import resized
from zun.service import drafts, quotas
from zun.service.caller import Caller
from zun.service.errors import Conflict, Invalid, NotFound
from zun.service.intents import Asker, Intents, guard
from zun.service.once import Creating, Once
from zun.service.queries import ExecAnswer, ListQuery, LogQuery
from zun.service.questions import Questions, TooLate, check_placed
from zun.service.settings import ServiceSettings
from zun.service.sizes import SIZES, Sizes
from zun.store import containers, operations
from zun.store.database import Database
from zun.work.clock import Clock


class Containers:
    """What a user may do with containers. All raise `service.errors`; authorisation is the caller's business."""

    def __init__(
        self, db: Database, bus: Bus, intents: Intents, settings: ServiceSettings, clock: Clock
    ) -> None:
        self._db = db
        self._questions = Questions(db, bus, settings, clock)
        self._intents = intents
        self._sizes = Sizes(db, settings.ask_seconds)
        self._settings = settings
        self._clock = clock
        self._creating = Creating(db, intents, settings, clock)

    # ---- reading

    def find(self, caller: Caller, ident: str, *, any_project: bool = False) -> Container:
        """The container of this uuid, else of exactly this name, within the caller's project (contract 2.0).

        Raises NotFound, also for one of another project; Conflict where several have the name.
        """
        scope = None if any_project or caller.is_admin else caller.project_id
        uuid = uuid_or_none(ident)
        with self._db.read() as conn:
            if uuid is not None:
                one = containers.get(conn, uuid)
                mine = one is not None and scope in (None, one.project_id)
                found = [one] if one is not None and mine and one.capsule_uuid is None else []
            else:
                found = containers.find(conn, ident, scope)
        if not found:
            raise NotFound(f"There is no container {ident[:255]} in your project.")
        if len(found) > 1:
            raise Conflict(f"Several containers are named {ident!r}; use a uuid.")
        return found[0]

    def list(self, caller: Caller, query: ListQuery) -> Sequence[Listed]:
        """One page. Raises NotFound for a marker that the caller can't see."""
        scope = None if query.all_projects else caller.project_id
        with self._db.read() as conn:
            after = None
            if query.marker is not None:
                after = containers.get(conn, query.marker)
                member = after is not None and after.capsule_uuid is not None
                if after is None or member or scope not in (None, after.project_id):
                    raise NotFound(f"marker: there is no container {query.marker[:64]}.")
            return containers.page(
                conn,
                project_id=scope,
                filters=query.filters,
                limit=query.limit,
                after=after,
                sort_key=query.sort_key,
                descending=query.descending,
            )

    def actions(self, container: Container) -> Sequence[Operation]:
        """The operations of a container, newest first (contract 9)."""
        with self._db.read() as conn:
            every = operations.of_container(conn, container.uuid)
        return [operation for operation in every if operation.action not in UNRECORDED]

    def action(self, container: Container, request_id: str) -> tuple[Operation, Sequence[Event]]:
        """The newest operation of a container under a request id, and its events, oldest first. Raises NotFound."""
        with self._db.read() as conn:
            for operation in operations.of_container(conn, container.uuid):
                if operation.request_id == request_id and operation.action not in UNRECORDED:
                    return operation, operations.events_of(conn, operation.uuid)
        raise NotFound(
            f"Container {container.uuid} has no action of request {request_id[:64]}.",
            slug="resource-not-found",
        )

    # ---- intentions

    def create(self, caller: Caller, draft: Draft) -> Container:
        """Accepts a container: the row is there, the rest follows (contract 2.2)."""
        return self._creating.anew(caller, draft)

    def create_once(self, caller: Caller, draft: Draft, once: Once) -> tuple[Container, bool]:
        """Likewise, unless the key has made one; the container, and whether it was there. Raises Conflict."""
        return self._creating.once(caller, draft, once)

    def act(self, caller: Caller, container: Container, action: Action, **params: Any) -> Container:
        """Accepts START, STOP (timeout), REBOOT (timeout), PAUSE, UNPAUSE, KILL (signal) or REBUILD (image,
        image_driver). Raises Conflict."""
        changes: dict[str, Any] = {}
        if action is Action.REBUILD:
            changes = self._new_image(container, params)
            params = {"force": True}
        given = {key: value for key, value in params.items() if value is not None}
        return self._there(
            container, self._intents.act(asker(caller), container.uuid, action, given, changes)
        )

    def _new_image(self, container: Container, params: Mapping[str, Any]) -> dict[str, Any]:
        driver = params.get("image_driver") or container.image_driver
        if driver not in self._settings.image_drivers:
            raise Invalid(f"image_driver: {driver!r} is not configured.")
        image = params.get("image") or container.image
        drafts.check_image(image)
        if image == container.image and driver == container.image_driver:
            return {}
        return {"image": image, "image_driver": driver, "image_command": None,
                "image_entrypoint": None, "image_digest": None}  # fmt: skip

    def delete(self, caller: Caller, container: Container, *, force: bool, stop: bool) -> None:
        """Accepts a delete (contract 2.4). Raises Conflict."""
        as_action = Action.DELETE_FORCE if force else Action.DELETE_STOP if stop else Action.DELETE
        params = {"force": force, "stop": stop}
        self._intents.delete(asker(caller), container.uuid, params, as_action)

    # ---- changes of the row alone

    def rename(self, caller: Caller, container: Container, name: str) -> Container:
        """Gives another name (contract 6, rename). Raises Conflict for the name it has, or one that is taken."""
        if name == container.name:
            raise Conflict(f"name: container {container.uuid} is named {name!r} already.")
        return self._change(container, {"name": name})

    def update(self, caller: Caller, container: Container, changes: Mapping[str, Any]) -> Container:
        """PATCH: name, auto_heal, cpu, memory (contract 2.1); the latter two are true when this returns.

        Raises Conflict: the host lacks room, the engine refuses, the container is busy. Unavailable: not known yet.
        """
        guard(Action.UPDATE, container)
        fresh = {k: v for k, v in changes.items() if getattr(container, k) != v}
        if fresh.keys() & SIZES:
            self._resize(caller, container, Action.UPDATE, fresh)
            return self._sizes.ended(container, Action.UPDATE, caller.request_id)
        return self._change(container, fresh) if fresh else container

    def resize(self, caller: Caller, container: Container, changes: Mapping[str, Any]) -> Container:
        """resize_container: as `update`, but cpu and memory follow later. Raises Conflict."""
        guard(Action.RESIZE_CONTAINER, container)
        fresh = {k: v for k, v in changes.items() if getattr(container, k) != v}
        if fresh.keys() & SIZES:
            return self._resize(caller, container, Action.RESIZE_CONTAINER, fresh)
        return self._change(container, fresh) if fresh else container

    def _resize(
        self, caller: Caller, container: Container, action: Action, fresh: Mapping[str, Any]
    ) -> Container:
        cpu = fresh.get("cpu", container.cpu)
        memory = fresh.get("memory", container.memory)
        quota = self._settings.quota

        def admit(conn: Connection, row: Container) -> None:
            if "name" in fresh:
                drafts.check_unique(conn, row.project_id, fresh["name"], self._settings, row.uuid)
            quotas.check(conn, row.project_id, resized(row, cpu, memory), quota)
            self._sizes.admit(conn, row, fresh)

        params = {
            "cpu": cpu,
            "memory": memory,
            "also": {k: v for k, v in fresh.items() if k not in SIZES},
            "quota": dict(quota.limits),  # for the step that counts what the project uses
            "quota_enforced": quota.enforced,
        }
        return self._there(
            container,
            self._intents.act(asker(caller), container.uuid, action, params, admit=admit),
        )

    def _change(self, container: Container, changes: Mapping[str, Any]) -> Container:

        def write(conn: Connection) -> Container | None:
            if "name" in changes:
                drafts.check_unique(
                    conn, container.project_id, changes["name"], self._settings, container.uuid
                )
            containers.update(conn, container.uuid, self._clock(), **changes)
            return containers.get(conn, container.uuid)

        return self._there(container, self._db.run(write))

    def _there(self, container: Container, after: Container | None) -> Container:
        if after is None:
            raise NotFound(f"There is no container {container.uuid} any more.")
        return after

    # ---- questions to the host

    def logs(self, caller: Caller, container: Container, query: LogQuery) -> str:
        """The log so far, at most the configured number of bytes from its end; undecodable bytes are replaced."""
        guard(Action.LOGS, container)
        arguments = arguments_of(container, query, self._settings.log_bytes)
        raw: bytes = self._questions.ask(container, "logs", arguments)
        return raw.decode("utf-8", "replace")

    def execute(
        self,
        caller: Caller,
        container: Container,
        command: Sequence[str],
        stdin: str | None = None,
    ) -> ExecAnswer:
        """Runs a command in the container and waits for it (contract 5.1); `stdin` is what it reads.

        Raises Conflict when it takes too long.
        """
        arguments = self.check_execute(container, command, stdin)
        try:
            answer = self._questions.ask(
                container, "execute", arguments, self._settings.execute_seconds
            )
        except TooLate as exc:
            raise Conflict(
                f"The command did not end within {self._settings.execute_seconds:g} s and was killed."
            ) from exc
        return ExecAnswer.of(answer)

    def check_logs(self, container: Container) -> None:
        """Raises Conflict or Invalid where the log can't be asked for."""
        guard(Action.LOGS, container)
        check_placed(container)

    def check_execute(
        self, container: Container, command: Sequence[str], stdin: str | None = None
    ) -> Mapping[str, Any]:
        """The question that runs `command`. Raises Conflict or Invalid where it can't be asked."""
        guard(Action.EXECUTE, container)
        check_placed(container)
        return {
            "uuid": container.uuid,
            "command": list(command),
            "limit": self._settings.execute_bytes,
            "stdin": stdin,
        }


def arguments_of(container: Container, query: LogQuery, limit: int) -> Mapping[str, Any]:
    """The question for a log, of at most `limit` bytes."""
    return {
        "uuid": container.uuid,
        "stdout": query.stdout,
        "stderr": query.stderr,
        "timestamps": query.timestamps,
        "tail": query.tail,
        "since": query.since,
        "limit": limit,
    }


def asker(caller: Caller) -> Asker:
    return Asker(user_id=caller.user_id, request_id=caller.request_id)
