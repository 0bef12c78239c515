"""The proxy beside an agent that is a stand-in: it speaks the real frames and takes real tickets, and has no engine.

What it does in a session is a coroutine that a test gives it. The real agent is beside it in tests/scenario.
"""

from __future__ import annotations

import asyncio
import json
import resource
import socket
import sys
import threading
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from pathlib import Path
from subprocess import Popen
from typing import Any
from urllib.parse import urlencode

from prometheus_client import CollectorRegistry
from tests.support import rows
from tests.support.house import PATIENCE, eventually
from tests.support.service import free_port
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from zun.bus.channel import CLOSE, DATA, END, RESIZE, Broken, End, Wire, end_frame
from zun.model.lifecycle import Status
from zun.model.session import Session, StreamKind, Why, agent_path, digest_of
from zun.store import containers, hosts, sessions, tickets
from zun.store.database import Database
from zun.work.clock import utcnow
from zun.wsproxy.server import ProxyServer
from zun.wsproxy.settings import ProxySettings

EXEC = "e" * 64
Behave = Callable[[Wire], Awaitable[None]]


async def echo(wire: Wire) -> None:
    """Sends back what comes, and says what size it was given; ends on ^D, as a shell does."""
    while (frame := await wire.receive()) is not None:
        if frame.kind == RESIZE:
            await wire.send(DATA, b"size " + frame.payload)
        elif frame.kind == CLOSE or frame.payload == b"\x04":
            await wire.send(END, end_frame(End(why=Why.EXITED, exit_code=0)))
            return
        else:
            await wire.send(DATA, frame.payload)


def says(*pieces: bytes, end: End | None = End(why=Why.EXITED, exit_code=0)) -> Behave:  # noqa: B008
    """Sends the pieces, each in a frame of its own, and ends; None = by going away without a word."""

    async def behave(wire: Wire) -> None:
        for piece in pieces:
            await wire.send(DATA, piece)
        if end is not None:
            await wire.send(END, end_frame(end))

    return behave


class FakeAgent:
    """Listens on loopback, in a thread of its own. `behave` is what the next sessions do; `requests` what was asked."""

    def __init__(self, db: Database, host_uuid: str) -> None:
        self._db = db
        self._path = agent_path(host_uuid)
        self.behave: Behave = echo
        self.refuses: tuple[int, str] | None = None
        self.lies = False  # about the proof
        self.requests: list[dict[str, Any]] = []
        self.open = 0
        self._port = 0
        self._ready = threading.Event()
        self._end = asyncio.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=lambda: asyncio.run(self._run()), daemon=True)
        self._thread.start()
        assert self._ready.wait(PATIENCE)

    @property
    def address(self) -> str:
        """Where it listens."""
        return f"127.0.0.1:{self._port}"

    def close(self) -> None:
        """Ends it."""
        assert self._loop is not None
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join(PATIENCE)

    async def _run(self) -> None:
        self._loop = asyncio.get_running_loop()
        server = await asyncio.start_server(self._serve, "127.0.0.1", 0, backlog=1024)
        self._port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._end.wait()
        server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        wire = Wire(reader, writer)
        self.open += 1
        try:
            given = (await wire.receive_line())["ticket"]
            content = self._take(given)
            if content is None or self.refuses:
                status, reason = self.refuses or (403, "no such ticket")
                await wire.send_line({"ok": False, "status": status, "reason": reason})
                return
            self.requests.append(content)
            proof = "somebody else" if self.lies else content["proof"]
            await wire.send_line({"ok": True, "proof": proof, "tty": True})
            await self.behave(wire)
            wire.finish()
            while await wire.receive() is not None:
                pass
        except Broken:
            pass
        finally:
            await wire.drop()
            self.open -= 1

    def _take(self, ticket: str) -> dict[str, Any] | None:
        with self._db.write(durable=False) as conn:
            found = tickets.take(conn, digest_of(ticket), self._path, rows.NOW)
        return dict(found[1]) if found else None


