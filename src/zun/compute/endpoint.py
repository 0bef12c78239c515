"""The agent's endpoint of byte streams: one listener, one event loop in a thread of its own, sessions by ticket.

See `zun.bus.channel` for what goes over the wire.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
import socket
import ssl
import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

from zun.bus.channel import (
    END,
    FRAME_LIMIT,
    LINE_LIMIT,
    OPEN_SECONDS,
    VERSION,
    Broken,
    End,
    Wire,
    end_frame,
)
from zun.bus.listening import BACKLOG, bound
from zun.compute.opening import Opened, Opener, status_of
from zun.compute.relay import Left, Relay
from zun.drivers import errors
from zun.drivers.deadline import Deadline
from zun.model.session import StreamRequest, Why, agent_path, digest_of
from zun.store import tickets
from zun.store.database import Database
from zun.store.errors import DatabaseError
from zun.work.clock import Clock
from zun.work.context import Means

LOG = logging.getLogger(__name__)

#: A line for each session's begin and end.
SESSIONS = logging.getLogger("zun.sessions")

_OPEN_TIME = 20.0  # seconds for the engine to open a stream
_LAST_WORD = 5.0  # seconds a client has to take the last frame
_TICKET_LIMIT = 128
_WAITING = 1024  # connections that have not shown a ticket yet, at most


@dataclass(frozen=True, slots=True, kw_only=True)
class EndpointSettings:
    """The operator's choices. `tls` verifies clients; `advertised`: the host name others are told, None = `host`.

    `round`: seconds between two looks at the sessions' limits. `threads`: for what blocks, the engine's part.
    """

    host: str = "127.0.0.1"
    port: int = 0
    advertised: str | None = None
    tls: ssl.SSLContext | None = None
    max_sessions: int = 2048
    threads: int = 16
    round: float = 1.0


class EndpointMetrics:
    """What an operator's Prometheus may know of sessions."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.open = Gauge(
            "zun_agent_streams_open", "Byte streams under way, by kind.", ["kind"], registry=registry
        )  # fmt: skip
        self.ended = Counter(
            "zun_agent_streams_ended", "Byte streams that ended, by kind and why; `left`: the client went away.",
            ["kind", "why"], registry=registry,
        )  # fmt: skip
        self.refused = Counter(
            "zun_agent_streams_refused", "Byte streams that were not opened, by status.", ["status"],
            registry=registry,
        )  # fmt: skip
        self.bytes = Counter(
            "zun_agent_stream_bytes", "Bytes of byte streams, by kind and direction (in: to the container).",
            ["kind", "direction"], registry=registry,
        )  # fmt: skip
        self.seconds = Histogram(
            "zun_agent_stream_seconds", "How long byte streams took, by kind.", ["kind"], registry=registry,
            buckets=(0.1, 1, 10, 60, 600, 3600, 14400, 86400),
        )  # fmt: skip


