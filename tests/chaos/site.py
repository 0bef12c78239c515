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

from tests.chaos.clients import Api
from tests.chaos.run import Site
from tests.chaos.storm import Target
from tests.support.cluster import Cluster
from tests.support.workbench import module

end = module("background").end
Refused = module("keystone").Refused

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


@dataclass(frozen=True)
class Power:
    """A host that fails altogether, and whose operator says so: what may be moved is made anew elsewhere."""

    cluster: Cluster
    host: str
    care: Api
    ways: Sequence[str] = ("off",)

    @property
    def name(self) -> str:
        """For the report."""
        return f"power-{self.host}"

    def harm(self, way: str) -> None:
        """Everything on it dies; then, and only then, somebody says that it is dead."""
        parts = self.cluster.parts
        host = parts.host(self.host)
        for what in ("compute", "engine", "containerd"):
            parts.member(f"{what}-{self.host}").kill()
        host.thaw()
        end(host.processes)
        self._say(True)

    def heal(self) -> None:
        """It boots, and is let in."""
        for what in ("containerd", "compute"):
            if self.cluster.parts.member(f"{what}-{self.host}").pid() is None:
                self.cluster.command("start", f"{what}-{self.host}", check=False)
        self._say(False)

    def _say(self, down: bool) -> None:
        force_down(self.care, self.host, down)


def force_down(care: Api, host: str, down: bool) -> None:
    """Says that a host is dead, or takes it back. If nobody answers, so it is: see `forced_down`."""
    query = f"host={host}&binary=zun-compute&forced_down={str(down).lower()}"
    care.ask("PUT", f"/services/force_down?{query}")


def forced_down(care: Api) -> Sequence[str]:
    """The hosts that are said to be dead. Raises OSError: no API answers."""
    answer = care.ask("GET", "/services")
    if answer.status != 200:
        raise OSError(f"the services were answered with {answer.status}")
    return [s["host"] for s in answer.body["services"] if s["forced_down"]]


class Tokens:
    """Tokens of one user, got anew before they expire."""

    def __init__(self, cluster: Cluster, project: str, role: str) -> None:
        keystone = cluster.parts.keystone
        self._issue: Callable[[], str] = lambda: keystone.token(keystone.user(project, role))
        self._lock = threading.Lock()
        self._token, self._until = "", 0.0

    def __call__(self) -> Mapping[str, str]:
        """The headers of a request. Raises OSError."""
        with self._lock:
            if time.monotonic() > self._until:
                self._renew()
            return {"X-Auth-Token": self._token}

    def _renew(self) -> None:
        # Keystone may be away, too. An older token is good for a while yet.
        try:
            self._token, self._until = self._issue(), time.monotonic() + _TOKEN_SECONDS
        except (OSError, Refused) as error:
            if not self._token:
                raise OSError("no token is to be had") from error


def site_of(cluster: Cluster, clients: int = 6) -> Site:
    """The whole cluster. A process that ended by itself is started again, as a service manager would."""
    parts = cluster.parts
    zun, hosts = parts.zun, parts.hosts
    kinds = ("api", "conductor", "compute")
    targets: list[Target] = [Process(cluster, p.name) for p in zun.processes() if p.kind in kinds]
    targets += [Process(cluster, name) for name in ("mariadb", "rabbitmq", "keystone")]
    apis = [f"http://{parts.address}:{port}/v1" for port in parts.api_ports]
    admin = Tokens(cluster, "demo", "admin")
    care = Api(apis, admin)
    for host in hosts:
        targets += [Process(cluster, f"engine-{host.name}"), Cable(cluster, host.name)]
        targets += [Disk(host.folder, host.name), Power(cluster, host.name, care)]
        targets.append(Process(cluster, f"containerd-{host.name}", ("kill",)))
    users = [Tokens(cluster, "demo", "member"), Tokens(cluster, "alt", "member")]

    def tend(struck: Collection[str]) -> None:
        off = tuple(name.removeprefix("power") for name in struck if name.startswith("power-"))
        for member in parts.members():
            alive = member.name in struck or (off and member.name.endswith(off))
            if not alive and member.pid() is None:
                cluster.command("start", member.name, check=False)

    def ready() -> str | None:
        tend(())
        for host in forced_down(care):
            force_down(care, host, False)
        sick = {m.name: m.health() for m in parts.members()}
        wrong = [f"{name}: {said}" for name, said in sick.items() if said]
        return "; ".join(wrong) or None

    return Site(
        apis=apis,
        headers=lambda number: users[number % len(users)],
        admin=admin,
        database=parts.database_url,
        engines={host.name: f"unix://{host.engine.path}" for host in hosts},
        files={host.name: host.folder / "zun" / "files" for host in hosts},
        targets=targets,
        ready=ready,
        tend=tend,
        clients=clients,
    )
