"""This project's processes in a cluster: their configuration, and how each is started and asked for its health."""

from __future__ import annotations

import http.client
import json
import socket
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from workbench.background import Background
from workbench.console import run
from workbench.files import ini, write_private
from workbench.hosts import Host
from workbench.service import describe

API_PORTS = {1: 9517, 2: 9527}
_STREAMS_PORT = 9519
_CONDUCTOR_PORTS = {1: 9531, 2: 9532}
_COMPUTE_PORT = 9521
_PROXY_PORT = 6784
#: Seconds: a host is down after three beats that did not come.
_BEAT = 3
_ANSWER_SECONDS = 10.0
#: Bytes of an archive in a request, in base64.
_ARCHIVE = 128 * 1024 * 1024

Sections = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, kw_only=True)
class Process:
    """One process. `health`: None when it is well, else what is wrong."""

    name: str
    kind: str
    daemon: Background
    health: Callable[[], str | None]


@dataclass(frozen=True, kw_only=True)
class Deployment:
    """All of them, on `address`; `base` is the configuration they have in common."""

    tag: str
    bin: Path
    state: Path
    etc: Path
    run: Path
    log: Path
    address: str
    hosts: list[Host]
    base: Callable[[], Sections]

    def configure(self) -> None:
        """Write the configuration of each."""
        write_private(self.etc / "zun.conf", ini(self._common()))
        for process, sections in self._own().items():
            write_private(self.etc / f"{process}.conf", ini(sections))

    def _common(self) -> dict[str, dict[str, Any]]:
        streams = f"http://{self.address}:{_STREAMS_PORT}"
        common: dict[str, dict[str, Any]] = {
            "DEFAULT": {"host": "controller", "state_path": self.state / "zun",
                        "service_down_time": 3 * _BEAT},
            "api": {"host_ip": self.address, "max_archive_size": _ARCHIVE},
            "compute": {"heartbeat_interval": _BEAT},
            # All hosts wait for the same disks and were given the same images, whatever is recorded of them.
            "scheduler": {"io_ops_weight_multiplier": 0.0, "image_weight_multiplier": 0.0},
            "metrics": {"host_ip": self.address},
            "streams": {"host_ip": self.address, "port": _STREAMS_PORT, "base_url": streams},
            "websocket_proxy": {"wsproxy_host": self.address, "wsproxy_port": _PROXY_PORT,
                                "base_url": f"ws://{self.address}:{_PROXY_PORT}/"},
        }  # fmt: skip
        for name, values in self.base().items():
            common.setdefault(name, {}).update(values)
        return common

    def _own(self) -> dict[str, Sections]:
        """What each has for itself, by the name of the process."""
        own: dict[str, Sections] = {
            "streams-1": {"metrics": {"port": _STREAMS_PORT + 1}},
            "wsproxy-1": {},
        }
        for number, port in API_PORTS.items():
            own[f"api-{number}"] = {"api": {"port": port}, "metrics": {"port": port + 1}}
        for number, port in _CONDUCTOR_PORTS.items():
            own[f"conductor-{number}"] = {"metrics": {"port": port}}
        for host in self.hosts:
            own[f"compute-{host.name}"] = {
                "DEFAULT": {"host": host.name, "state_path": host.folder / "zun"},
                "docker": {"api_url": f"unix://{host.engine.path}"},
                "metrics": {"host_ip": host.address, "port": _COMPUTE_PORT},
                # Nothing of it leaves this machine, on which only root sees the cluster's network.
                "agent_streams": {"host_ip": host.address, "allow_plain_text": True},
            }
        return own

    def processes(self) -> list[Process]:
        """In the order in which they are started."""
        found = [
            self._process("conductor", str(n), self._at(port))
            for n, port in _CONDUCTOR_PORTS.items()
        ]
        for host in self.hosts:
            ask = self._at(_COMPUTE_PORT, host.address)
            found.append(self._process("compute", host.name, ask, netns=host.netns))
        found += [self._process("api", str(n), self._at(port)) for n, port in API_PORTS.items()]
        found.append(self._process("streams", "1", self._at(_STREAMS_PORT + 1)))
        if (self.bin / "zun-wsproxy").exists():
            found.append(
                self._process("wsproxy", "1", lambda: _connects(self.address, _PROXY_PORT))
            )
        return found

    def _at(self, port: int, address: str | None = None) -> Callable[[], str | None]:
        return lambda: _healthy(f"http://{address or self.address}:{port}/healthcheck")

    def _process(
        self, kind: str, which: str, health: Callable[[], str | None], netns: str | None = None
    ) -> Process:
        name = f"{kind}-{which}"
        files = [self.etc / "zun.conf", self.etc / f"{name}.conf"]
        daemon = Background(
            name=name,
            command=[
                str(self.bin / f"zun-{kind}"),
                *(w for f in files for w in ("--config-file", str(f))),
            ],
            run=self.run,
            log=self.log / f"{name}.log",
            mark=self.tag,
            netns=netns,
        )
        return Process(name=name, kind=kind, daemon=daemon, health=health)

    def migrate(self) -> str:
        """Bring the database's schema to the newest revision; which that is. Raises Trouble."""
        command = [self.bin / "zun-db-manage", "--config-file", self.etc / "zun.conf", "upgrade"]
        return run(command, what="preparing the database", without="OS_").strip()

    @property
    def endpoint(self) -> str:
        """What the catalogue says."""
        return f"http://{self.address}:{API_PORTS[1]}/v1"


def _healthy(url: str) -> str | None:
    try:
        with urllib.request.urlopen(url, timeout=_ANSWER_SECONDS) as answer:
            read = json.load(answer)
    except urllib.error.HTTPError as error:
        with error:
            try:
                read = json.load(error)
            except ValueError:
                return f"answers {error.code}"
    except (OSError, ValueError, http.client.HTTPException):
        return "does not answer"
    return None if read.get("status") == "ok" else describe(read)


def _connects(address: str, port: int) -> str | None:
    try:
        socket.create_connection((address, port), _ANSWER_SECONDS).close()
    except OSError:
        return "does not answer"
    return None
