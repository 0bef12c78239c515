"""The runtime driver for a Docker engine: the life of a container."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from zun.drivers import errors
from zun.drivers.deadline import Deadline
from zun.drivers.docker import changes, links, measure
from zun.drivers.docker import plan as plans
from zun.drivers.docker.client import Engine
from zun.drivers.docker.events import EventStream
from zun.drivers.docker.facts import from_inspect, from_list
from zun.drivers.docker.follow import FollowedLog, follow
from zun.drivers.docker.host import disk_quota, inventory
from zun.drivers.docker.logs import read_log
from zun.drivers.docker.sandbox import SandboxImage
from zun.drivers.docker.starts import Stale, start_error
from zun.drivers.docker.streams import DockerStreams
from zun.drivers.runtime import (
    Attachment,
    Capabilities,
    Committed,
    Facts,
    Hint,
    Limits,
    LogRequest,
    Plan,
    Processes,
    Sample,
    missing,
)
from zun.model.host import Inventory
from zun.model.lifecycle import Observed
from zun.model.names import LABEL_HOST, LABEL_UUID, runtime_name

ENGINE_GRACE = 10  # seconds the engine waits in a stop when nobody says otherwise
PING = 5.0  # seconds a ping may take
CREATE_TRIES = 5
STALE_TRIES, STALE_PAUSE = 15, 1.0  # seconds: what is in the way may go by itself
_KILLS = frozenset({None, "9", "KILL", "SIGKILL"})
_DOWN = frozenset({Observed.CREATED, Observed.EXITED, Observed.DEAD, Observed.REMOVING})
_GOING = frozenset({Observed.REMOVING, Observed.DEAD})
_GONE = _GOING | {Observed.MISSING}


class DockerRuntime(DockerStreams):
    """Runtime and all optional powers on one engine. See the contract in `zun.drivers.runtime`.

    A container is addressed by its name, `names.runtime_name(uuid)`, so one made by an older service is found too.
    Closing it ends `events`; the engine is the caller's to close.
    """

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._events = EventStream(engine)
        self._sandbox_image = SandboxImage(engine)
        self._quota: bool | None = None

    # -- the host ------------------------------------------------------------------------------------------------

    def _info(self, what: str) -> dict[str, Any]:
        with self._engine.call(what) as client:
            info: dict[str, Any] = client.info()
        self._quota = disk_quota(info)
        return info

    def capabilities(self) -> Capabilities:
        info = self._info("ask the container engine what it can do")
        return Capabilities(
            name="docker",
            version=info["ServerVersion"],
            disk_quota=bool(self._quota),
            runtimes=tuple(sorted(info.get("Runtimes") or ())),
            default_runtime=info.get("DefaultRuntime") or "runc",
        )

    def inventory(self) -> Inventory:
        return inventory(self._info("ask the container engine what this host has"))

    def ping(self) -> None:
        try:
            with self._engine.call("reach the container engine", most=PING) as client:
                client.ping()
        except errors.Unavailable:
            raise
        except errors.DriverError as e:
            raise errors.Unavailable(e.public) from e

    # -- create --------------------------------------------------------------------------------------------------

    def create(self, plan: Plan, deadline: Deadline) -> Facts:
        body = plans.body(plan)
        if plan.disk:
            self._require_quota()
        refusal = ""
        for _ in range(CREATE_TRIES):
            try:
                self._post(plan, body, deadline)
            except errors.Conflict as e:
                refusal = e.public
                if not self._adoptable(plan, e, deadline):
                    continue
            except errors.NotFound:
                self._engine.doubt()
                raise
            except errors.Rejected as e:
                # Of a sandbox that is gone the engine says so as if the request were wrong.
                if plan.sandbox and self._inspect(runtime_name(plan.sandbox), deadline) is None:
                    raise errors.NotFound(e.public) from e.__cause__
                if plan.runtime and plan.runtime not in self.capabilities().runtimes:
                    raise errors.Lacking(f"this host has no runtime {plan.runtime!r}") from e
                raise
            facts = self._attach_rest(plan, deadline)
            if facts.observed is not Observed.MISSING:
                return facts
        # Refused again and again, but what is in the way does not show: another thread's work, or an old one's end.
        raise errors.Unavailable(refusal or "cannot create the container: it is removed at once")

    def _require_quota(self) -> None:
        if self._quota is None:
            self._info("ask the container engine for its storage driver")
        if not self._quota:
            raise errors.Unsupported(
                "the storage of this host's container engine cannot limit a container's disk"
            )

    def _post(self, plan: Plan, body: dict[str, Any], deadline: Deadline) -> None:
        # Straight to the point: whether it exists already is learnt from the refusal, not by asking before.
        with self._engine.call("create the container", deadline) as client:
            create: Callable[..., Any] = client.create_container_from_config
            create(body, name=runtime_name(plan.uuid))

    def _adoptable(self, plan: Plan, conflict: errors.Conflict, deadline: Deadline) -> bool:
        """Whether the container that has our name is the one wanted; an older life that is over is removed."""
        raw = self._inspect(runtime_name(plan.uuid), deadline)
        if raw is None:
            # Just removed, or another thread is this moment making it.
            self._engine.pause(deadline)
            return False
        facts = from_inspect(plan.uuid, raw)
        ours = facts.generation == plan.generation and facts.observed not in _GOING
        # An engine that died while it made it has it without its addresses, which it writes down last.
        made = facts.observed is not Observed.CREATED or links.as_asked(raw, plan.attachments)
        if ours and made:
            return True
        if facts.observed not in _DOWN:
            raise errors.Conflict(
                "cannot create the container: an earlier one of the same uuid is running"
            ) from conflict
        self.remove(plan.uuid, deadline, force=False)
        return False

    def _attach_rest(self, plan: Plan, deadline: Deadline) -> Facts:
        """Attaches what the create call could not; looks first, for an adopted container may have it."""
        raw = self._inspect(runtime_name(plan.uuid), deadline)
        if raw is None:
            return missing(plan.uuid)
        present = raw["NetworkSettings"].get("Networks") or {}
        wanting = [a for a in plan.attachments[1:] if a.network not in present]
        if not wanting:
            return from_inspect(plan.uuid, raw)
        for attachment in wanting:
            self._attach(plan.uuid, attachment.network, plans.endpoint(attachment), deadline)
        return self.inspect(plan.uuid, deadline)

    def _attach(
        self, uuid: str, network: str, endpoint: dict[str, Any], deadline: Deadline
    ) -> None:
        asked = endpoint["IPAMConfig"]
        try:
            with self._engine.call("attach the container to its network", deadline) as client:
                client.connect_container_to_network(
                    runtime_name(uuid),
                    network,
                    ipv4_address=asked.get("IPv4Address"),
                    ipv6_address=asked.get("IPv6Address"),
                )
        except errors.NotFound:
            self._engine.doubt()
            raise
        except errors.Conflict:
            raw = self._inspect(runtime_name(uuid), deadline)
            if raw is None or network not in (raw["NetworkSettings"].get("Networks") or {}):
                raise

    # -- start, stop, remove -------------------------------------------------------------------------------------

    def start(self, uuid: str, deadline: Deadline, *, runtime_id: str | None = None) -> None:
        target = runtime_id or runtime_name(uuid)
        for _ in range(STALE_TRIES):
            try:
                self._start(target, deadline)
                return
            except Stale:
                self._engine.pause(deadline, STALE_PAUSE)
        self._start(target, deadline)

    def _start(self, target: str, deadline: Deadline) -> None:
        try:
            with self._engine.call("start the container", deadline) as client:
                client.start(target)
        except errors.TimedOut:
            raise
        except errors.DriverError as e:
            raw = self._inspect(target, deadline)
            if isinstance(e, errors.NotFound) and raw is not None:
                self._engine.doubt()  # not the container but a network is gone
            raise start_error(e, raw) from e

    def stop(
        self, uuid: str, grace: int | None, deadline: Deadline, *, runtime_id: str | None = None
    ) -> None:
        extra = ENGINE_GRACE if grace is None else grace
        try:
            with self._engine.call("stop the container", deadline, extra=extra) as client:
                client.stop(runtime_id or runtime_name(uuid), timeout=grace)
        except errors.NotFound:
            return

    def remove(
        self, uuid: str, deadline: Deadline, *, force: bool, runtime_id: str | None = None
    ) -> None:
        target = runtime_id or runtime_name(uuid)
        while True:
            try:
                with self._engine.call("remove the container", deadline) as client:
                    client.remove_container(target, v=True, force=force)
                return
            except errors.NotFound:
                return
            except errors.Conflict:
                # Someone is removing it at this moment (the only conflict there is with force), or it runs.
                raw = None if force else self._inspect(target, deadline)
                if raw is not None and from_inspect(uuid, raw).observed not in _GONE:
                    raise
            # Then once more, for the other one's removal may have failed.
            self._until(target, "removed", deadline)

    def _until(self, target: str, condition: Any, deadline: Deadline) -> None:
        """Waits for "removed" or "not-running"; a container that is absent is both."""
        try:
            with self._engine.call(
                "wait for the container", deadline, most=deadline.left()
            ) as client:
                client.wait(target, condition=condition)
        except errors.NotFound:
            return

    # -- look ----------------------------------------------------------------------------------------------------

    def _inspect(self, target: str, deadline: Deadline) -> dict[str, Any] | None:
        try:
            with self._engine.call("look at the container", deadline) as client:
                raw: dict[str, Any] = client.inspect_container(target)
                return raw
        except errors.NotFound:
            return None

    def inspect(self, uuid: str, deadline: Deadline) -> Facts:
        raw = self._inspect(runtime_name(uuid), deadline)
        return missing(uuid) if raw is None else from_inspect(uuid, raw)

    def list(self, host: str, deadline: Deadline) -> Sequence[Facts]:
        with self._engine.call("list the containers", deadline) as client:
            rows = client.containers(
                all=True, filters={"label": [f"{LABEL_HOST}={host}", LABEL_UUID]}
            )
        return tuple(from_list(row) for row in rows)

    def events(self) -> Iterator[Hint]:
        return self._events.hints()

    def close(self) -> None:
        self._events.close()

    # -- optional powers -----------------------------------------------------------------------------------------

    def pause(self, uuid: str, deadline: Deadline) -> None:
        self._turn(uuid, "pause", Observed.PAUSED, deadline)

    def unpause(self, uuid: str, deadline: Deadline) -> None:
        self._turn(uuid, "unpause", Observed.RUNNING, deadline)

    def _turn(self, uuid: str, verb: str, wanted: Observed, deadline: Deadline) -> None:
        try:
            with self._engine.call(f"{verb} the container", deadline) as client:
                getattr(client, verb)(runtime_name(uuid))
        except (errors.Conflict, errors.Unavailable):
            # The engine refuses what is so already; older ones say 500 instead of 409.
            seen = self.inspect(uuid, deadline).observed
            if seen is wanted:
                return
            if seen in _DOWN:
                raise errors.Conflict(f"cannot {verb} the container: it is not running") from None
            raise

    def signal(self, uuid: str, signal: str | None, deadline: Deadline) -> None:
        with self._engine.call("signal the container", deadline) as client:
            client.kill(runtime_name(uuid), signal=signal)
        if (signal.upper() if signal else None) in _KILLS:
            self._until(runtime_name(uuid), "not-running", deadline)

    def logs(self, uuid: str, request: LogRequest, limit: int, deadline: Deadline) -> bytes:
        return read_log(self._engine, runtime_name(uuid), request, limit, deadline)

    def top(self, uuid: str, arguments: str, deadline: Deadline) -> Processes:
        return measure.top(self._engine, runtime_name(uuid), arguments, deadline)

    def measure(self, uuid: str, deadline: Deadline) -> Sample:
        return measure.sample(self._engine, runtime_name(uuid), deadline)

    def relist(self, uuid: str, deadline: Deadline) -> None:
        changes.relist(self._engine, runtime_name(uuid), deadline)

    def update(self, uuid: str, limits: Limits, deadline: Deadline) -> None:
        changes.update(self._engine, runtime_name(uuid), limits, deadline)

    def connect(self, uuid: str, attachment: Attachment, deadline: Deadline) -> None:
        links.connect(self._engine, runtime_name(uuid), attachment, deadline)

    def disconnect(self, uuid: str, network: str, deadline: Deadline) -> None:
        links.disconnect(self._engine, runtime_name(uuid), network, deadline)

    def commit(self, uuid: str, repository: str, tag: str, deadline: Deadline) -> Committed:
        return changes.commit(self._engine, runtime_name(uuid), repository, tag, deadline)

    def sandbox_image(self, deadline: Deadline) -> str:
        return self._sandbox_image.ensure(deadline)

    def follow(self, uuid: str, request: LogRequest, deadline: Deadline) -> FollowedLog:
        return follow(self._engine, runtime_name(uuid), request, deadline)
