"""One request and its answer, over ASGI."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any

Send = Callable[[dict[str, Any]], Awaitable[None]]

#: Seconds a client may take to read what was sent to it, before it is given up.
STALL = 300.0

JSON = "application/json"


class Stalled(Exception):
    """The client reads nothing any more."""


class Exchange:
    """Writes an answer. A write returns once the server has taken the bytes, which it does only as far as the
    client reads: whoever produces an answer is held back by it, and nothing heaps up."""

    def __init__(self, send: Send, stall: float = STALL) -> None:
        self._send = send
        self._stall = stall
        self.status = 0  # 0 = not begun
        self.sent = 0  # bytes

    async def start(self, status: int, headers: Mapping[str, str]) -> None:
        """Begins the answer."""
        self.status = status
        lines = [
            (name.lower().encode(), value.encode("latin-1")) for name, value in headers.items()
        ]
        await self._send({"type": "http.response.start", "status": status, "headers": lines})

    async def write(self, piece: bytes | memoryview) -> None:
        """Adds a piece of the body. Raises Stalled."""
        try:
            async with asyncio.timeout(self._stall):
                await self._send({"type": "http.response.body", "body": piece, "more_body": True})
        except TimeoutError:
            raise Stalled from None
        self.sent += len(piece)

    async def end(self) -> None:
        """The answer is whole. One that is never ended is broken off, and the client can tell."""
        await self._send({"type": "http.response.body", "body": b"", "more_body": False})

    async def answer(self, status: int, body: bytes, headers: Mapping[str, str]) -> None:
        """A whole answer of JSON."""
        length = {"content-type": JSON, "content-length": str(len(body))}
        await self.start(status, {**headers, **length})
        await self._send({"type": "http.response.body", "body": body, "more_body": False})
        self.sent += len(body)
