"""A container as the database holds it, and the wish of a user for a new one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from zun.model.lifecycle import Action, Status

#: The restart policies by which a container is started again however it ended.
STARTED_AGAIN = frozenset({"always", "unless-stopped"})


@dataclass(frozen=True, slots=True, kw_only=True)
class NetRequest:
    """One item of `nets`: exactly one of `network` and `port` (name or uuid), with fixed addresses or none."""

    network: str | None = None
    port: str | None = None
    v4_fixed_ip: str | None = None
    v6_fixed_ip: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class MountRequest:
    """One item of `mounts` (contract 2.2): a Cinder volume by `source` or `size` (GiB), or a file to inject.

    For type `bind`, `source` is the file's content in base64 and `destination` the file's path.
    """

    type: str
    destination: str
    source: str | None = None
    size: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A validated create request in its newest shape; None = the user gave nothing (contract 2.2)."""

    image: str
    name: str | None = None
    command: Sequence[str] | None = None
    entrypoint: Sequence[str] | None = None
    cpu: float | None = None
    memory: int | None = None  # MiB
    disk: int | None = None  # GiB
    cpu_policy: str | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    workdir: str | None = None
    hostname: str | None = None
    interactive: bool = False
    tty: bool = False
    image_driver: str | None = None
    image_pull_policy: str | None = None
    restart_policy: Mapping[str, str] | None = None  # {"Name", "MaximumRetryCount"}
    auto_remove: bool = False
    auto_heal: bool = False
    runtime: str | None = None
    privileged: bool = False
    security_groups: Sequence[str] | None = None
    exposed_ports: Sequence[str] | None = None  # "80/tcp"
    nets: Sequence[NetRequest] = ()
    mounts: Sequence[MountRequest] = ()
    healthcheck: Mapping[str, Any] | None = (
        None  # {"test", "interval", "retries", "timeout"}, seconds
    )
    hints: Mapping[str, Any] = field(default_factory=dict)
    availability_zone: str | None = None
    registry: str | None = None
    host: str | None = None
    max_run_time: int | None = None  # seconds
    run: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Container:
    """One row of `containers`. Times are naive UTC. JSON shape: contract 3.1."""

    id: int = 0
    uuid: str
    name: str
    project_id: str
    user_id: str
    image: str
    image_driver: str
    status: Status
    status_reason: str | None = None
    command: Sequence[str] | None = None  # what the user gave; None = the image's own
    entrypoint: Sequence[str] | None = None
    image_command: Sequence[str] | None = None  # the image's own, known once created
    image_entrypoint: Sequence[str] | None = None
    image_digest: str | None = None
    cpu: float
    cpu_policy: str = "shared"
    memory: int  # MiB
    disk: int = 0  # GiB
    environment: Mapping[str, str] = field(default_factory=dict)
    labels: Mapping[str, str] = field(default_factory=dict)
    workdir: str | None = None
    hostname: str | None = None
    interactive: bool = False
    tty: bool = False
    image_pull_policy: str | None = None
    restart_policy: Mapping[str, str] | None = None
    auto_remove: bool = False
    auto_heal: bool = False
    runtime: str | None = None
    privileged: bool = False
    security_groups: Sequence[str] | None = None
    exposed_ports: Sequence[str] | None = None
    ports: Sequence[int] | None = None
    addresses: Mapping[str, Sequence[Mapping[str, Any]]] | None = None  # contract 3.5
    mounts: Sequence[Mapping[str, Any]] | None = (
        None  # type, destination and the name on the host; never the content
    )
    healthcheck: Mapping[str, Any] | None = None
    registry_id: str | None = None
    availability_zone: str | None = None
    host: str | None = None
    container_id: str | None = None  # the engine's id
    exit_code: int | None = None
    oom_killed: bool = False
    health: str | None = None  # the engine's word: starting, healthy, unhealthy
    started_at: datetime | None = None
    finished_at: datetime | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    max_run_time: int | None = None  # seconds from a start until the agent stops it
    capsule_uuid: str | None = None  # of the capsule it is a member of
    capsule_order: int | None = None  # its place in the template, init containers first
    init: bool = False  # a member that has to end well before the others start
    placement: Mapping[str, Any] | None = None  # of its request: hints, host, disk_given
    movable: bool | None = None  # it may be made anew on another host when its own fails
    lost_status: Status | None = None  # what it was when its host fell silent
    # From the open operation, if there is one (joined when read; never columns of their own).
    open_action: Action | None = None
    open_begun: bool = False

    @property
    def shown_command(self) -> Sequence[str]:
        """What the user gave, else the image's own as far as it is known."""
        return (self.image_command or ()) if self.command is None else self.command

    @property
    def shown_entrypoint(self) -> Sequence[str]:
        """Likewise."""
        return (self.image_entrypoint or ()) if self.entrypoint is None else self.entrypoint


class Listed(NamedTuple):
    """One row of a list: what its JSON shape shows, and nothing that costs time to take apart.

    Down to `updated_at` the fields are those of the JSON, in its words: a page of a thousand is not made over field by
    field. One of type Any is JSON that stands for itself, never None, to be put into an answer as it is.
    """

    uuid: str
    name: str
    project_id: str
    user_id: str
    image: str
    image_driver: str
    image_pull_policy: str | None
    shown_command: Any
    shown_entrypoint: Any
    status: Status
    status_reason: str | None
    cpu: float
    cpu_policy: str
    memory: str  # MiB
    disk: int
    environment: Any
    labels: Any
    workdir: str | None
    hostname: str | None
    ports: Any
    addresses: Any
    restart_policy: Any
    interactive: bool
    tty: bool
    auto_remove: bool
    auto_heal: bool
    security_groups: Any
    healthcheck: Any
    registry_id: str | None
    host: str | None
    runtime: str | None
    privileged: bool
    created_at: str
    updated_at: str | None
    id: int
    exit_code: int | None
    health: str | None
    started_at: datetime | None
    finished_at: datetime | None
    max_run_time: int | None
    open_action: Action | None
    open_begun: bool | None


#: Columns a user may sort a list by (contract 2.0; internal columns excluded by 13.2-46).
SORT_KEYS: tuple[str, ...] = (
    "id", "uuid", "name", "project_id", "user_id", "image", "status", "cpu", "memory", "disk", "host",
    "hostname", "created_at", "updated_at", "started_at", "auto_remove", "runtime", "image_driver",
)  # fmt: skip

#: Columns a list may be filtered by (contract 2.1). `task_state` is derived and handled apart; `status` may be a tuple
#: of several.
FILTERS: tuple[str, ...] = (
    "name", "image", "project_id", "user_id", "memory", "host", "task_state", "status", "auto_remove",
)  # fmt: skip

#: Filters of our own that are no columns: the beginning of the name, and a tuple of labels: (key, value or None).
OWN_FILTERS: tuple[str, ...] = ("name_prefix", "labels")
