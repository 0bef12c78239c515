"""The drivers under test: each contract is held against the fake and against the real engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.support.images import ensure_busybox
from tests.support.lab import Lab
from tests.support.registry import Registry

from zun.drivers import errors
from zun.drivers.docker import DockerNetworks, DockerRuntime, Engine
from zun.drivers.fake import FakeImages, FakeNetworks, FakeRuntime
from zun.model import names

BOTH = ["fake", pytest.param("docker", marks=pytest.mark.engine)]
HOW = (
    "no container engine answers on /var/run/docker.sock. Install Debian's docker.io (apt-get install docker.io"
    " busybox-static docker-registry) and start it: dockerd >/tmp/dockerd.log 2>&1 &"
)


@pytest.fixture(scope="session")
def shared_engine() -> Iterator[Engine]:
    """The engine of this machine. A test that needs it fails without it: it is never skipped."""
    engine = Engine()
    try:
        with engine.call("reach the container engine", most=10.0) as client:
            client.ping()
    except errors.DriverError:
        pytest.fail(HOW, pytrace=False)
    yield engine
    engine.close()


@pytest.fixture(scope="session")
def busybox(shared_engine: Engine) -> str:
    """The id of the test image."""
    with shared_engine.call("make the test image") as client:
        return ensure_busybox(client)


@pytest.fixture
def engine(shared_engine: Engine) -> Iterator[Engine]:
    """A connection of the test's own, so that what it forgets or closes is nobody else's."""
    engine = Engine()
    yield engine
    engine.close()


@pytest.fixture
def docker_lab(engine: Engine, busybox: str) -> Iterator[Lab]:
    host = f"test-{names.new_uuid()}"
    lab = Lab(DockerRuntime(engine), DockerNetworks(engine, owner=host), busybox, engine, host)
    yield lab
    lab.close()


@pytest.fixture
def fake_lab() -> Iterator[Lab]:
    networks = FakeNetworks()
    lab = Lab(
        FakeRuntime(networks=networks, images=FakeImages()),
        networks,
        "sha256:fake",
        None,
        "test-fake",
    )
    yield lab
    lab.close()


@pytest.fixture(params=BOTH)
def lab(request: pytest.FixtureRequest) -> Lab:
    """The one and the other."""
    found: Lab = request.getfixturevalue(f"{request.param}_lab")
    return found


@pytest.fixture(scope="session")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry open to all."""
    registry = Registry(Path(tmp_path_factory.mktemp("registry")))
    yield registry
    registry.close()


@pytest.fixture(scope="session")
def private_registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    """A registry that wants a password: amy's is "secret-of-amy", ben's "secret-of-ben"."""
    users = {"amy": "secret-of-amy", "ben": "secret-of-ben"}
    registry = Registry(Path(tmp_path_factory.mktemp("private")), users)
    yield registry
    registry.close()