class Declining(Exception):
    """Why a stream is not opened, for the client."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status, self.reason = status, reason


class Endpoint:
    """`start`, `stop`. `address` is what is told to others, once it has started. `now`: monotonic seconds."""

    def __init__(
        self,
        means: Means,
        db: Database,
        clock: Clock,
        settings: EndpointSettings,
        registry: CollectorRegistry,
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._db, self._clock, self._settings, self._now = db, clock, settings, now
        self._path = agent_path(means.host_id)
        self.opener = Opener(means, db, clock)
        #: Told the uuid of a container that was not as the asker believed; must return at once.
        self.doubt: Callable[[str], None] = lambda uuid: None
        self._metrics = EndpointMetrics(registry)
        self.address = ""
        self._socket: socket.socket | None = None
        self._executor = ThreadPoolExecutor(
            settings.threads, thread_name_prefix="agent-stream-work"
        )
        self._thread = threading.Thread(target=self._run, name="agent-streams", daemon=True)
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ending: asyncio.Event | None = None
        self._relays: set[Relay] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._waiting = 0

    # -- its life ------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Begins to serve. Raises OSError: the address can't be had."""
        host, port = self._settings.host, self._settings.port
        try:
            self._socket = bound(host, port)
        except OSError as exc:
            raise OSError(
                f"byte streams can't be served on {host}:{port} ({exc.strerror}); "
                "set [agent_streams] host_ip and port"
            ) from exc
        port = self._socket.getsockname()[1]
        host = self._settings.advertised or host
        self.address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        self._thread.start()
        self._ready.wait(10)

    @property
    def alive(self) -> bool:
        """Whether it serves."""
        return self._thread.is_alive()

    @property
    def sessions(self) -> int:
        """How many streams are open."""
        return len(self._relays)

    def stop(self, seconds: float) -> None:
        """Ends within `seconds`: every session is told, commands bound to their clients are killed."""
        if self._loop is not None and self._ending is not None and self._thread.is_alive():
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._ending.set)
            self._thread.join(seconds)
        if self._socket is not None:
            self._socket.close()
        self._executor.shutdown(wait=False, cancel_futures=True)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception:
            LOG.exception("byte streams are served no more")
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._loop, self._ending = asyncio.get_running_loop(), asyncio.Event()
        tls = self._settings.tls
        server = await asyncio.start_server(
            self._connected, sock=self._socket, ssl=tls, limit=FRAME_LIMIT, backlog=BACKLOG,
            ssl_handshake_timeout=OPEN_SECONDS if tls else None,
        )  # fmt: skip
        watching = asyncio.create_task(self._watch())
        self._ready.set()
        await self._ending.wait()
        server.close()
        for relay in list(self._relays):
            relay.cut(End(why=Why.SHUTDOWN, reason="The service stops."))
        if self._tasks:
            _, late = await asyncio.wait(self._tasks, timeout=_LAST_WORD)
            for task in late:
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(self._settings.round)
            for relay in list(self._relays):
                relay.tick()

    # -- one connection ------------------------------------------------------------------------------------------

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        wire = Wire(reader, writer)
        try:
            await self._converse(wire)
        except Broken as exc:
            LOG.debug("a connection to the byte streams broke: %s", exc)
        except Exception:
            LOG.exception("unforeseen error in a byte stream")
        finally:
            self._tasks.discard(task)
            await wire.drop()

    async def _converse(self, wire: Wire) -> None:
        try:
            project, request, proof = await self._admit(wire)
            opened = await self._open(request)
        except Declining as exc:
            self._metrics.refused.labels(str(exc.status)).inc()
            SESSIONS.info("refused status=%d reason=%s", exc.status, exc.reason)
            async with asyncio.timeout(_LAST_WORD):
                await wire.send_line({"ok": False, "status": exc.status, "reason": exc.reason})
            return
        except TimeoutError:
            raise Broken("no ticket came in time") from None
        try:
            relay = Relay(wire, request, opened, self.opener, self._executor, self._now)
            self._relays.add(relay)
        except BaseException:
            opened.stream.sock.close()
            raise
        try:
            await self._session(wire, relay, project, request, {**opened.facts, "proof": proof})
        finally:
            self._relays.discard(relay)

    async def _admit(self, wire: Wire) -> tuple[str, StreamRequest, str]:
        """Project, wish and proof of the ticket that is shown. Raises Declining, Broken, TimeoutError."""
        if self._waiting >= _WAITING:
            raise Declining(503, "Too many connections wait for a stream; come again.")
        self._waiting += 1
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                line = await wire.receive_line()
        finally:
            self._waiting -= 1
        ticket = line.get("ticket")
        if line.get("v") != VERSION or not isinstance(ticket, str):
            raise Declining(400, f"The opening line must have v = {VERSION} and a ticket.")
        found = None
        if 0 < len(ticket) <= _TICKET_LIMIT:
            try:
                found = await self._in_thread(self._take, ticket)
            except DatabaseError as exc:
                LOG.warning("a ticket could not be looked at: %s", exc)
                raise Declining(503, "The host's agent does not reach its database.") from exc
        if found is None:
            raise Declining(403, "The ticket is unknown, used, expired, or for another host.")
        project, content = found
        try:
            return project, StreamRequest.of(content), str(content["proof"])
        except (KeyError, ValueError) as exc:
            raise Declining(400, "The ticket is of another version of the service.") from exc

    def _take(self, ticket: str) -> tuple[str, Mapping[str, Any]] | None:
        with self._db.write(durable=False) as conn:
            return tickets.take(conn, digest_of(ticket), self._path, self._clock())

    async def _open(self, request: StreamRequest) -> Opened:
        if len(self._relays) >= self._settings.max_sessions:
            raise Declining(503, f"The host has {self._settings.max_sessions} streams, its most.")
        assert self._loop is not None
        opening = self._loop.run_in_executor(
            self._executor, self.opener.open, request, Deadline(_OPEN_TIME)
        )
        try:
            return await asyncio.shield(opening)
        except asyncio.CancelledError:
            opening.add_done_callback(_close_opened)
            raise
        except errors.DriverError as exc:
            if isinstance(exc, (errors.NotFound, errors.Conflict)):
                self.doubt(request.container_uuid)
            raise Declining(status_of(exc), exc.public) from exc
        except DatabaseError as exc:
            LOG.warning("a stream could not be opened: %s", exc)
            raise Declining(503, "The host's agent does not reach its database.") from exc
        except (KeyError, TypeError) as exc:
            raise Declining(400, "The ticket is of another version of the service.") from exc

    async def _session(
        self,
        wire: Wire,
        relay: Relay,
        project: str,
        request: StreamRequest,
        facts: Mapping[str, Any],
    ) -> None:
        kind, ident, began = str(request.kind), secrets.token_hex(4), self._now()
        SESSIONS.info(
            "begin session=%s kind=%s container=%s project=%s", ident, kind, request.container_uuid, project
        )  # fmt: skip
        why, code = "defect", None
        with self._metrics.open.labels(kind).track_inprogress():
            try:
                end = await self._relayed(wire, relay, facts)
                why, code = str(end.why), end.exit_code
                await self._last_word(wire, end)
            except Left:
                why = "left"
            finally:
                seconds = self._now() - began
                self._metrics.ended.labels(kind, why).inc()
                self._metrics.seconds.labels(kind).observe(seconds)
                self._metrics.bytes.labels(kind, "in").inc(wire.received)
                self._metrics.bytes.labels(kind, "out").inc(wire.sent)
                SESSIONS.info(
                    "end session=%s kind=%s container=%s project=%s why=%s exit_code=%s seconds=%.3f in=%d out=%d",
                    ident, kind, request.container_uuid, project, why, code, seconds, wire.received, wire.sent,
                )  # fmt: skip

    async def _relayed(self, wire: Wire, relay: Relay, facts: Mapping[str, Any]) -> End:
        running = asyncio.create_task(relay.run(facts))
        try:
            return await asyncio.shield(running)
        except asyncio.CancelledError:
            running.cancel()
            await asyncio.gather(running, return_exceptions=True)
            raise

    async def _last_word(self, wire: Wire, end: End) -> None:
        """Tells how it ended, and stays until the client has heard it: a connection that is closed with
        something unread in it takes away what was sent before."""
        with contextlib.suppress(TimeoutError, Broken):
            async with asyncio.timeout(_LAST_WORD):
                await wire.send(END, end_frame(end))
                wire.finish()
                while await wire.receive() is not None:
                    pass

    async def _in_thread(self, call: Callable[..., Any], *args: Any) -> Any:
        assert self._loop is not None
        return await self._loop.run_in_executor(self._executor, call, *args)


def _close_opened(opening: asyncio.Future[Opened]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().stream.sock.close()


assert FRAME_LIMIT > LINE_LIMIT  # an opening line always fits the reader's buffer
