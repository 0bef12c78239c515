"""The engine of this machine and real services on it. Whatever a test leaves is removed, also when it failed."""

from __future__ import annotations

import contextlib
import itertools
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest
import requests
from docker import APIClient
from docker.errors import APIError, DockerException, NotFound
from tests.support.house import eventually
from tests.support.images import FOREVER as FOREVER
from tests.support.images import NAME, ensure_busybox
from tests.support.service import Service

HOW = (
    "no container engine answers on /var/run/docker.sock. Install Debian's docker.io (apt-get install docker.io"
    " busybox-static docker-registry) and start it: dockerd >/tmp/dockerd.log 2>&1 &"
)
LABEL = "org.openstack.zun."
_octets = itertools.count()


@pytest.fixture(scope="session")
def docker_engine() -> Iterator[APIClient]:
    """A client of the engine, which has the test image. Without an engine the test fails: it is never skipped."""
    try:
        client = APIClient("unix:///var/run/docker.sock", version="auto", timeout=60)
        client.ping()
    except (DockerException, requests.RequestException, OSError):
        pytest.fail(HOW, pytrace=False)
    ensure_busybox(client)
    yield client
    client.close()


class Lab:
    """One service with its state directory, and the engine as root sees it."""

    def __init__(
        self,
        folder: Path,
        engine: APIClient,
        options: Mapping[str, Mapping[str, Any]] | None = None,
    ) -> None:
        # Subnets of its own: other tests may run on this engine now.
        pool = {"docker_network": {"subnet_pool": f"10.203.{next(_octets) % 16 * 16}.0/20"}}
        self.service = Service(folder / "state", options={**pool, **(options or {})})
        self.engine = engine
        self.folder = folder

    @property
    def name(self) -> str:
        """The name of its host."""
        return f"test-{self.service.port}"

    # ---- through the API

    def create(self, command: list[str] | None = None, *, run: bool = True, **body: Any) -> str:
        """The uuid of an accepted container, small, by default one that runs on."""
        wanted = {
            "image": f"{NAME}:latest", "command": FOREVER if command is None else command, "cpu": 0.1,
            "memory": 32, **body,
        }  # fmt: skip
        status, answer = self.service.ask("POST", f"/v1/containers?run={run}", wanted)
        assert status == 202, answer
        uuid: str = answer["uuid"]
        return uuid

    def running(self, **body: Any) -> dict[str, Any]:
        """One that runs, as the API shows it."""
        return self.service.until(self.create(**body), "Running")

    def act(self, uuid: str, action: str, query: str = "") -> None:
        """An accepted action."""
        status, answer = self.service.ask("POST", f"/v1/containers/{uuid}/{action}{query}")
        assert status == 202, answer

    def delete(self, uuid: str) -> None:
        """A forced delete, done."""
        status, answer = self.service.ask("DELETE", f"/v1/containers/{uuid}?force=True")
        assert status == 204, answer
        self.service.gone(uuid)

    def execute(self, uuid: str, script: str, **headers: str) -> tuple[int, str]:
        """Exit code and output of a shell script run inside."""
        body = {"command": "sh -c " + _quoted(script), "run": True}
        status, answer = self.service.ask(
            "POST", f"/v1/containers/{uuid}/execute?{_query(body)}", **headers
        )
        assert status == 200, answer
        return answer["exit_code"], answer["output"]

    def logs(self, uuid: str) -> str:
        """All of its log."""
        status, answer = self.service.ask("GET", f"/v1/containers/{uuid}/logs")
        assert status == 200, answer
        text: str = answer
        return text

    def shows(self, uuid: str, so: Callable[[dict[str, Any]], Any]) -> dict[str, Any]:
        """The container once it is `so`."""

        def has() -> dict[str, Any] | None:
            shown = self.service.show(uuid)
            return shown if shown is not None and so(shown) else None

        answer: dict[str, Any] = eventually(has, f"{uuid} never was so: {self.service.show(uuid)}")
        return answer

    # ---- past the API

    def raw(self, uuid: str) -> dict[str, Any]:
        """What the engine's inspect says."""
        found: dict[str, Any] = self.engine.inspect_container(f"zun-{uuid}")
        return found

    def on_engine(self, uuid: str) -> bool:
        """Whether the engine has it."""
        try:
            self.raw(uuid)
        except NotFound:
            return False
        return True

    def networks(self, project: str | None = None) -> list[dict[str, Any]]:
        """The engine's networks of a project; None = of all in our subnets."""
        found: list[dict[str, Any]] = self.engine.networks(filters={"label": f"{LABEL}uuid"})
        return [n for n in found if project in (None, n["Labels"].get(f"{LABEL}project"))]

    # ---- life

    def destroy(self) -> None:
        """Ends the service, and removes from the engine what it made."""
        mine = self._owner()
        self.service.stop()
        if mine is None:
            return
        label = {"label": f"{LABEL}host={mine}"}
        for container in self.engine.containers(all=True, filters=label):
            with contextlib.suppress(APIError):
                self.engine.remove_container(container["Id"], force=True, v=True)
        for network in self.engine.networks(filters=label):
            with contextlib.suppress(APIError):
                self.engine.remove_network(network["Id"])

    def _owner(self) -> str | None:
        """The uuid of its host, by which the engine's things are marked."""
        try:
            hosts = self.service.ask("GET", "/v1/hosts")[1]["hosts"]
        except (OSError, TypeError, KeyError):
            return None
        return str(hosts[0]["uuid"]) if hosts else None


