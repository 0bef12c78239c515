"""The engine of this machine, and services to kill on it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
import requests
from docker import APIClient
from docker.errors import DockerException

pytest.register_assert_rewrite("tests.crash.movers", "tests.crash.victims")

from tests.crash.conductor import settings  # noqa: E402 - rewritten first
from tests.crash.victims import Victim  # noqa: E402
from tests.support.house import PATIENCE  # noqa: E402
from tests.support.images import ensure_busybox  # noqa: E402
from tests.support.neighbourhood import Neighbourhood, neighbourhood  # noqa: E402
from tests.support.registry import Registry  # noqa: E402

HOW = (
    "no container engine answers on /var/run/docker.sock. Install Debian's docker.io (apt-get install docker.io"
    " busybox-static) and start it: dockerd >/tmp/dockerd.log 2>&1 &"
)


@pytest.fixture(scope="session")
def client() -> Iterator[APIClient]:
    """The engine, with the test image."""
    try:
        client = APIClient("unix:///var/run/docker.sock", version="auto", timeout=60)
        client.ping()
    except (DockerException, requests.RequestException, OSError):
        pytest.fail(HOW, pytrace=False)
    ensure_busybox(client)
    yield client
    client.close()


@pytest.fixture(scope="session")
def registries(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Registry]]:
    """One that is open to all, and a private one."""
    folder = tmp_path_factory.mktemp("registries")
    made = {
        "registry": Registry(folder / "open"),
        "private": Registry(folder / "private", {"somebody": "else"}),
    }
    yield made
    for registry in made.values():
        registry.close()


@pytest.fixture(scope="module")
def shared_victim(
    client: APIClient,
    registries: dict[str, Registry],
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Victim]:
    """A service that a whole module kills again and again, with one state directory."""
    victim = Victim(tmp_path_factory.mktemp("victim"), client)
    victim.registries = {name: registry.domain for name, registry in registries.items()}
    try:
        yield victim
    finally:
        victim.destroy()


@pytest.fixture
def victim(shared_victim: Victim) -> Victim:
    """The module's service, alive and unarmed."""
    shared_victim.disarm()
    if not shared_victim.dead and not shared_victim.healthy:
        shared_victim.kill()
    if shared_victim.dead:
        shared_victim.start()
    return shared_victim


@pytest.fixture
def own_victim(client: APIClient, tmp_path: Path) -> Iterator[Callable[..., Victim]]:
    """Makes services for one test alone; not started."""
    made: list[Victim] = []

    def make(name: str = "own", **options: dict[str, object]) -> Victim:
        folder = tmp_path / name
        folder.mkdir()
        made.append(Victim(folder, client, **options))
        return made[-1]

    try:
        yield make
    finally:
        for victim in made:
            victim.destroy()


@pytest.fixture
def street(tmp_path: Path) -> Iterator[Neighbourhood]:
    """Two hosts whose agents live in this process, on fakes; conductors are others' business, and so is who is down."""
    quick = settings()
    agent = replace(quick.agent, lease=PATIENCE, fence_after=20.0)
    with neighbourhood(tmp_path, 2, replace(quick, agent=agent)) as street:
        yield street
