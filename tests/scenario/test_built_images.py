"""The Containerfile: its images are built, and a whole cloud is run of them as docs/how-to/deploy.md says."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from docker import APIClient
from tests.support.cloud import Cloud, sweep
from tests.support.databases import MARIADB, Servers
from tests.support.images import NAME
from tests.support.parts import Part, Parts, together
from tests.support.service import free_port
from tests.support.workbench import module

ROOT = Path(__file__).parents[2]
PREFIX = "zun-test/"
PROCESSES = ("zun-conductor", "zun-compute", "zun-streams", "zun-wsproxy")
#: What an agent sees of its host, by docs/how-to/deploy.md.
HOST = (
    "--pid", "host", "--volume", "/var/run/docker.sock:/var/run/docker.sock",
    "--volume", "/sys/fs/cgroup:/sys/fs/cgroup:ro",
)  # fmt: skip


@pytest.fixture(scope="module")
def built() -> None:
    """The image of each process, on the engine."""
    command = [str(ROOT / "scripts/build-images"), "--prefix", PREFIX]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-4000:]


class Run:
    """What starts a process of an image with a configuration."""

    def __init__(self, parts: Parts, socket: Path) -> None:
        self.parts = parts
        self._shared = ["--volume", f"{socket}:{socket}"]

    def command(self, image: str, file: Path, *options: str) -> list[str]:
        """The words; the process's own arguments go behind them."""
        return [
            "docker", "run", "--rm", "--network", "host", "--volume", f"{file}:/etc/zun/zun.conf:ro",
            *self._shared, *options, f"{PREFIX}{image}",
        ]  # fmt: skip

    def once(self, image: str, *words: str, options: tuple[str, ...] = ()) -> str:
        """What a command that ends prints; it must succeed."""
        command = self.command(image, self.parts.config("once"), *options)
        done = subprocess.run([*command, *words], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def part(self, image: str, *options: str, **own: Any) -> Part:
        """A process that stays, not started."""
        figures = free_port()
        file = self.parts.config(image, metrics={"port": figures}, **own)
        return self.parts.add(
            self.command(image, file, *options), image, f"http://127.0.0.1:{figures}"
        )

    def api(self) -> Part:
        """The API, which its image has gunicorn serve."""
        port = free_port()
        file = self.parts.config("zun-api")
        command = [*self.command("zun-api", file), "--bind", f"127.0.0.1:{port}"]
        return self.parts.add(command, "zun-api", f"http://127.0.0.1:{port}")


@pytest.fixture(scope="module")
def run(
    built: None, keystone: Any, rabbitmq: Any, servers: Servers,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Run]:  # fmt: skip
    server = servers.get(MARIADB)
    options = keystone.options()
    options["DEFAULT"] = {"transport_url": rabbitmq.url, "state_path": "/var/lib/zun"}
    options["database"] = {"connection": server.empty()}
    options["websocket_proxy"] = {"wsproxy_port": free_port()}
    parts = Parts(tmp_path_factory.mktemp("images"), options)
    yield Run(parts, server.process.socket)
    for part in parts.made:
        if not part.dead:
            part.stop()  # the docker command hands it on; killed, it would leave its container


@pytest.fixture(scope="module")
def cloud(run: Run, docker_engine: APIClient, keystone: Any, rabbitmq: Any) -> Iterator[Cloud]:
    run.once("zun-db-manage")
    found = Cloud(run.parts, keystone, rabbitmq)
    found.apis.append(run.api())
    # Files that are given to containers: the engine reads them at the same path.
    agent = run.parts.folder / "agent"
    agent.mkdir()
    for name in PROCESSES:
        if name == "zun-compute":
            shared = (*HOST, "--volume", f"{agent}:{agent}")
            found.compute = run.part(name, *shared, DEFAULT={"state_path": agent})
        else:
            run.part(name)
    together(*run.parts.made)
    yield found
    sweep(docker_engine, found)


def test_there_is_an_image_for_each_process_and_none_is_root_without_need(
    built: None, docker_engine: APIClient
) -> None:
    for name in module("images").targets():
        config = docker_engine.inspect_image(f"{PREFIX}{name}")["Config"]
        assert config["User"] == ("root" if name == "zun-compute" else "zun"), name


def test_they_know_the_databases_and_the_version_of_the_tree(run: Run) -> None:
    entrypoint = ("--entrypoint", "python")
    asked = "import json, MySQLdb, psycopg, psycopg_c; from importlib.metadata import version; print(json.dumps(version('zun-successor')))"  # noqa: E501
    pyproject = (ROOT / "pyproject.toml").read_text()
    said = json.loads(run.once("zun-api", "-c", asked, options=entrypoint))
    assert f'\nversion = "{said}"\n' in pyproject


def test_a_cloud_of_images_runs_a_container(cloud: Cloud) -> None:
    secret = {"type": "bind", "source": "aGVsbG8=", "destination": "/etc/greeting"}
    uuid = cloud.create(mounts=[secret])
    cloud.until(uuid, "Running")
    path = f"/v1/containers/{uuid}"
    query = "command=cat%20/etc/greeting&run=true&interactive=false"
    assert cloud.ask("POST", f"{path}/execute?{query}")[1]["output"] == "hello"
    assert cloud.ask("GET", f"{path}/stats")[1]["CONTAINER"]
    assert "PID" in str(cloud.ask("GET", f"{path}/top")[1])
    status, packed = cloud.ask("GET", f"{path}/get_archive?path=/etc/greeting")
    assert status == 200, packed
    assert NAME in cloud.ask("GET", path)[1]["image"]
    cloud.delete(uuid)


def test_each_ends_in_order_when_it_is_told_to(cloud: Cloud, docker_engine: APIClient) -> None:
    sweep(docker_engine, cloud)  # while it can still be asked what is its own
    for part in cloud.parts.made:
        assert part.stop() == 0, part.said
