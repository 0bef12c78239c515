"""The proxy: an event loop in a thread of its own, on a port of its own."""

from __future__ import annotations

import asyncio
import logging
import socket
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from http import HTTPStatus
from typing import Any, cast

from prometheus_client import CollectorRegistry
from websockets.asyncio.server import ServerConnection, serve
from websockets.datastructures import Headers, MultipleValuesError
from websockets.http11 import Request, Response
from websockets.typing import Subprotocol

from zun.store.database import Database
from zun.store.errors import DatabaseError
from zun.wsproxy import dialects
from zun.wsproxy.admission import Admission, Admitted, Clock
from zun.wsproxy.lobby import HEAD_SECONDS, Lobby, Visitor
from zun.wsproxy.metrics import ProxyMetrics
from zun.wsproxy.pages import Pages, refused
from zun.wsproxy.refusal import Refusal, UpgradeNeeded
from zun.wsproxy.relay import Outcome, Relay
from zun.wsproxy.settings import ProxySettings
from zun.wsproxy.wish import Wish, check_origin, wish_of

LOG = logging.getLogger(__name__)
ACCESS = logging.getLogger("zun.access")

_BACKLOG = 1024
_QUERY_THREADS = 4
_UPGRADE_SECONDS = 60.0  # from the first byte to the upgrade, or to the end of a page
_CLOSE_SECONDS = 2.0  # for a client to close a connection that was answered
_MESSAGE = 1 << 18  # bytes of one from a client; more are refused by the length alone
_QUEUE = 1  # messages read ahead
_WRITE = 1 << 16  # bytes on their way to a client before we wait for it


