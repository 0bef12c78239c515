"""A cluster made by ./cluster as a place for chaos: what can be broken in it, and how it is healed."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.chaos.run import Site
from tests.chaos.storm import Target
from tests.support.cluster import Cluster

#: Seconds a token is used for; it lives longer.
_TOKEN_SECONDS = 1200.0
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Process:
    """A process of the cluster, by its name there."""

    cluster: Cluster
    name: str
    ways: Sequence[str] = ("kill", "pause")

    @property
    def _member(self) -> Any:
        return self.cluster.parts.member(self.name)

    def harm(self, way: str) -> None:
        """Kills it, or has it hang."""
        if way == "kill":
            self._member.kill()
        else:
            self._signal(signal.SIGSTOP)

    def heal(self) -> None:
        """It goes on, or starts again."""
        self._signal(signal.SIGCONT)
        if self._member.pid() is None:
            # By the command: what a test's own process starts would be its child.
            self.cluster.command("start", self.name, check=False)

    def _signal(self, number: signal.Signals) -> None:
        pid = self._member.pid()
        if pid is not None:
            with suppress(ProcessLookupError):
                os.kill(pid, number)


@dataclass(frozen=True)
class Cable:
    """A host's link to all others."""

    cluster: Cluster
    host: str
    ways: Sequence[str] = ("cut",)

    @property
    def name(self) -> str:
        """For the report."""
        return f"cable-{self.host}"

    def harm(self, way: str) -> None:
        """Pulls it."""
        self.cluster.parts.switch.cut(self.host)

    def heal(self) -> None:
        """Plugs it in."""
        self.cluster.parts.switch.heal(self.host)


@dataclass(frozen=True)
class Disk:
    """A host's disk, which is small."""

    folder: Path
    host: str
    ways: Sequence[str] = ("fill",)

    @property
    def name(self) -> str:
        """For the report."""
        return f"disk-{self.host}"

    @property
    def _file(self) -> Path:
        return self.folder / "filled-by-a-test"

    def harm(self, way: str) -> None:
        """Writes until nothing more goes in."""
        assert os.path.ismount(self.folder), "this would fill the machine's own disk"
        with self._file.open("wb", buffering=0) as file:
            for size in (_CHUNK, 4096, 1):
                with suppress(OSError):
                    while file.write(bytes(size)):
                        pass

    def heal(self) -> None:
        """Makes room again."""
        self._file.unlink(missing_ok=True)


class Tokens:
    """Tokens of one user, got anew before they expire."""

    def __init__(self, cluster: Cluster, project: str, role: str) -> None:
        keystone = cluster.parts.keystone
        self._issue: Callable[[], str] = lambda: keystone.token(keystone.user(project, role))
        self._lock = threading.Lock()
        self._token, self._until = "", 0.0

    def __call__(self) -> Mapping[str, str]:
        """The headers of a request."""
        with self._lock:
            if time.monotonic() > self._until:
                self._token, self._until = self._issue(), time.monotonic() + _TOKEN_SECONDS
            return {"X-Auth-Token": self._token}


def site_of(cluster: Cluster, clients: int = 6) -> Site:
    """The whole cluster. A process that ended by itself is started again, as a service manager would."""
    parts = cluster.parts
    zun, hosts = parts.zun, parts.hosts
    kinds = ("api", "conductor", "compute")
    targets: list[Target] = [Process(cluster, p.name) for p in zun.processes() if p.kind in kinds]
    targets += [Process(cluster, "mariadb"), Process(cluster, "rabbitmq")]
    for host in hosts:
        targets += [Process(cluster, f"engine-{host.name}"), Cable(cluster, host.name)]
        targets.append(Disk(host.folder, host.name))
    users = [Tokens(cluster, "demo", "member"), Tokens(cluster, "alt", "member")]

    def tend(struck: Collection[str]) -> None:
        for member in parts.members():
            if member.name not in struck and member.pid() is None:
                cluster.command("start", member.name, check=False)

    def ready() -> str | None:
        tend(())
        sick = {m.name: m.health() for m in parts.members()}
        wrong = [f"{name}: {said}" for name, said in sick.items() if said]
        return "; ".join(wrong) or None

    return Site(
        apis=[f"http://{parts.address}:{port}/v1" for port in parts.api_ports],
        headers=lambda number: users[number % len(users)],
        admin=Tokens(cluster, "demo", "admin"),
        database=parts.database_url,
        engines={host.name: f"unix://{host.engine.path}" for host in hosts},
        files={host.name: host.folder / "zun" / "files" for host in hosts},
        targets=targets,
        ready=ready,
        tend=tend,
        clients=clients,
    )
