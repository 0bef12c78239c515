"""Connections that are not yet sessions: few, short, and small, whoever makes them."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Any, cast

from websockets.asyncio.server import Server, ServerConnection
from websockets.protocol import State
from websockets.server import ServerProtocol

from zun.wsproxy.metrics import ProxyMetrics

HEAD_SECONDS = 10.0  # for a request to come whole
HEAD_BYTES = 16384  # of a request

#: Bytes that may wait to be sent: output waits elsewhere, so more are answers to pings of who reads nothing.
_UNSENT = 1 << 20

#: A peer whose machine is gone says nothing. Found out within two minutes if nothing is on its way to it, else in five.
_LIFE = (
    ("TCP_KEEPIDLE", 60),
    ("TCP_KEEPINTVL", 15),
    ("TCP_KEEPCNT", 4),
    ("TCP_USER_TIMEOUT", 300_000),
)


class Lobby:
    """Holds `most` connections. When it is full, the one that has been silent for longest makes room for the next: an
    honest client asks in a moment, so it is never the one."""

    def __init__(self, most: int, metrics: ProxyMetrics) -> None:
        self._most = most
        self._metrics = metrics
        # In the order they came.
        self._silent: dict[Visitor, None] = {}
        self._asking: dict[Visitor, None] = {}

    def enter(self, visitor: Visitor) -> None:
        """One has connected."""
        if len(self._silent) + len(self._asking) >= self._most:
            out = next(iter(self._silent), visitor)
            self.leave(out)
            self.drop(out, "crowded")
            if out is visitor:
                return
        self._silent[visitor] = None
        self._count()

    def ask(self, visitor: Visitor) -> None:
        """Its request has come whole."""
        if visitor in self._silent:
            del self._silent[visitor]
            self._asking[visitor] = None

    def leave(self, visitor: Visitor) -> None:
        """It has become a session, or gone."""
        self._silent.pop(visitor, None)
        self._asking.pop(visitor, None)
        self._count()

    def clear(self) -> None:
        """All go."""
        for visitor in [*self._silent, *self._asking]:
            self.drop(visitor, "stopping")

    def _count(self) -> None:
        self._metrics.waiting.set(len(self._silent) + len(self._asking))

    def drop(self, visitor: Visitor, why: str) -> None:
        """Ends a connection without a word."""
        self._metrics.evicted.labels(why).inc()
        visitor.transport.abort()


class Visitor(ServerConnection):
    """A connection of the library's, which is held to our bounds as long as it is no session."""

    def __init__(
        self, protocol: ServerProtocol, server: Server, *, lobby: Lobby, **kwargs: Any
    ) -> None:
        super().__init__(protocol, server, **kwargs)
        self._lobby = lobby
        self._head = 0
        self._timer: asyncio.TimerHandle | None = None
        self._lost = False
        self._when_lost: list[Callable[[], None]] = []

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        sock: socket.socket | None = transport.get_extra_info("socket")
        if sock is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option, value in _LIFE:
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)
        self._lobby.enter(self)
        self._timer = self.loop.call_later(HEAD_SECONDS, self._too_slow)

    def _too_slow(self) -> None:
        if self.request is None:
            self._lobby.drop(self, "slow")

    def data_received(self, data: bytes) -> None:
        if self.request is None:
            self._head += len(data)
            if self._head > HEAD_BYTES:
                self._lobby.drop(self, "large")
                return
        super().data_received(data)
        if cast(asyncio.WriteTransport, self.transport).get_write_buffer_size() > _UNSENT:
            self._lobby.drop(self, "unread")

    def process_event(self, event: Any) -> None:
        if self.request is None:
            self._lobby.ask(self)
        super().process_event(event)

    def admitted(self) -> None:
        """It is a session from now on."""
        assert self.protocol.state is State.OPEN
        self._lobby.leave(self)

    def when_lost(self, call: Callable[[], None]) -> None:
        """Has `call` called when the connection has ended; at once if it has."""
        if self._lost:
            call()
        else:
            self._when_lost.append(call)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._lobby.leave(self)
        super().connection_lost(exc)
        self._lost = True
        while self._when_lost:
            self._when_lost.pop()()
