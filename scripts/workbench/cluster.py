"""A cluster on one machine: what it consists of, and how each part is started, asked, killed and removed.

<state>/cluster.json   what `up` was told, addresses, generated passwords (0600)
<state>/etc/           configuration of every process (0600)
<state>/log/, run/     logs and pid files
<state>/hosts/NAME/    a host's engine and files; mariadb/, rabbitmq/, keystone/ theirs
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import secrets
import socket
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from workbench import hosts as hosting
from workbench import zun
from workbench.background import Background, end, marked
from workbench.console import Trouble
from workbench.files import write_private
from workbench.hosts import Host
from workbench.keystone import PROJECTS, ROLES, Keystone, Login, Refused
from workbench.mariadb import MariaDB
from workbench.rabbitmq import RabbitMQ
from workbench.switch import Switch, free_subnet

_MEMORY = "cluster.json"
_ANSWER_SECONDS = 20.0
_NOWHERE = "0.0.0.0/24"
#: Of servers that Debian starts, too, perhaps on every address of the machine.
_PORTS = {"mariadb": 3306, "rabbitmq": 5672, "keystone": 5000}
_USER = "zun"  # of database and queue
#: What a user starts with.
_FIRST = (PROJECTS[0], "member")


def default_state() -> Path:
    """Where a cluster keeps its files unless told otherwise."""
    return Path("/var/lib/zun-cluster")


@dataclass
class Memory:
    """What one command leaves for the next."""

    hosts: int = 3
    disk: int = 0  # MiB of each host; 0 = whatever the machine has
    subnet: str = ""
    ports: dict[str, int] = field(default_factory=dict)
    cloud: str = "zun-cluster"
    clouds_yaml: str | None = None
    secrets: dict[str, str] = field(default_factory=dict)
    started_from: str | None = None

    @classmethod
    def load(cls, state: Path) -> Memory | None:
        """What the last command left; None where there was none. Raises Trouble: the file is damaged."""
        path = state / _MEMORY
        try:
            read = json.loads(path.read_text())
            known = {item.name for item in fields(cls)}
            return cls(**{key: value for key, value in read.items() if key in known})
        except FileNotFoundError:
            return None
        except PermissionError as error:
            raise Trouble(f"no permission to read {path}", "run this as root") from error
        except (OSError, ValueError, TypeError, AttributeError) as error:
            way_out = f"./cluster down --state {state} removes the cluster even so"
            raise Trouble(f"{path} can't be read: {error}", way_out) from error

    def save(self, state: Path) -> None:
        """Keep it."""
        write_private(state / _MEMORY, json.dumps(asdict(self), indent=1) + "\n")


@dataclass(frozen=True)
class Member:
    """A process of the cluster, by the name that `kill`, `start` and `logs` know it by."""

    name: str
    kind: str
    log: Path
    pid: Callable[[], int | None]
    start: Callable[[], object]
    kill: Callable[[], object]
    health: Callable[[], str | None] = lambda: None  # None: there is none but its life


class Cluster:
    """The cluster of one state directory. `venv` holds the project."""

    def __init__(self, state: Path, venv: Path, memory: Memory | None = None) -> None:
        self.state = state
        self.venv = venv
        # Of the path, and not remembered: `down` must find everything when the files are gone.
        self.tag = "zc" + hashlib.sha256(str(state).encode()).hexdigest()[:6]
        self.memory = memory or Memory.load(state) or Memory()
        self.etc, self.log, self.run = state / "etc", state / "log", state / "run"

    # -- parts ------------------------------------------------------------------------------------

    @property
    def switch(self) -> Switch:
        """Its network; the addresses are void where nothing is remembered, which is enough to remove it."""
        return Switch(self.tag, self.memory.subnet or _NOWHERE)

    @property
    def address(self) -> str:
        """Where database, queue, Keystone and APIs listen."""
        return self.switch.address

    @property
    def hosts(self) -> list[Host]:
        """Its hosts."""
        return [self._host(number) for number in range(1, self.memory.hosts + 1)]

    def _host(self, number: int) -> Host:
        name = f"host-{number}"
        folder = self.state / "hosts" / name
        return Host(name, number, self.switch, folder, self.run, self.log, self.memory.disk)

    def host(self, name: str) -> Host:
        """The host of that name. Raises Trouble."""
        for host in self.hosts:
            if host.name == name:
                return host
        known = ", ".join(host.name for host in self.hosts)
        raise Trouble(f"there is no host {name!r}", f"the hosts are {known}")

    @property
    def api_ports(self) -> list[int]:
        """Of the APIs, the one in the catalogue first."""
        return list(zun.API_PORTS.values())

    @property
    def mariadb(self) -> MariaDB:
        """The database server."""
        return MariaDB(
            self.state / "mariadb", durable=False, address=self.address, port=self._port("mariadb")
        )

    @property
    def rabbitmq(self) -> RabbitMQ:
        """The message queue."""
        password = self.memory.secrets.get("queue", "")
        return RabbitMQ(
            self.state / "rabbitmq", address=self.address, user=_USER, password=password
        )

    @property
    def keystone(self) -> Keystone:
        """The identity service."""
        return Keystone(self.state / "keystone", address=self.address, port=self._port("keystone"))

    def _port(self, server: str) -> int:
        return self.memory.ports.get(server, _PORTS[server])

    @property
    def zun(self) -> zun.Deployment:
        """The processes of this project."""
        return zun.Deployment(
            tag=self.tag, bin=self.venv / "bin", state=self.state, etc=self.etc, run=self.run,
            log=self.log, address=self.address, hosts=self.hosts, base=self._base,
        )  # fmt: skip

    def _base(self) -> zun.Sections:
        base = {name: dict(values) for name, values in self.keystone.options().items()}
        base["DEFAULT"] = {
            "transport_url": self.rabbitmq.url,
            "auth_encryption_key": self.memory.secrets["encryption"],
        }
        base["database"] = {"connection": self.database_url}
        return base

    def members(self) -> list[Member]:
        """All its processes, in the order in which they are started."""
        found: list[Member] = []
        for host in self.hosts:
            found += [
                _member(host.containerd, "engine", host.begin),
                _member(host.dockerd, "engine", host.begin, lambda h=host: _answers(h)),
            ]
        for name, server in self._servers().items():
            pid = lambda s=server: s.pid  # noqa: E731
            found.append(Member(name, "server", server.log, pid, server.start, server.kill))
        for each in self.zun.processes():
            found.append(_member(each.daemon, each.kind, each.daemon.start, each.health))
        return found

    def _servers(self) -> dict[str, Any]:
        return {"mariadb": self.mariadb, "rabbitmq": self.rabbitmq, "keystone": self.keystone}

    def member(self, name: str) -> Member:
        """The process of that name. Raises Trouble."""
        for member in self.members():
            if member.name == name:
                return member
        known = " ".join(member.name for member in self.members())
        raise Trouble(f"there is no process {name!r}", f"the processes are: {known}")

    # -- making -----------------------------------------------------------------------------------

    def make_state(self) -> None:
        """The directories, and what is chosen once: addresses and passwords. Raises Trouble."""
        try:
            # Servers that run as users of their own must get through to their own directories.
            self.state.mkdir(parents=True, exist_ok=True, mode=0o711)
            self.state.chmod(0o711)
            for folder in (self.etc, self.log, self.run):
                folder.mkdir(exist_ok=True, mode=0o700)
            (self.state / "hosts").mkdir(exist_ok=True, mode=0o711)
        except OSError as error:
            raise Trouble(
                f"can't write {self.state}: {error}", "run this as root, or give another --state"
            ) from error
        if not self.memory.subnet:
            self.memory.subnet = free_subnet()
        for name in ("database", "queue", "encryption"):
            self.memory.secrets.setdefault(name, secrets.token_hex(16))
        self.memory.save(self.state)

    def begin_hosts(self) -> int:
        """Network, namespaces, engines, the images; how many engines had to be started. Raises Trouble."""
        self.switch.ensure()
        if not self.memory.ports:
            ports = {name: _free(self.address, port) for name, port in _PORTS.items()}
            self.memory.ports = ports
            self.memory.save(self.state)
        for host in self.hosts:
            self.switch.ensure_host(host.name, host.number)
        return sum(host.begin() for host in self.hosts)

    @property
    def database_url(self) -> str:
        """Of the database, for those who use it."""
        return self.mariadb.url("zun", _USER, self.memory.secrets["database"])

    def create_database(self) -> None:
        """Make it, and its user. Raises Trouble."""
        self.mariadb.create("zun", _USER, self.memory.secrets["database"])

    # -- who may use it ---------------------------------------------------------------------------

    def accounts(self) -> dict[str, Login]:
        """Name of a cloud entry -> whose it is; the first is what a user starts with."""
        keystone, cloud = self.keystone, self.memory.cloud
        found = {cloud: keystone.user(*_FIRST), f"{cloud}-admin": self.admin}
        found |= {f"{cloud}-{p}-{role}": keystone.user(p, role) for p in PROJECTS for role in ROLES}
        return found

    @property
    def admin(self) -> Login:
        """Who sees all."""
        return self.keystone.user(PROJECTS[0], "admin")

    def ask(self, path: str) -> Any:
        """What any of the APIs answers the administrator to a GET of `path` below /v1. Raises Trouble."""
        why = ""
        for port in zun.API_PORTS.values():
            url = f"http://{self.address}:{port}/v1{path}"
            try:
                headers = {"X-Auth-Token": self.keystone.token(self.admin)}
                request = urllib.request.Request(url, headers=headers)
                with urllib.request.urlopen(request, timeout=_ANSWER_SECONDS) as answer:
                    return json.load(answer)
            except (OSError, ValueError, Refused) as error:
                why = f"{url}: {error}"
        raise Trouble(f"no API answers: {why}", "./cluster status shows what runs")

    def write_openrc(self) -> None:
        """A file to source for each user, and one with all as clouds."""
        for name, login in self.accounts().items():
            suffix = name.removeprefix(self.memory.cloud)
            write_private(self.state / f"openrc{suffix}", login.openrc())
        clouds = {name: login.cloud() for name, login in self.accounts().items()}
        # JSON is YAML.
        write_private(self.state / "clouds.yaml", json.dumps({"clouds": clouds}, indent=1) + "\n")

    # -- the end ----------------------------------------------------------------------------------

    def stop(self) -> None:
        """End everything in order, what depends on others first. What does not end is left to `remove`."""
        self._each([each.daemon.stop for each in self.zun.processes()])
        servers = [server.stop for server in self._servers().values()]
        self._each([*servers, *(host.stop for host in self._all_hosts())])

    @staticmethod
    def _each(deeds: list[Callable[[], object]]) -> None:
        with ThreadPoolExecutor(max_workers=max(len(deeds), 1)) as pool:
            for done in [pool.submit(deed) for deed in deeds]:
                with contextlib.suppress(Trouble, OSError):
                    done.result()

    def remove(self) -> None:
        """Remove every trace: processes, control groups, mounts, namespaces, files. Raises Trouble."""
        hosts = self._all_hosts()
        for host in hosts:
            host.thaw()
        end(self.processes)
        for host in hosts:
            host.forget_shims()
        hosting.unmount_below(self.state)
        self.switch.remove()
        hosting.remove_cgroups(self.tag)
        # Only a directory with our own mark in it: a wrong --state must not cost anything.
        if (self.state / _MEMORY).exists() or (self.state / "hosts").is_dir():
            hosting.remove_folder(self.state)

    def _all_hosts(self) -> list[Host]:
        """Also those of a cluster that was larger once, or whose memory is lost: by their directories."""
        found = {host.number: host for host in self.hosts}
        for folder in (self.state / "hosts").glob("host-*"):
            number = folder.name.removeprefix("host-")
            if number.isdigit():
                found.setdefault(int(number), self._host(int(number)))
        return list(found.values())

    def processes(self) -> list[int]:
        """Every process that belongs to it, those in its containers too."""
        inside = [pid for host in self._all_hosts() for pid in host.processes()]
        return sorted({*marked(self.tag), *inside})

    def leftovers(self) -> dict[str, list[str]]:
        """What is there of it at all; {} after `remove`."""
        groups = [p for top in hosting.hierarchies() for p in [top / self.tag] if p.exists()]
        found = {
            "processes": [str(pid) for pid in self.processes()],
            "namespaces": self.switch.namespaces(),
            "links": self.switch.links(),
            "mounts": hosting.mounts_below(self.state),
            "control groups": [str(path) for path in groups],
            "files": [str(self.state)] if self.state.exists() else [],
        }
        return {what: names for what, names in found.items() if names}

    @contextlib.contextmanager
    def alone(self) -> Iterator[None]:
        """Nobody else changes this cluster meanwhile. Raises Trouble: somebody does."""
        handle = os.open(self.state, os.O_RDONLY)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            os.close(handle)
            raise Trouble(
                f"another ./cluster works on {self.state}", "wait until it has ended"
            ) from error
        try:
            yield
        finally:
            os.close(handle)


def _member(
    daemon: Background,
    kind: str,
    start: Callable[[], object],
    health: Callable[[], str | None] = lambda: None,
) -> Member:
    return Member(daemon.name, kind, daemon.log, daemon.pid, start, daemon.kill, health)


def _answers(host: Host) -> str | None:
    return None if host.engine.version() else "does not answer"


def _free(address: str, port: int) -> int:
    """`port` if nobody has it at the address, else any that nobody has."""
    with socket.socket() as door:
        # As servers do: what is left of a connection that has ended does not count.
        door.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            door.bind((address, port))
        except OSError:
            door.bind((address, 0))
        found: int = door.getsockname()[1]
        return found
