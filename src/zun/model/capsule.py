"""A capsule: several containers in one sandbox, on one host (contract 4); and what its status follows from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from zun.model.container import Container
from zun.model.lifecycle import Action, Observed, Status
from zun.model.quota import Amounts, milli

#: A template's word for when members are started again -> the engine's (contract 4.1).
RESTART_POLICIES: Mapping[str, str] = {"Always": "always", "OnFailure": "on-failure", "Never": "no"}

#: How often an init container of a capsule that is restarted always may fail (contract 4.2).
INIT_RETRIES = 10


@dataclass(frozen=True, slots=True, kw_only=True)
class MemberDraft:
    """One container of a template, valid and in plain words; None = the user gave nothing (contract 4.2)."""

    image: str
    command: Sequence[str] | None = None
    environment: Mapping[str, str] = field(default_factory=dict)
    workdir: str | None = None
    image_pull_policy: str | None = None
    cpu: float | None = None
    memory: int | None = None  # MiB
    exposed_ports: Sequence[str] = ()  # "80/tcp"
    interactive: bool = False
    tty: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class CapsuleDraft:
    """A template, valid and in plain words. `restart_policy` is the engine's word; `volumes` are names."""

    containers: Sequence[MemberDraft]
    init_containers: Sequence[MemberDraft] = ()
    name: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, Any] = field(default_factory=dict)
    restart_policy: str = "always"
    availability_zone: str | None = None
    volumes: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Capsule:
    """One row of `capsules`. Times are naive UTC. Its members are rows of `containers`."""

    id: int = 0
    uuid: str
    name: str | None
    project_id: str
    user_id: str
    status: Status
    status_reason: str | None = None
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, Any] = field(default_factory=dict)
    restart_policy: Mapping[str, str] = field(default_factory=dict)
    cpu: float
    memory: int  # MiB
    disk: int = 0  # GiB
    addresses: Mapping[str, Sequence[Mapping[str, Any]]] | None = None  # contract 3.5
    availability_zone: str | None = None
    host: str | None = None
    sandbox_id: str | None = None  # the engine's id
    created_at: datetime | None = None
    updated_at: datetime | None = None
    # From the open operation, if there is one (joined when read; never a column of its own).
    open_action: Action | None = None


#: Columns a list of capsules may be sorted by (contract 2.0).
SORT_KEYS: tuple[str, ...] = (
    "id", "uuid", "name", "project_id", "user_id", "status", "cpu", "memory", "host", "created_at",
    "updated_at",
)  # fmt: skip


def amounts_of(capsule: Capsule, members: int) -> Amounts:
    """What a capsule counts in its project: each member as a container, and what it claims as a whole."""
    return Amounts(
        containers=members, cpu=milli(capsule.cpu), memory=capsule.memory, disk=capsule.disk
    )


def finished(member: Container) -> bool:
    """Whether a container has done its work and ended well."""
    return member.status is Status.STOPPED and member.exit_code == 0


def state_of(
    restarts: str, members: Sequence[Container], sandbox: Observed
) -> tuple[Status, str | None]:
    """Status and status_reason of a capsule that is not being worked on.

    `restarts` is the engine's word of its restart policy; `members` have the statuses just seen, init containers
    among them. Running: all run, and the init containers have ended well. Where they are not started again after a
    good end, one that has ended well is no fault, and the capsule is Stopped when all have. Else Error, with a
    reason that names the member.
    """
    if sandbox is not Observed.RUNNING:
        seen = "gone" if sandbox is Observed.MISSING else sandbox.value
        return Status.ERROR, (
            f"Its sandbox is {seen}, and with it the network of its containers; delete it and create it anew."
        )
    once = restarts != "always"
    bad = [m for m in members if not (finished(m) if m.init else _fine(m, once))]
    if bad:
        more = f", and {len(bad) - 1} more" if len(bad) > 1 else ""
        return Status.ERROR, _fault(bad[0]) + more
    if all(m.status is Status.STOPPED for m in members):
        return Status.STOPPED, None
    return Status.RUNNING, None


def _fine(member: Container, once: bool) -> bool:
    return member.status is Status.RUNNING or (once and finished(member))


def _fault(member: Container) -> str:
    kind = "Init container" if member.init else "Container"
    code = "" if member.exit_code is None else f" with exit code {member.exit_code}"
    why = f" ({member.status_reason.rstrip('.')})" if member.status_reason else ""
    return f"{kind} {member.name} is {member.status}{code}{why}"
