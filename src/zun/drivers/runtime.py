"""The contract of a container runtime: the values that cross, the required verbs, the optional powers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol, runtime_checkable

from zun.drivers.deadline import Deadline
from zun.model.host import Inventory
from zun.model.lifecycle import Observed


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What this runtime on this host can do; asked once at start and after a reconnect."""

    name: str
    version: str
    disk_quota: bool
    pause: bool = True
    runtimes: Sequence[str] = ()
    default_runtime: str = "runc"


@dataclass(frozen=True, slots=True, kw_only=True)
class FileMount:
    """A file of the host shown in the container; `source` is made by the volume driver, never by a user."""

    source: str
    destination: str
    read_only: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Attachment:
    """A network the container is attached to from its birth, with its address."""

    network: str  # the engine's name of the network
    address_v4: str | None = None
    address_v6: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class HealthCheck:
    """A shell command the engine runs inside; times in seconds; None = the engine's default."""

    test: str
    interval: int | None = None
    timeout: int | None = None
    retries: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All a runtime must know to create a container. Memory in MiB, disk in GiB, cpu in CPUs.

    `generation` marks what made it (an operation's uuid): a container of the same uuid and another generation
    is an older life of it and is replaced, one of the same generation is adopted. `host` is the uuid of the host in our
    records: two services may share an engine, and each leaves alone what carries another's.
    """

    uuid: str
    project_id: str
    host: str
    generation: str
    image: str  # the digest-pinned or local reference the image driver returned
    command: Sequence[str] | None = None
    entrypoint: Sequence[str] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    workdir: str | None = None
    hostname: str | None = None
    interactive: bool = False
    tty: bool = False
    cpu: float | None = None
    cpu_shares: bool = False  # cpu as a relative weight instead of a hard cap
    cpuset: Sequence[int] = ()  # the CPUs it may use; empty = all
    memory: int | None = None
    disk: int | None = None
    pids_limit: int | None = None
    no_new_privileges: bool = True
    privileged: bool = False
    runtime: str | None = None
    restart_policy: str = "no"  # no, always, on-failure, unless-stopped
    restart_retries: int = 0
    exposed_ports: Sequence[str] = ()  # "80/tcp"
    healthcheck: HealthCheck | None = None
    mounts: Sequence[FileMount] = ()
    movable: bool = False  # marked so, that it is known even where our records can't be reached
    attachments: Sequence[Attachment] = ()
    # What follows needs CanShare.
    is_sandbox: bool = False  # others may join its namespaces
    sandbox: str | None = (
        None  # the uuid of the sandbox it joins; then no attachments, hostname, ports
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What one sees on looking at a container. Times are naive UTC, None where it never happened."""

    uuid: str
    observed: Observed
    runtime_id: str | None = None
    generation: str | None = None
    movable: bool = False
    exit_code: int | None = None
    oom_killed: bool = False
    error: str | None = None  # the engine's own words on why it could not start
    health: str | None = None  # starting, healthy, unhealthy; None = no check
    started_at: datetime | None = None
    finished_at: datetime | None = None
    hostname: str | None = None
    command: Sequence[str] | None = None
    entrypoint: Sequence[str] | None = None
    ports: Sequence[int] = ()
    addresses: Mapping[str, Sequence[str]] = field(
        default_factory=dict
    )  # engine network name -> addresses


def missing(uuid: str) -> Facts:
    """The facts on a container the engine does not know."""
    return Facts(uuid=uuid, observed=Observed.MISSING)


@dataclass(frozen=True, slots=True, kw_only=True)
class Hint:
    """Something happened to this container of ours; look. `gap` = events may have been missed: look at all."""

    uuid: str | None
    gap: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecResult:
    """What a command run in a container gave; `output` is stdout and stderr in the order they came."""

    exit_code: int
    output: bytes
    stdout: bytes = b""
    stderr: bytes = b""


class Runtime(Protocol):
    """The required verbs. See the law in `zun.drivers`.

    A container's name on the engine outlives it: a rebuild puts another in its place. start, stop and remove take the
    `runtime_id` of the one that is meant; to them any other under the name is absent. None = whichever has the name.

    create: makes the container of `plan`, not started; returns the facts. Adopts one of the same generation (whatever
        it does), replaces an older one that isn't running. Conflict: an older one is running. Rejected: unknown
        runtime, limit out of range, a label that could pass for ours. NotFound: image or network gone (an
        engine may notice a missing network at start only).
    start: NotFound if there is none, or a network of its is gone; starting a running one succeeds. Rejected: it can't
        start (bad command). Conflict: paused, or its address is taken.
    stop: asks, waits `grace` seconds (None = the engine's default), then kills; succeeds if it isn't running, or
        isn't there.
    remove: with `force` also a running one (kills it); without, Conflict if it runs. Absent = success.
        The anonymous volumes go with it.
    inspect, remove, stop: also of one that `list` leaves out.
    inspect: the facts; of an absent one, `missing(uuid)` — never NotFound.
    list: the facts of every container labelled as of `host`, whatever its state (started_at etc. may be None where a
        list does not say it; `observed`, `uuid`, `generation`, `movable` and `runtime_id` are always true).
    relist: has the engine list one that it has and leaves out of `list`, as an engine does that could not write it
        down when it began. Listed already, or absent = success.
    events: blocks; yields a Hint with `gap=True` first and after every reconnect, then one per event about a
        container of ours. Ends when `close()` is called. Reconnects by itself and never raises.
    ping: raises Unavailable if the engine does not answer.
    """

    def capabilities(self) -> Capabilities: ...
    def inventory(self) -> Inventory: ...
    def ping(self) -> None: ...
    def create(self, plan: Plan, deadline: Deadline) -> Facts: ...
    def start(self, uuid: str, deadline: Deadline, *, runtime_id: str | None = None) -> None: ...
    def stop(
        self, uuid: str, grace: int | None, deadline: Deadline, *, runtime_id: str | None = None
    ) -> None: ...
    def remove(
        self, uuid: str, deadline: Deadline, *, force: bool, runtime_id: str | None = None
    ) -> None: ...
    def inspect(self, uuid: str, deadline: Deadline) -> Facts: ...
    def list(self, host: str, deadline: Deadline) -> Sequence[Facts]: ...
    def relist(self, uuid: str, deadline: Deadline) -> None: ...
    def events(self) -> Iterator[Hint]: ...
    def close(self) -> None: ...


@runtime_checkable
class CanPause(Protocol):
    """pause of a paused one and unpause of a running one succeed; Conflict if it isn't running at all.

    NotFound if there is none.
    """

    def pause(self, uuid: str, deadline: Deadline) -> None: ...
    def unpause(self, uuid: str, deadline: Deadline) -> None: ...


@runtime_checkable
class CanSignal(Protocol):
    """`signal` is a name ("SIGHUP") or None for KILL; after KILL it returns once the container is down.

    Conflict if it isn't running, NotFound if there is none, Rejected if there is no such signal.
    """

    def signal(self, uuid: str, signal: str | None, deadline: Deadline) -> None: ...


@runtime_checkable
class CanExec(Protocol):
    """Runs a command without a terminal and waits for it.

    At most `limit` bytes of output are kept, the rest is read and dropped. TimedOut: the command is killed.
    Once the deadline is cancelled the command is killed too: Conflict.
    `stdin` is what it reads, to its end; None = it reads nothing.
    A command that is not there, or is no program, is a result as in a shell: exit code 126 or 127, and why as output.
    Conflict if the container isn't running; Rejected if the command is empty.
    """

    def execute(
        self,
        uuid: str,
        command: Sequence[str],
        limit: int,
        deadline: Deadline,
        stdin: bytes | None = None,
    ) -> ExecResult: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class LogRequest:
    """Which part of a log: `tail` lines from the end (None = all), `since` in seconds of the epoch."""

    stdout: bool = True
    stderr: bool = True
    timestamps: bool = False
    tail: int | None = None
    since: float | None = None


@runtime_checkable
class CanLog(Protocol):
    """The backlog, as bytes in the order it was written, at most `limit` bytes counted from the end."""

    def logs(self, uuid: str, request: LogRequest, limit: int, deadline: Deadline) -> bytes: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Processes:
    """The processes of a container as `ps` shows them."""

    titles: Sequence[str]
    rows: Sequence[Sequence[str]]


@runtime_checkable
class CanTop(Protocol):
    """What runs in the container; `arguments` are those of `ps`, "" = the engine's usual ones.

    Conflict if it isn't running, NotFound if there is none, Rejected if `ps` does not take the arguments.
    """

    def top(self, uuid: str, arguments: str, deadline: Deadline) -> Processes: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """What a container has used up to one moment. `at` is of the monotonic clock, in seconds; the rest in bytes."""

    at: float
    cpu: float  # seconds, over all CPUs
    memory: int  # without the inactive file cache
    memory_limit: int
    received: int
    sent: int
    read: int
    written: int


@runtime_checkable
class CanMeasure(Protocol):
    """One sample, at once: how much of a CPU is used now is for the asker to make of two.

    Conflict if it isn't running (a paused one is), NotFound if there is none.
    """

    def measure(self, uuid: str, deadline: Deadline) -> Sample: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class PathStat:
    """What a path in a container is; `mtime` in RFC 3339, `mode` as the engine counts it."""

    name: str
    size: int
    mode: int
    mtime: str
    link_target: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """What a container may use; as in `Plan`."""

    cpu: float
    memory: int  # MiB
    cpu_shares: bool = False


@runtime_checkable
class CanUpdate(Protocol):
    """Sets the limits of a container that exists, running or not, without a restart; setting them twice is fine.

    Rejected if the engine refuses them, and then they are what they were; NotFound if there is none.
    """

    def update(self, uuid: str, limits: Limits, deadline: Deadline) -> None: ...


@runtime_checkable
class CanConnect(Protocol):
    """Networks of a container that exists, running or not.

    connect: with the attachment's address; succeeds if it has it already. NotFound: container or network is
        gone. Conflict: the address is taken (an engine may notice at start only).
    disconnect: succeeds if it isn't connected, or isn't there. A container may be left without any network.
    """

    def connect(self, uuid: str, attachment: Attachment, deadline: Deadline) -> None: ...
    def disconnect(self, uuid: str, network: str, deadline: Deadline) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Committed:
    """An image made of a container; `size` in bytes."""

    image_id: str
    size: int


@runtime_checkable
class CanCommit(Protocol):
    """Makes an image `repository:tag` of what the container's files are now, on this host; done twice, the newer stays.

    A running one is paused meanwhile. The image carries none of our labels. NotFound if there is no container.
    """

    def commit(self, uuid: str, repository: str, tag: str, deadline: Deadline) -> Committed: ...


@runtime_checkable
class CanShare(Protocol):
    """Containers in the network and IPC namespaces of another, their sandbox (`Plan.sandbox`).

    sandbox_image: the `Plan.image` of a container that does nothing until it is killed; made on this host where it is
        not there, without any registry. Unsupported: not for this kind of machine.
    create: NotFound if the sandbox is gone. start: Conflict if it does not run, NotFound or Conflict if it is gone.
    Containers belong to one life of their sandbox: one that was restarted has a new network, which those that ran
    all the while are not in; one that was made anew can't be joined by those made before.
    """

    def sandbox_image(self, deadline: Deadline) -> str: ...


class LogStream(Protocol):
    """A log as it is written.

    read: waits for the next piece, of a megabyte at most; b"" once the container has ended and all was read, or once
        `end` was called. Raises Unavailable if the engine broke off before. What nobody reads is not kept here.
    end: makes a waiting `read` return; from any thread, any number of times. Whoever follows calls it at the end.
    """

    def read(self) -> bytes: ...
    def end(self) -> None: ...


@runtime_checkable
class CanFollow(Protocol):
    """The backlog that is asked for, and then what is written, until the container ends. NotFound if there is none.

    Of one that isn't running: the backlog. `deadline` is for the beginning, not for the whole.
    """

    def follow(self, uuid: str, request: LogRequest, deadline: Deadline) -> LogStream: ...


Progress = Callable[[Mapping[str, Any]], None]
"""Told now and then how far long work has come; the mapping is fit for a user's eyes."""