class ProxyServer:
    """Bind, `start`, `stop`. `port` is the one it got.

    A request is judged before the upgrade: what can't be had is refused with a status and a reason. tls: for clients;
    agent_tls: for the connections to agents.
    """

    def __init__(
        self,
        db: Database,
        settings: ProxySettings,
        registry: CollectorRegistry,
        clock: Clock,
        *,
        host: str,
        port: int,
        tls: ssl.SSLContext | None = None,
        agent_tls: ssl.SSLContext | None = None,
    ) -> None:
        """Raises OSError: the address can't be had."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        # Listening from now on: who comes before the loop runs waits instead of being refused.
        self._socket = socket.create_server((host, port), family=family, backlog=_BACKLOG)
        self.port: int = self._socket.getsockname()[1]
        self._settings = settings
        self.tls = tls
        self._queries = ThreadPoolExecutor(_QUERY_THREADS, thread_name_prefix="wsproxy-query")
        self._metrics = ProxyMetrics(registry)
        self._lobby = Lobby(settings.max_waiting, self._metrics)
        self._admission = Admission(db, self._queries, clock, agent_tls)
        self._pages = Pages(settings.frame_ancestors)
        self._admitted: dict[ServerConnection, Admitted] = {}
        self._closing: set[asyncio.Future[None]] = set()
        self._relays: set[Relay] = set()
        self._places = settings.max_sessions
        self._thread = threading.Thread(target=self._run, name="wsproxy", daemon=True)
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ending: asyncio.Event | None = None

    # ---- life

    def start(self) -> None:
        """Begins to serve."""
        self._thread.start()
        self._ready.wait(10)

    @property
    def alive(self) -> bool:
        """Whether it serves."""
        return self._thread.is_alive()

    def soon(self, call: Callable[[], None]) -> None:
        """Has something short done in the loop's thread."""
        if self._loop is not None and self.alive:
            self._loop.call_soon_threadsafe(call)

    def stop(self, seconds: float) -> None:
        """Ends within `seconds`: clients are told, with close code 1001."""
        loop, ending = self._loop, self._ending
        if loop is not None and ending is not None and self.alive:
            loop.call_soon_threadsafe(ending.set)
            self._thread.join(seconds)
        self._socket.close()
        self._queries.shutdown(wait=False, cancel_futures=True)

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception:
            LOG.exception("interactive sessions are served no more")
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        self._ending = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        # The library logs requests, which have tokens in them, at the level of debugging: never let it.
        library = logging.getLogger(f"{__name__}.websockets")
        library.setLevel(logging.WARNING)
        tls: dict[str, Any] = {"ssl_handshake_timeout": HEAD_SECONDS} if self.tls else {}
        async with serve(
            self._session,
            sock=self._socket,
            ssl=self.tls,
            backlog=_BACKLOG,
            process_request=self._judge,
            select_subprotocol=_choose,
            create_connection=cast(type[ServerConnection], partial(Visitor, lobby=self._lobby)),
            compression=None,
            ping_interval=None,
            open_timeout=_UPGRADE_SECONDS,
            close_timeout=_CLOSE_SECONDS,
            max_size=_MESSAGE,
            max_queue=_QUEUE,
            write_limit=_WRITE,
            server_header=None,
            logger=library,
            **tls,
        ) as server:
            self._ready.set()
            await self._ending.wait()
            server.close(close_connections=False)
            self._lobby.clear()
            for relay in self._relays:
                relay.shut()

    # ---- before the upgrade

    async def _judge(self, connection: ServerConnection, request: Request) -> Response | None:
        """What a request is answered with instead of an upgrade; None where it may have one."""
        begun = time.monotonic()
        wish: Wish | None = None
        try:
            path, _, query = request.path.partition("?")
            if not _wants_upgrade(request):
                page = self._page(request, path)
                if page is not None:
                    return page
                await self._admission.look(wish_of(query))
                raise UpgradeNeeded
            trial = connection.protocol.accept(request)  # a handshake that is none costs no token
            if trial.status_code != HTTPStatus.SWITCHING_PROTOCOLS:
                raise Refusal(trial.status_code, "handshake", trial.body.decode().strip())
            self._check_origin(request.headers)
            wish = wish_of(query)
            await self._admit(cast(Visitor, connection), wish)
        except Refusal as exc:
            refusal = exc
        except DatabaseError:
            refusal = Refusal(503, "database", "The service can't reach its database; try again.")
        except Exception:
            LOG.exception("unforeseen error before a session")
            refusal = Refusal(
                500, "defect", "The service failed unexpectedly; the cause is in its log."
            )
        else:
            return None
        self._metrics.refused.labels(refusal.status, refusal.why).inc()
        # Never the query: it has the token.
        ACCESS.info(
            "session refused status=%d why=%r container=%s exec=%s from=%s seconds=%.3f",
            refusal.status, refusal.why, wish.container_uuid if wish else "-",
            (wish.exec_id if wish else None) or "-", _peer(connection), time.monotonic() - begun,
        )  # fmt: skip
        return refused(refusal.status, refusal.reason)

    def _page(self, request: Request, path: str) -> Response | None:
        if request.method != "GET":
            raise Refusal(405, "method", "Only GET is served here.")
        return self._pages.find(path, _header(request.headers, "Accept-Encoding") or "")

    def _check_origin(self, headers: Headers) -> None:
        check_origin(
            _header(headers, "Origin"),
            _header(headers, "Host"),
            _header(headers, "X-Forwarded-Proto"),
            secure=self._settings.secure,
            allowed=self._settings.allowed_origins,
        )

    async def _admit(self, visitor: Visitor, wish: Wish) -> None:
        if self._places <= 0:
            raise Refusal(
                503, "full", f"This proxy has {self._settings.max_sessions} sessions under way, as many as it "
                "may; try again when one has ended.",
            )  # fmt: skip
        self._places -= 1
        try:
            admitted = await self._admission.admit(wish)
        except BaseException:
            self._places += 1
            raise
        # Whatever becomes of the upgrade, place and stream are given back when the connection ends.
        self._admitted[visitor] = admitted
        visitor.when_lost(partial(self._leave, visitor))

    def _leave(self, visitor: Visitor) -> None:
        self._places += 1
        admitted = self._admitted.pop(visitor, None)
        if admitted is not None:  # there was no upgrade
            closing = asyncio.ensure_future(admitted.channel.close())
            self._closing.add(closing)
            closing.add_done_callback(self._closing.discard)

    # ---- the session

    async def _session(self, connection: ServerConnection) -> None:
        cast(Visitor, connection).admitted()
        admitted = self._admitted.pop(connection)
        session = admitted.session
        relay = Relay(connection, session, admitted.channel, stall=self._settings.stall)
        self._relays.add(relay)
        begun = time.monotonic()
        outcome = Outcome("defect", 1011, "")
        about = (
            f"kind={session.kind} container={session.container_uuid} exec={session.exec_id or '-'} "
            f"project={session.project_id} user={session.user_id} from={_peer(connection)}"
        )
        ACCESS.info("session begins %s protocol=%s", about, _shown(connection.subprotocol))
        try:
            with self._metrics.open.labels(session.kind).track_inprogress():
                outcome = await relay.run()
        except Exception:
            LOG.exception("unforeseen error in a session of kind %s", session.kind)
            raise
        finally:
            self._relays.discard(relay)
            seconds = time.monotonic() - begun
            self._metrics.ended.labels(session.kind, outcome.why).inc()
            self._metrics.seconds.observe(seconds)
            self._metrics.bytes.labels("in").inc(relay.received)
            self._metrics.bytes.labels("out").inc(relay.sent)
            ACCESS.info(
                "session ended %s why=%s code=%d bytes_in=%d bytes_out=%d seconds=%.3f",
                about, outcome.why, outcome.code, relay.received, relay.sent, seconds,
            )  # fmt: skip


def _choose(_: ServerConnection, offered: Sequence[Subprotocol]) -> Subprotocol | None:
    return dialects.chosen(offered)


def _wants_upgrade(request: Request) -> bool:
    """Whether a websocket is asked for; the library judges the rest of the handshake, all that costs no token first."""
    return "websocket" in (_header(request.headers, "Upgrade") or "").lower()


def _header(headers: Headers, name: str) -> str | None:
    """A header that may come once. Raises Refusal where it comes twice."""
    try:
        return headers.get(name)
    except MultipleValuesError:
        raise Refusal(400, "malformed", f"{name}: is repeated.") from None


def _peer(connection: ServerConnection) -> str:
    """Who it is, and for whom a proxy before us says to ask: anybody may say that."""
    address = connection.remote_address
    peer = f"{address[0]}:{address[1]}" if isinstance(address, tuple) else "-"
    request = connection.request
    claimed = ",".join(request.headers.get_all("X-Forwarded-For")) if request else ""
    return f"{peer} for={_shown(claimed)}" if claimed else peer


def _shown(subprotocol: str | None) -> str:
    return repr(subprotocol)[1:-1][:64] if subprotocol else "-"
