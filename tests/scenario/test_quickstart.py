"""./quickstart for real: a new environment, a service of its own, the official client, the engine's own view."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import docker
import pytest
from ruamel.yaml import YAML

ROOT = Path(__file__).resolve().parents[2]
PROJECT_LABEL = "org.openstack.zun.project"
OTHER_CLOUD = "clouds:\n  other: # not ours\n    auth_type: password\n"
INSTALL_SECONDS = 600
AGAIN_SECONDS = 120


class Bench:
    """One private quickstart: state directory, port, clouds.yaml and environment of its own."""

    def __init__(self, tmp_path: Path) -> None:
        self.state = tmp_path / "state"
        self.venv = tmp_path / "venv"
        self.clouds = tmp_path / "clouds.yaml"
        self.clouds.write_text(OTHER_CLOUD)
        self.port = free_port()
        # Not the variables of some other cloud or service.
        self.env = {key: value for key, value in os.environ.items() if not key.startswith("OS_")}

    def run(self, *words: str, seconds: float = AGAIN_SECONDS) -> subprocess.CompletedProcess[str]:
        where = ["--state-dir", str(self.state), "--venv", str(self.venv)]
        return self.call([str(ROOT / "quickstart"), *words, *where], seconds=seconds)

    def start(self) -> str:
        target = ["--port", str(self.port), "--clouds-yaml", str(self.clouds)]
        ended = self.run(*target, seconds=INSTALL_SECONDS)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return ended.stdout

    def client(self, *words: str) -> Any:
        """What the official client answers, as JSON."""
        env = {"OS_CLOUD": "zun", "OS_CLIENT_CONFIG_FILE": str(self.clouds)}
        command = [str(self.venv / "bin/openstack"), *words, "-f", "json"]
        ended = self.call(command, env=env)
        assert ended.returncode == 0, ended.stdout + ended.stderr
        return json.loads(ended.stdout)

    def call(
        self,
        command: list[str],
        *,
        env: dict[str, str] | None = None,
        seconds: float = AGAIN_SECONDS,
    ) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            command,
            env={**self.env, **(env or {})},
            capture_output=True,
            text=True,
            stdin=subprocess.DEVNULL,
            timeout=seconds,
        )

    def pid(self) -> int:
        return int((self.state / "zun-standalone.pid").read_text().split()[0])

    def project(self) -> str:
        identities = YAML(typ="safe").load((self.state / "identities.yaml").read_text())
        return str(identities["admin"]["project_id"])


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def bench(tmp_path: Path) -> Iterator[Bench]:
    made = Bench(tmp_path)
    yield made
    if made.state.exists():
        made.run("uninstall")


@pytest.fixture
def engine() -> Iterator[docker.APIClient]:
    client = docker.APIClient(base_url="unix:///var/run/docker.sock", version="auto")
    yield client
    client.close()


@pytest.mark.engine
def test_from_nothing_to_a_container_and_back(bench: Bench, engine: docker.APIClient) -> None:
    said = bench.start()
    assert "is Running" in said
    assert "Hello from" in said
    first = only(bench.client("appcontainer", "list"))
    assert first["status"] == "Running"
    seen = engine.inspect_container(f"zun-{first['uuid']}")
    assert seen["State"]["Running"]
    assert seen["Config"]["Labels"][PROJECT_LABEL] == bench.project()
    addresses = [network["IPAddress"] for network in seen["NetworkSettings"]["Networks"].values()]
    assert addresses and all(address in said for address in addresses)
    pid = bench.pid()

    since = time.monotonic()
    again = bench.start()
    assert time.monotonic() - since < AGAIN_SECONDS
    for part in ("already up to date", "already in", "already running at", "already there"):
        assert part in again
    assert bench.pid() == pid
    second = wait_for_only(bench, not_uuid=first["uuid"])
    assert second["status"] == "Running"

    status = bench.run("status")
    assert status.returncode == 0, status.stdout
    assert "database ok" in status.stdout

    stopped = bench.run("stop")
    assert stopped.returncode == 0, stopped.stderr
    assert "stopped" in stopped.stdout
    assert bench.run("status").returncode == 3
    assert engine.inspect_container(f"zun-{second['uuid']}")["State"]["Running"]

    project = bench.project()
    removed = bench.run("uninstall")
    assert removed.returncode == 0, removed.stderr
    label = {"label": f"{PROJECT_LABEL}={project}"}
    assert engine.containers(all=True, filters=label) == []
    assert engine.networks(filters=label) == []
    assert not [net for net in engine.networks() if net["Labels"].get(PROJECT_LABEL) == project]
    assert not bench.state.exists()
    assert not bench.venv.exists()
    assert bench.clouds.read_text() == OTHER_CLOUD
    assert bench.run("uninstall").returncode == 0


def only(rows: list[dict[str, Any]]) -> dict[str, Any]:
    assert len(rows) == 1, rows
    return rows[0]


def wait_for_only(bench: Bench, *, not_uuid: str) -> dict[str, Any]:
    """The one container, once the one with `not_uuid` is deleted."""
    until = time.monotonic() + 60
    while True:
        rows: list[dict[str, Any]] = bench.client("appcontainer", "list")
        if all(row["uuid"] != not_uuid for row in rows):
            return only(rows)
        assert time.monotonic() < until, rows
        time.sleep(0.5)


def test_help_teaches(bench: Bench) -> None:
    said = bench.run("--help").stdout
    for word in ("status", "stop", "uninstall", "busybox", "root", "--port"):
        assert word in said


def test_status_before_anything(bench: Bench) -> None:
    ended = bench.run("status")
    assert ended.returncode == 3
    assert "not installed" in ended.stdout


def test_defect_09_an_engine_on_tcp_is_refused(bench: Bench) -> None:
    bench.env["DOCKER_HOST"] = "tcp://127.0.0.1:2375"
    ended = bench.run()
    assert ended.returncode == 1
    assert "not a unix socket" in ended.stderr
    assert not bench.state.exists()


def test_a_damaged_memory_is_named(bench: Bench) -> None:
    bench.state.mkdir()
    (bench.state / "quickstart.json").write_text("{")
    ended = bench.run("status")
    assert ended.returncode == 1
    assert "quickstart.json" in ended.stderr


def test_uninstall_leaves_a_directory_that_is_not_ours(bench: Bench) -> None:
    bench.state.mkdir()
    (bench.state / "thesis.txt").write_text("years of work")
    assert bench.run("uninstall").returncode == 0
    assert (bench.state / "thesis.txt").exists()