@dataclass
class Proxied:
    """A proxy, an agent, and a container that runs on its host. `server` is None where it is another process."""

    db: Database
    agent: FakeAgent
    port: int
    uuid: str
    issued: datetime
    server: ProxyServer | None = None
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)
    now: list[datetime] = field(default_factory=lambda: [rows.NOW])

    def session(self, **changes: Any) -> Session:
        """A right to attach."""
        one = Session(
            kind=StreamKind.ATTACH,
            container_uuid=self.uuid,
            exec_id=None,
            project_id="p",
            user_id="u",
            host="host-1",
            tty=True,
            issued_at=self.issued,
            expires_at=self.issued + timedelta(seconds=60),
        )
        return replace(one, **changes)

    def token(self, expires_in: int = 60, **changes: Any) -> str:
        """One newly issued, for an exec: those for attaches make each other void."""
        expires = self.issued + timedelta(seconds=expires_in)
        changes = {"kind": StreamKind.EXEC, "exec_id": EXEC, "expires_at": expires, **changes}
        with self.db.write(durable=False) as conn:
            return sessions.issue(conn, self.session(**changes))

    def query(self, token: str, **changes: str) -> str:
        """The query of its URL."""
        return urlencode({"token": token, "uuid": self.uuid, "exec_id": EXEC, **changes})

    def url(self, token: str | None = None, path: str = "/") -> str:
        """A URL that opens a session."""
        return f"ws://127.0.0.1:{self.port}{path}?{self.query(token or self.token())}"

    def connect(
        self,
        url: str | None = None,
        subprotocols: Sequence[str] = ("binary", "base64"),
        **kwargs: Any,
    ) -> ClientConnection:
        """A client of it."""
        offered = [Subprotocol(name) for name in subprotocols] or None
        kwargs = {
            "proxy": None,
            "ping_interval": None,
            "compression": None,
            "open_timeout": PATIENCE,
            **kwargs,
        }
        return connect(url or self.url(), subprotocols=offered, **kwargs)

    def stop_container(self) -> None:
        """It runs no more."""
        with self.db.write() as conn:
            containers.update(conn, self.uuid, rows.NOW, status=Status.STOPPED)

    def count(self, name: str, **labels: str) -> float:
        """A figure for Prometheus."""
        return self.registry.get_sample_value(name, labels) or 0.0

    def idle(self) -> None:
        """Waits until no session is left, here and at the agent."""
        eventually(lambda: not self.agent.open, "all sessions end")
        eventually(lambda: not self.server or not self.server._relays, "all are counted")
        eventually(lambda: not self.count("zun_sessions_waiting"), "the lobby is empty")


@contextmanager
def running_container(db: Database) -> Iterator[tuple[FakeAgent, str]]:
    """A host with an agent, and the uuid of a container that runs there."""
    host = rows.host("host-1")
    agent = FakeAgent(db, host.uuid)
    row = rows.container(status=Status.RUNNING, host="host-1")
    with db.write() as conn:
        hosts.register(conn, host, rows.NOW)
        hosts.set_stream_address(conn, "host-1", agent.address)
        containers.insert(conn, row)
    try:
        yield agent, row.uuid
    finally:
        agent.close()


@contextmanager
def proxied(
    db: Database, settings: ProxySettings | None = None, **kwargs: Any
) -> Iterator[Proxied]:
    """A proxy with an agent, on a migrated database, until the block ends."""
    registry, now = CollectorRegistry(), [rows.NOW]
    with running_container(db) as (agent, uuid):
        server = ProxyServer(
            db, settings or ProxySettings(), registry, lambda: now[0], host="127.0.0.1", port=0, **kwargs
        )  # fmt: skip
        server.start()
        try:
            yield Proxied(db, agent, server.port, uuid, rows.NOW, server, registry, now)
        finally:
            server.stop(PATIENCE)


@contextmanager
def proxy_process(
    db: Database, folder: Path, *, files: tuple[int, int] | None = None, **options: Any
) -> Iterator[tuple[Proxied, Popen[bytes]]]:
    """The same with `zun-wsproxy` in a process of its own; `options` of [websocket_proxy].

    files: how many it may have open, and how far it may raise that itself.
    """
    own = {"wsproxy_port": free_port(), **options}
    config = folder / "wsproxy.conf"
    lines = "".join(f"{name} = {value}\n" for name, value in own.items())
    config.write_text(
        f"[DEFAULT]\nhost = host-1\nstate_path = {folder}\n[metrics]\nport = 0\n"
        f"[database]\nconnection = {db.url}\n[websocket_proxy]\n{lines}"
    )
    command = [sys.executable, "-m", "zun.cmd.wsproxy", "--config-file", str(config)]
    if files is not None:
        command = ["prlimit", f"--nofile={files[0]}:{files[1]}", *command]
    log = folder / "wsproxy.log"
    with running_container(db) as (agent, uuid), log.open("wb") as out:
        process = Popen(command, stdout=out, stderr=out)
        try:
            made = Proxied(db, agent, int(own["wsproxy_port"]), uuid, utcnow())
            eventually(lambda: _listens(made.port) or process.poll() is not None, f"see {log}")
            assert process.poll() is None, log.read_text()
            yield made, process
        finally:
            if process.poll() is None:
                process.terminate()
            process.wait(PATIENCE)


@contextmanager
def many_files() -> Iterator[None]:
    """This process may have as many files open as the system lets it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    yield
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _listens(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), PATIENCE):
        return True
    return False


def read_until(ws: ClientConnection, wanted: bytes) -> bytes:
    """All that came, once it has `wanted` in it."""
    came = b""
    while wanted not in came:
        message = ws.recv(timeout=PATIENCE)
        assert message, "an empty message came"
        came += message if isinstance(message, bytes) else message.encode()
    return came


def told(message: Any) -> dict[str, Any]:
    """A message of the console's sub-protocol."""
    assert isinstance(message, str), message
    value: dict[str, Any] = json.loads(message)
    return value
