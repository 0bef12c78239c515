"""One container of the fake runtime."""

from __future__ import annotations

import io
import posixpath
import tarfile
import uuid as uuids
from dataclasses import dataclass, field
from datetime import datetime

from zun.drivers.runtime import Attachment, Facts, Limits, PathStat, Plan
from zun.model.lifecycle import Observed

_FOLDERS = ("/", "/bin", "/etc", "/tmp")


@dataclass
class Box:
    """Its plan, its state, and what happened to it since. `files`: path -> content, None = a directory."""

    plan: Plan
    runtime_id: str = field(default_factory=lambda: uuids.uuid4().hex * 2)
    observed: Observed = Observed.CREATED
    exit_code: int | None = None
    oom_killed: bool = False
    error: str | None = None
    health: str | None = None
    started_at: datetime | None = None
    finished_at: datetime | None = None
    log: list[tuple[float, int, bytes]] = field(default_factory=list)
    attachments: dict[str, Attachment] = field(init=False)
    limits: Limits = field(init=False)
    files: dict[str, bytes | None] = field(default_factory=lambda: dict.fromkeys(_FOLDERS))
    busy: float = 0.0  # CPUs it keeps busy

    def __post_init__(self) -> None:
        plan = self.plan
        self.attachments = {a.network: a for a in plan.attachments}
        self.limits = Limits(
            cpu=plan.cpu or 1.0, memory=plan.memory or 0, cpu_shares=plan.cpu_shares
        )

    def facts(self) -> Facts:
        """What an inspect shows."""
        plan = self.plan
        return Facts(
            uuid=plan.uuid,
            observed=self.observed,
            runtime_id=self.runtime_id,
            generation=plan.generation,
            movable=plan.movable,
            exit_code=self.exit_code if self.observed in (Observed.EXITED, Observed.DEAD) else None,
            oom_killed=self.oom_killed,
            error=self.error,
            health=self.health,
            started_at=self.started_at,
            finished_at=self.finished_at,
            hostname=plan.hostname or self.runtime_id[:12],
            command=None if plan.command is None else tuple(plan.command),
            entrypoint=None if plan.entrypoint is None else tuple(plan.entrypoint),
            ports=tuple(sorted(int(p.partition("/")[0]) for p in plan.exposed_ports)),
            addresses={
                a.network: tuple(x for x in (a.address_v4, a.address_v6) if x)
                for a in self.attachments.values()
            },
        )

    def pack(self, path: str) -> tuple[bytes, PathStat]:
        """The archive of a path and what it is. KeyError if there is none."""
        path = posixpath.normpath(path)
        content = self.files[path]
        name = posixpath.basename(path) or "/"
        buffer = io.BytesIO()
        with tarfile.open(fileobj=buffer, mode="w") as tar:
            for place in sorted(self.files):
                if place == path or place.startswith(path.rstrip("/") + "/"):
                    _add(tar, name + place[len(path) :], self.files[place])
        stat = PathStat(
            name=name,
            size=4096 if content is None else len(content),
            mode=0o755 if content is None else 0o644,
            mtime="2026-01-01T00:00:00Z",
            link_target="",
        )
        return buffer.getvalue(), stat

    def unpack(self, path: str, data: bytes) -> None:
        """Puts an archive's files under a directory. KeyError if it is none; tarfile.TarError."""
        path = posixpath.normpath(path)
        if self.files[path] is not None:
            raise KeyError(path)
        with tarfile.open(fileobj=io.BytesIO(data)) as tar:
            for member in tar:
                file = tar.extractfile(member)
                self.files[posixpath.join(path, member.name)] = file.read() if file else None


def _add(tar: tarfile.TarFile, name: str, content: bytes | None) -> None:
    info = tarfile.TarInfo(name)
    if content is None:
        info.type, info.mode = tarfile.DIRTYPE, 0o755
        tar.addfile(info)
    else:
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
