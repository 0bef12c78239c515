"""An agent is killed while files go through it: who asked is told at once, and asking again makes it whole."""

from __future__ import annotations

import io
import random
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from subprocess import PIPE, Popen

import pytest
from docker import APIClient
from tests.support.agentstreams import agent
from tests.support.images import ensure_busybox
from tests.support.lab import FOREVER
from tests.support.rawstreams import files_of, tar_of
from tests.support.rows import container, host

from zun.bus.local import LocalBus
from zun.drivers.deadline import Deadline
from zun.drivers.docker import DockerRuntime, Engine
from zun.drivers.runtime import Plan
from zun.model.container import Container
from zun.model.names import new_uuid
from zun.service.agents import AgentStreams
from zun.service.archives import Archives
from zun.service.errors import Unavailable
from zun.service.questions import Questions
from zun.service.settings import ServiceSettings
from zun.store import hosts, migrate
from zun.store.database import Database
from zun.work.clock import utcnow

pytestmark = pytest.mark.engine

HOST = "host-1"
URL = "unix:///var/run/docker.sock"
CONTENT = random.Random(2).randbytes(16_000_000)


def serve(path: str, ident: str) -> None:
    """What the other process does: an agent of the host, until its stdin ends."""
    db, engine = Database(f"sqlite:///{path}"), Engine(URL)
    with agent(db, DockerRuntime(engine), host_id=ident) as lab:
        with db.write() as conn:
            hosts.set_stream_address(conn, HOST, lab.endpoint.address)
        print("serves", flush=True)
        sys.stdin.read()


@contextmanager
def serving(path: Path, ident: str) -> Iterator[Popen[str]]:
    """An agent in a process of its own."""
    words = [sys.executable, "-c", f"from {__name__} import serve; serve({str(path)!r}, {ident!r})"]
    with Popen(words, stdin=PIPE, stdout=PIPE, text=True, cwd=Path(__file__).parents[2]) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == "serves\n"
            yield process
        finally:
            process.kill()


@pytest.fixture
def made(client: APIClient) -> Iterator[Container]:
    """A running container."""
    engine = Engine(URL)
    runtime, uuid = DockerRuntime(engine), new_uuid()
    plan = Plan(
        uuid=uuid, project_id="p", host=new_uuid(), generation="g", image=ensure_busybox(client), command=FOREVER,
    )  # fmt: skip
    runtime.create(plan, Deadline(60))
    runtime.start(uuid, Deadline(60))
    yield container(uuid=uuid, host=HOST, container_id="c" * 64)
    runtime.remove(uuid, Deadline(60), force=True)
    engine.close()


class Source(io.BytesIO):
    """An archive after a part of which something happens."""

    def __init__(self, data: bytes, happens: Callable[[], object]) -> None:
        super().__init__(data)
        self._happens = happens

    def read(self, size: int | None = -1, /) -> bytes:
        if self.tell() > len(CONTENT) // 2:
            self._happens()
        return super().read(size)


def test_an_agent_that_is_killed_in_the_middle(tmp_path: Path, made: Container) -> None:
    path, ident = tmp_path / "zun.sqlite", new_uuid()
    db = Database(f"sqlite:///{path}")
    migrate.upgrade(db)
    with db.write() as conn:
        hosts.register(conn, host(HOST, uuid=ident), utcnow())
    settings = ServiceSettings()
    mine = Archives(AgentStreams(db, utcnow), Questions(db, LocalBus(), settings), settings)
    archive, got = tar_of("f", CONTENT), bytearray()
    with serving(path, ident) as process:
        with pytest.raises(Unavailable, match="Put it again"):
            mine.put(made, "/tmp", Source(archive, process.kill))
        assert process.wait(60) != 0
        with pytest.raises(Unavailable):  # nobody is there at all
            mine.put(made, "/tmp", io.BytesIO(archive))
    with serving(path, ident) as process:
        mine.put(made, "/tmp", io.BytesIO(archive))
        mine.get(made, "/tmp/f", got.extend)
        assert files_of(bytes(got)) == {"f": CONTENT}
        with pytest.raises(Unavailable, match="only in part"):
            mine.get(made, "/tmp/f", lambda piece: process.kill())
    db.close()
