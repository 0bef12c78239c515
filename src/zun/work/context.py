"""What a step is given: the operation, the row it is about, the means of its host, and how to say how far it is."""

from __future__ import annotations

import threading
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from zun.drivers.deadline import Deadline
from zun.drivers.image import ImageSource
from zun.drivers.network import NetworkDriver
from zun.drivers.runtime import Runtime
from zun.drivers.volume import VolumeDriver
from zun.model.capsule import Capsule
from zun.model.container import Container
from zun.model.image import HostImage
from zun.model.operation import Operation
from zun.store.database import Database
from zun.work.clock import Clock
from zun.work.placement import Placement
from zun.work.scheduler import SchedulerSettings
from zun.work.secrets import Secrets

#: Among an operation's outputs: which hosts have refused it, so that it is placed elsewhere.
ELSEWHERE = "elsewhere"


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkSettings:
    """Choices of the operator that steps need. Times in seconds."""

    down_after: timedelta = timedelta(seconds=180)
    pids_limit: int | None = 512
    no_new_privileges: bool = True
    cpu_shares: bool = False
    default_pull_policy: str = "ifnotpresent"
    default_runtime: str | None = None  # None = the engine's own
    default_disk: int = 10  # GiB, where the host can limit disk
    subnet_pool: Sequence[str] = ()
    sandbox_image: str = ""  # "" = the runtime's own
    init_seconds: float = 3600.0  # that an init container may take
    scheduler: SchedulerSettings = field(default_factory=SchedulerSettings)
    floating_cpus: Sequence[int] | None = (
        None  # those of containers without CPUs of their own; None = all
    )


class KeyedLocks:
    """One lock a key; for what must not overlap on this host, such as making and removing one network."""

    def __init__(self) -> None:
        self._guard = threading.Lock()
        self._locks: defaultdict[str, threading.Lock] = defaultdict(threading.Lock)

    def of(self, key: str) -> threading.Lock:
        """The lock of `key`."""
        with self._guard:
            return self._locks[key]


@dataclass(frozen=True, slots=True, kw_only=True)
class Means:
    """The drivers of one host. `host_id` (the host's uuid) marks what is ours on an engine that others use too."""

    host: str
    host_id: str
    runtime: Runtime
    images: Mapping[str, ImageSource]  # by image driver name
    network: NetworkDriver
    volumes: VolumeDriver
    # Whether the agent has been out of touch for so long that others may take what can be moved for theirs.
    lapsed: Callable[[], bool] = lambda: False
    locks: KeyedLocks = field(default_factory=KeyedLocks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Env:
    """What every step may use; `means` and `secrets` are None where no host is (a conductor).

    `placement` is None where nothing is placed, or nobody minds that each placing reads all hosts.
    """

    db: Database
    clock: Clock
    settings: WorkSettings
    means: Means | None = None
    secrets: Secrets | None = None
    placement: Placement | None = None

    def placing(self) -> Placement:
        """What places containers."""
        return self.placement or Placement(self.settings.scheduler, self.settings.down_after)

    def on_host(self) -> Means:
        """The drivers; only for steps that run on a host."""
        assert self.means is not None, "a host's step was run away from a host"
        return self.means


@dataclass(slots=True, kw_only=True)
class StepContext:
    """One attempt at one step."""

    env: Env
    operation: Operation
    subject: Container | HostImage | Capsule
    deadline: Deadline
    progress: Callable[[Mapping[str, Any]], None]

    @property
    def container(self) -> Container:
        """The row, in a step of a container's operation."""
        assert isinstance(self.subject, Container)
        return self.subject

    @property
    def capsule(self) -> Capsule:
        """The row, in a step of a capsule's operation."""
        assert isinstance(self.subject, Capsule)
        return self.subject

    @property
    def owner(self) -> Container | Capsule:
        """The row, in a step about what either may hold: a claim, ports."""
        assert isinstance(self.subject, (Container, Capsule))
        return self.subject

    @property
    def image(self) -> HostImage:
        """The row, in a step of an image's operation."""
        assert isinstance(self.subject, HostImage)
        return self.subject

    def output(self, step: str) -> Mapping[str, Any]:
        """What an earlier step of this operation recorded; empty if it was not one of its steps."""
        return self.operation.outputs.get(step, {})

    def refused_by(self) -> Sequence[str]:
        """The hosts this operation shall not be placed on: those that refused it, and the one it is to leave."""
        leaves = self.operation.params.get("leave")
        return [*self.output(ELSEWHERE).get("refused", ()), *([leaves] if leaves else [])]


Outputs = Mapping[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Recording:
    """What a step leaves in the database, in one transaction with its being done.

    `outputs` goes to the operation, `container` to the columns of the row it is about, `members` to those of containers
    of a capsule, by uuid, and `queue` moves the operation to another queue.
    """

    outputs: Outputs = field(default_factory=dict)
    container: Mapping[str, Any] = field(default_factory=dict)
    members: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    queue: str | None = None


class NotYet(Exception):
    """A step has begun what goes on without it, such as a command that runs: it is to be asked again later.

    `members`: what is to be seen of it meanwhile, as of `Recording`.
    """

    def __init__(self, members: Mapping[str, Mapping[str, Any]]) -> None:
        super().__init__()
        self.members = members