def _quoted(script: str) -> str:
    return "'" + script.replace("'", "'\\''") + "'"


def _query(values: Mapping[str, Any]) -> str:
    return urlencode(values)


Labs = Callable[..., Lab]


@pytest.fixture(scope="module")
def labs(docker_engine: APIClient, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Labs]:
    """Starts services with the options given; all end with the module."""
    with contextlib.ExitStack() as stack:

        def begin(
            options: Mapping[str, Mapping[str, Any]] | None = None,
            prepare: Callable[[Path], None] = lambda state: None,
        ) -> Lab:
            lab = Lab(tmp_path_factory.mktemp("lab"), docker_engine, options)
            prepare(lab.service.state)
            stack.callback(lab.destroy)
            lab.service.start()
            return lab

        yield begin


@pytest.fixture(scope="module")
def lab(labs: Labs) -> Lab:
    """The module's service."""
    return labs()


class Client:
    """The unmodified official client, against one service, through clouds.yaml."""

    def __init__(self, lab: Lab) -> None:
        self.lab = lab
        self._clouds = lab.folder / "clouds.yaml"
        entry = {
            "auth_type": "http_basic",
            "auth": {
                "username": "admin",
                "password": (lab.service.state / "password").read_text().strip(),
                "endpoint": f"http://127.0.0.1:{lab.service.port}/v1",
            },
        }
        self._clouds.write_text(json.dumps({"clouds": {"zun": entry}}))  # JSON is YAML

    def run(self, *words: str, program: str = "openstack", **env: str) -> tuple[int, str, str]:
        """Exit code, stdout and stderr of one command."""
        clean = {key: value for key, value in os.environ.items() if not key.startswith("OS_")}
        cloud = {"OS_CLIENT_CONFIG_FILE": str(self._clouds), "OS_CLOUD": "zun"}
        ended = subprocess.run(
            [str(Path(sys.executable).with_name(program)), *words],
            env={**clean, **cloud, **env}, capture_output=True, text=True, timeout=120, check=False,
        )  # fmt: skip
        return ended.returncode, ended.stdout, ended.stderr

    def text(self, *words: str) -> str:
        """What `openstack appcontainer ...` prints; it must succeed."""
        code, out, err = self.run("appcontainer", *words)
        assert code == 0, f"{words}: {out}{err}"
        return out

    def json(self, *words: str) -> Any:
        """The same as JSON."""
        # Before an image, for all that comes after one is the container's command.
        verb = 2 if words[0] in ("action", "host", "service") else 1
        return json.loads(self.text(*words[:verb], "-f", "json", *words[verb:]))
