"""The cluster of a test session: brought up by ./cluster when the first test wants it, taken down with the last."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from docker import APIClient
from tests.support.clients import Clients, Ended
from tests.support.house import eventually
from tests.support.workbench import module

ROOT = Path(__file__).parents[2]
HOW = "this test needs root, and what ./cluster installs: see ./cluster --help"
HOSTS = 3
#: MiB of each: little, so that it can be filled.
DISK = 192


workbench = module("cluster")


class Cluster:
    """`parts` is what ./cluster works with; the rest are eyes and hands of a test."""

    def __init__(self, state: Path) -> None:
        self.state = state
        self.clouds_yaml = state.parent / "clouds.yaml"

    def command(self, *words: str, check: bool = True) -> str:
        """What `./cluster WORDS` says."""
        ended = subprocess.run(
            [ROOT / "cluster", *words, "--state", self.state, "--venv", sys.prefix,
             "--clouds-yaml", self.clouds_yaml],
            capture_output=True, text=True, timeout=900, check=False,
        )  # fmt: skip
        assert not check or ended.returncode == 0, f"{words}: {ended.stdout}{ended.stderr}"
        return ended.stdout + ended.stderr

    @property
    def parts(self) -> Any:
        """The cluster as ./cluster remembers it."""
        return workbench.Cluster(self.state, Path(sys.prefix))

    @property
    def hosts(self) -> list[str]:
        """Their names."""
        return [host.name for host in self.parts.hosts]

    @contextmanager
    def engine(self, host: str) -> Iterator[APIClient]:
        """A client of a host's engine for the block."""
        client = APIClient(
            f"unix://{self.parts.host(host).engine.path}", version="auto", timeout=60
        )
        try:
            yield client
        finally:
            client.close()

    def attach_url(self, uuid: str) -> str:
        """Where a session of the administrator with a container begins; good once."""
        return str(self.call("GET", f"containers/{uuid}/attach"))

    def call(self, method: str, path: str, body: Any = None) -> Any:
        """What the API answers the administrator; it must succeed."""
        parts = self.parts
        request = urllib.request.Request(
            f"{parts.zun.endpoint}/{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "X-Auth-Token": parts.keystone.token(parts.admin),
                "OpenStack-API-Version": "container 1.40",
                "Content-Type": "application/json",
            },
        )
        with urllib.request.urlopen(request, timeout=300) as answer:
            return json.load(answer)

    def rest_memory(self, kind: str) -> dict[int, int]:
        """What the processes of a kind have in memory, in bytes by pid; from now on `most_memory` counts."""
        found = self._memory(kind, "VmRSS")
        for pid in found:
            Path(f"/proc/{pid}/clear_refs").write_text("5")
        return found

    def most_memory(self, kind: str) -> dict[int, int]:
        """The most they had since."""
        return self._memory(kind, "VmHWM")

    def _memory(self, kind: str, what: str) -> dict[int, int]:
        found = {}
        for process in self.parts.zun.processes():
            if process.name.startswith(f"{kind}-"):
                pid = process.daemon.pid()
                status = Path(f"/proc/{pid}/status").read_text()
                found[pid] = int(status.split(f"{what}:")[1].split()[0]) * 1024
        return found

    def env(self, cloud: str = "zun-cluster") -> Mapping[str, str]:
        """By which a client is in a cloud; the state directory has more of them than the user's file."""
        file = self.clouds_yaml if cloud.count("-") < 3 else self.state / "clouds.yaml"
        return {"OS_CLIENT_CONFIG_FILE": str(file), "OS_CLOUD": cloud}


class User:
    """Somebody with the official client."""

    def __init__(self, cluster: Cluster, cloud: str = "zun-cluster") -> None:
        self._clients = Clients(cluster.env(cloud))

    def run(self, *words: str) -> Ended:
        """`openstack appcontainer WORDS`."""
        return self._clients.run("openstack", "appcontainer", *words)

    def json(self, verb: str, *words: str) -> Any:
        """The same as JSON; it must succeed. `verb` may be two words."""
        return self.run(*verb.split(), "-f", "json", *words).json

    def text(self, *words: str) -> str:
        """The same as text; it must succeed."""
        ended = self.run(*words)
        assert ended.code == 0, (words, ended)
        return ended.out

    def until(self, name: str, *statuses: str) -> dict[str, Any]:
        """The container once it has one of the statuses."""
        last: list[Any] = []

        def has() -> dict[str, Any] | None:
            last[:] = [self.json("show", name)]
            shown: dict[str, Any] = last[0]
            return shown if shown["status"] in statuses and not shown["task_state"] else None

        answer: dict[str, Any] = eventually(has, f"{name} becomes {statuses}, is {last}")
        return answer

    def gone(self, name: str) -> None:
        """Waits until there is no such container."""
        eventually(lambda: self.run("show", name).code != 0, f"{name} goes")

    def close(self) -> None:
        """Ends the client."""
        self._clients.close()


@contextmanager
def up() -> Iterator[Cluster]:
    """A cluster that is well; taken down at the end, of which nothing may be left."""
    assert os.geteuid() == 0, HOW
    # Not where pytest keeps files: servers with users of their own must get through, and sockets need short paths.
    folder = Path(tempfile.mkdtemp(prefix="zc", dir="/tmp"))
    folder.chmod(0o711)
    cluster = Cluster(folder / "c")
    cluster.clouds_yaml.write_text(json.dumps({"clouds": {"mine": {"auth_type": "none"}}}))
    parts = cluster.parts
    try:
        try:
            print(cluster.command("up", "--hosts", str(HOSTS), "--disk", str(DISK)))
            yield cluster
        finally:
            print(cluster.command("down"))
        assert parts.leftovers() == {}
        left = json.loads(_as_json(cluster.clouds_yaml))
        assert left == {"clouds": {"mine": {"auth_type": "none"}}}
    finally:
        cluster.clouds_yaml.unlink()
        with suppress(
            OSError
        ):  # what `down` could not remove stays for whoever looks for the reason
            folder.rmdir()


def _as_json(path: Path) -> str:
    from ruamel.yaml import YAML

    return json.dumps(YAML(typ="safe").load(path))
