"""The fake of a container runtime."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

from zun.drivers import errors
from zun.drivers.deadline import Deadline
from zun.drivers.fake import shell
from zun.drivers.fake.box import Box
from zun.drivers.fake.images import FakeImages
from zun.drivers.fake.networks import FakeNetworks
from zun.drivers.fake.streams import Streams
from zun.drivers.runtime import Capabilities, ExecResult, Facts, Hint, LogRequest, Plan, missing
from zun.model.host import Inventory
from zun.model.lifecycle import Observed
from zun.model.session import Why

CAPABILITIES = Capabilities(name="fake", version="1", disk_quota=False, runtimes=("runc",))
INVENTORY = Inventory(
    cpus=8,
    mem_total=16384,
    disk_total=100,
    architecture="x86_64",
    os_type="linux",
    os="Fake",
    kernel_version="6.0",
    runtimes=("runc",),
)
KILLED = 137
OURS = "org.openstack.zun."
_KILLS = frozenset({None, "9", "KILL", "SIGKILL"})
_SIGNALS = frozenset({"HUP", "INT", "QUIT", "TERM", "USR1", "USR2", "CONT", "STOP", "WINCH"})
_UP = frozenset({Observed.RUNNING, Observed.PAUSED, Observed.RESTARTING})


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


class FakeLog:
    """A log that is followed; it knows no streams and no times."""

    def __init__(self, box: Box, at: int) -> None:
        self._box, self._at = box, at
        self._end = threading.Event()

    def read(self) -> bytes:
        while not self._end.is_set():
            over = self._box.observed not in _UP
            if self._at < len(self._box.log):
                self._at += 1
                return self._box.log[self._at - 1][2]
            if over or self._end.wait(0.005):
                break
        return b""

    def end(self) -> None:
        self._end.set()


class FakeRuntime(Streams):
    """Runtime and all optional powers in memory. Commands: see `zun.drivers.fake.shell`.

    networks: if given, attachments must name a network it has, and it refuses to remove one that is in use.
    images: if given, images made of containers are in it.
    """

    def __init__(
        self,
        *,
        capabilities: Capabilities = CAPABILITIES,
        inventory: Inventory = INVENTORY,
        networks: FakeNetworks | None = None,
        images: FakeImages | None = None,
    ) -> None:
        super().__init__(None if networks is None else networks.lock)
        self._capabilities, self._inventory = capabilities, inventory
        self._networks, self._images = networks, images
        self._boxes: dict[str, Box] = {}
        self._unlisted: set[str] = set()
        self._begin()
        self._watchers: list[queue.SimpleQueue[Hint | None]] = []
        self._closed = threading.Event()
        self.patient = False  # whether a command that does not end is waited for
        self.killed: list[
            str
        ] = []  # containers in which a command was killed, for nobody waited for it
        if networks is not None:
            networks.in_use = self._uses_network

    # -- what a test does behind the service's back --------------------------------------------------------------

    def die(self, uuid: str, exit_code: int, *, oom_killed: bool = False) -> None:
        """The container's process ends by itself; a restart policy that says so starts it again."""
        with self._lock:
            box = self._boxes[uuid]
            self._exit(box, exit_code)
            box.oom_killed = oom_killed
            policy = box.plan.restart_policy
            if policy in ("always", "unless-stopped") or (policy == "on-failure" and exit_code):
                box.observed, box.started_at = Observed.RUNNING, _now()
        self._tell(uuid)

    def vanish(self, uuid: str) -> None:
        """Somebody removes the container by hand."""
        with self._lock:
            del self._boxes[uuid]
            self._end_streams(uuid, None, Why.REMOVED)
        self._tell(uuid)

    def leave_out(self, uuid: str) -> None:
        """The engine has the container, and does not list it any more."""
        with self._lock:
            self._unlisted.add(uuid)

    def pause_behind(self, uuid: str) -> None:
        self._set(uuid, observed=Observed.PAUSED)

    def start_behind(self, uuid: str) -> None:
        self._set(uuid, observed=Observed.RUNNING, started_at=_now())

    def set_observed(self, uuid: str, observed: Observed) -> None:
        self._set(uuid, observed=observed)

    def set_health(self, uuid: str, health: str | None) -> None:
        self._set(uuid, health=health)

    def append_log(self, uuid: str, text: bytes, stream: int = shell.STDOUT) -> None:
        with self._lock:
            self._boxes[uuid].log.append((time.time(), stream, text))

    def put(self, plan: Plan, observed: Observed = Observed.RUNNING) -> None:
        """A container that is there without having been asked for, as a leftover."""
        with self._lock:
            self._boxes[plan.uuid] = Box(plan, observed=observed)
        self._tell(plan.uuid)

    def gap(self) -> None:
        """As if the engine had gone and come back: events may have been missed."""
        self._emit(Hint(uuid=None, gap=True))

    def plan_of(self, uuid: str) -> Plan:
        """The plan the container was made from. KeyError if there is none."""
        with self._lock:
            return self._boxes[uuid].plan

    def is_up(self, uuid: str) -> bool:
        """Whether the container is there and runs."""
        with self._lock:
            return uuid in self._boxes and self._boxes[uuid].observed in _UP

    def reopen(self) -> None:
        """Once more fit for `events`, after a `close`: the engine outlives who watches it."""
        self._closed.clear()

    def uuids(self) -> Sequence[str]:
        """All there is."""
        with self._lock:
            return tuple(self._boxes)

    # -- Runtime -------------------------------------------------------------------------------------------------

    def capabilities(self) -> Capabilities:
        with self._call("capabilities", None, None):
            return self._capabilities

    def inventory(self) -> Inventory:
        with self._call("inventory", None, None):
            return self._inventory

    def ping(self) -> None:
        with self._call("ping", None, None):
            return

    def create(self, plan: Plan, deadline: Deadline) -> Facts:
        with self._call("create", plan.uuid, deadline, plan):
            self._check(plan)
            if plan.sandbox is not None and plan.sandbox not in self._boxes:
                raise errors.NotFound("there is no such sandbox")
            box = self._boxes.get(plan.uuid)
            if box is not None and box.plan.generation != plan.generation:
                if box.observed in _UP:
                    raise errors.Conflict("an earlier container of the same uuid is running")
                box = None
            if box is None:
                box = self._boxes[plan.uuid] = Box(plan)
                self._tell(plan.uuid)
            return box.facts()

    def start(self, uuid: str, deadline: Deadline, *, runtime_id: str | None = None) -> None:
        with self._call("start", uuid, deadline):
            if (box := self._meant(uuid, runtime_id)) is None:
                raise errors.NotFound("there is no such container")
            if box.observed is Observed.PAUSED:
                raise errors.Conflict("cannot start a paused container")
            if box.observed not in _UP:
                self._require_networks(box)
                self._require_sandbox(box)
                self._run(box)
                self._tell(uuid)

    def stop(
        self, uuid: str, grace: int | None, deadline: Deadline, *, runtime_id: str | None = None
    ) -> None:
        with self._call("stop", uuid, deadline, grace):
            box = self._meant(uuid, runtime_id)
            if box is not None and box.observed in _UP:
                self._exit(box, KILLED)
                self._tell(uuid)

    def remove(
        self, uuid: str, deadline: Deadline, *, force: bool, runtime_id: str | None = None
    ) -> None:
        with self._call("remove", uuid, deadline, force):
            box = self._meant(uuid, runtime_id)
            if box is None:
                return
            if box.observed in _UP and not force:
                raise errors.Conflict("cannot remove the container: it is running")
            del self._boxes[uuid]
            self._unlisted.discard(uuid)
            self._end_streams(uuid, None, Why.REMOVED)
            self._tell(uuid)

    def inspect(self, uuid: str, deadline: Deadline) -> Facts:
        with self._call("inspect", uuid, deadline):
            box = self._boxes.get(uuid)
            return missing(uuid) if box is None else box.facts()

    def list(self, host: str, deadline: Deadline) -> Sequence[Facts]:
        with self._call("list", None, deadline, host):
            listed = (box for uuid, box in self._boxes.items() if uuid not in self._unlisted)
            return tuple(box.facts() for box in listed if box.plan.host == host)

    def relist(self, uuid: str, deadline: Deadline) -> None:
        with self._call("relist", uuid, deadline):
            self._unlisted.discard(uuid)

    def events(self) -> Iterator[Hint]:
        hints: queue.SimpleQueue[Hint | None] = queue.SimpleQueue()
        with self._lock:
            self._watchers.append(hints)
        if self._closed.is_set():
            hints.put(None)
        yield Hint(uuid=None, gap=True)
        while (hint := hints.get()) is not None:
            yield hint

    def close(self) -> None:
        self._closed.set()
        self._emit(None)

    # -- optional powers -----------------------------------------------------------------------------------------

    def pause(self, uuid: str, deadline: Deadline) -> None:
        with self._call("pause", uuid, deadline):
            self._turn(uuid, Observed.PAUSED)

    def unpause(self, uuid: str, deadline: Deadline) -> None:
        with self._call("unpause", uuid, deadline):
            self._turn(uuid, Observed.RUNNING)

    def signal(self, uuid: str, signal: str | None, deadline: Deadline) -> None:
        with self._call("signal", uuid, deadline, signal):
            name = signal.upper() if signal else None
            if name not in _KILLS and (name or "").removeprefix("SIG") not in _SIGNALS:
                raise errors.Rejected(f"there is no signal {signal}")
            box = self._running(uuid)
            if name in _KILLS:
                self._exit(box, KILLED)
                self._tell(uuid)

    def execute(
        self,
        uuid: str,
        command: Sequence[str],
        limit: int,
        deadline: Deadline,
        stdin: bytes | None = None,
    ) -> ExecResult:
        with self._call("execute", uuid, deadline, tuple(command)):
            self._running(uuid)
            if not command:
                raise errors.Rejected("there is no command to run")
            if shell.absent(command):
                said = f"{command[0]}: not found\n".encode()[:limit]
                return ExecResult(exit_code=127, output=said, stdout=said)
            outcome = shell.run(command, stdin)
        if outcome.exit_code is None:
            gone = threading.Event()
            deadline.when_cancelled(gone.set)
            if gone.wait(deadline.left() if self.patient else 0):
                self.killed.append(uuid)
                raise errors.Conflict("the command was killed, for nobody waits for it any more")
            raise errors.TimedOut("the command did not end in time and was killed")
        said, out, err = (
            b"".join(text for kind, text in outcome.output if kind in kinds)
            for kinds in ((shell.STDOUT, shell.STDERR), (shell.STDOUT,), (shell.STDERR,))
        )
        return ExecResult(
            exit_code=outcome.exit_code, output=said[:limit], stdout=out[:limit], stderr=err[:limit]
        )

    def sandbox_image(self, deadline: Deadline) -> str:
        with self._call("sandbox_image", None, deadline):
            return "sha256:sandbox"

    def follow(self, uuid: str, request: LogRequest, deadline: Deadline) -> FakeLog:
        with self._call("follow", uuid, deadline, request):
            box = self._box(uuid)
            backlog = len(box.log) if request.tail is None else min(request.tail, len(box.log))
            return FakeLog(box, len(box.log) - backlog)

    def logs(self, uuid: str, request: LogRequest, limit: int, deadline: Deadline) -> bytes:
        with self._call("logs", uuid, deadline, request):
            wanted = {shell.STDOUT} if request.stdout else set()
            wanted |= {shell.STDERR} if request.stderr else set()
            lines = [
                (at, text)
                for at, stream, text in self._box(uuid).log
                if stream in wanted and at >= (request.since or 0)
            ]
        if request.tail is not None:
            lines = lines[-request.tail :] if request.tail else []
        if request.timestamps:
            stamped = ((datetime.fromtimestamp(at, UTC), text) for at, text in lines)
            whole = b"".join(f"{at:%Y-%m-%dT%H:%M:%S.%f}Z ".encode() + text for at, text in stamped)
        else:
            whole = b"".join(text for _, text in lines)
        return whole[-limit:] if limit > 0 else b""

    # -- inside, under the lock ----------------------------------------------------------------------------------

    def _meant(self, uuid: str, runtime_id: str | None) -> Box | None:
        box = self._boxes.get(uuid)
        return box if box is None or runtime_id in (None, box.runtime_id) else None

    def _check(self, plan: Plan) -> None:
        if any(key.startswith(OURS) for key in plan.labels):
            raise errors.Rejected(f"labels that begin with {OURS} are the service's own")
        if plan.runtime and plan.runtime not in self._capabilities.runtimes:
            raise errors.Lacking(f"there is no runtime {plan.runtime}")
        if plan.disk and not self._capabilities.disk_quota:
            raise errors.Unsupported("this runtime cannot limit a container's disk")

    def _require_networks(self, box: Box) -> None:
        if self._networks is not None:
            for network in box.attachments:
                self._networks.require(network)

    def _require_sandbox(self, box: Box) -> None:
        sandbox = self._boxes.get(box.plan.sandbox or "")
        if box.plan.sandbox is not None and (sandbox is None or sandbox.observed not in _UP):
            raise errors.Conflict("cannot join the sandbox: it is not running")

    def _run(self, box: Box) -> None:
        command = [*(box.plan.entrypoint or ()), *(box.plan.command or ())]
        if shell.absent(command):
            box.error = f'"{command[0]}" cannot be run: executable file not found'
            raise errors.Rejected(f"cannot start the container: {box.error}")
        box.error, box.exit_code, box.oom_killed = None, None, False
        box.observed, box.started_at = Observed.RUNNING, _now()
        if box.plan.healthcheck is not None:
            box.health = "starting"
        if not command:
            return
        outcome = shell.run(command)
        box.log += [(time.time(), stream, text) for stream, text in outcome.output]
        if outcome.exit_code is not None:
            self._exit(box, outcome.exit_code)

    def _exit(self, box: Box, exit_code: int) -> None:
        box.observed, box.exit_code, box.finished_at = Observed.EXITED, exit_code, _now()
        self._end_streams(box.plan.uuid, exit_code, Why.STOPPED)

    def _running(self, uuid: str) -> Box:
        box = self._box(uuid)
        if box.observed is not Observed.RUNNING:
            raise errors.Conflict("the container is not running")
        return box

    def _turn(self, uuid: str, wanted: Observed) -> None:
        box = self._box(uuid)
        if box.observed not in (Observed.RUNNING, Observed.PAUSED):
            raise errors.Conflict("the container is not running")
        if box.observed is not wanted:
            box.observed = wanted
            self._tell(uuid)

    def _set(self, uuid: str, **changes: object) -> None:
        with self._lock:
            for name, value in changes.items():
                setattr(self._boxes[uuid], name, value)
        self._tell(uuid)

    def _uses_network(self, network: str) -> bool:
        with self._lock:
            live = (box for box in self._boxes.values() if box.observed in _UP)
            return any(network in box.attachments for box in live)

    def _tell(self, uuid: str) -> None:
        self._emit(Hint(uuid=uuid))

    def _emit(self, hint: Hint | None) -> None:
        with self._lock:
            for watcher in self._watchers:
                watcher.put(hint)
