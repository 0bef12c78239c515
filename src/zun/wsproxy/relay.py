"""One session under way: bytes between a websocket and the stream of an agent."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass

from websockets.asyncio.server import ServerConnection
from websockets.exceptions import ConnectionClosed
from websockets.frames import CloseCode

from zun.bus.channel import DATA, STDERR, Broken, Channel, End
from zun.model.session import Session, Why
from zun.wsproxy.dialects import CONSOLE, Misspoken, ending, is_pinged, opening, size_of
from zun.wsproxy.text import Utf8

_BUFFER = 65536  # bytes of output that wait while the client reads
_FAREWELL = 5.0  # seconds a client may take to answer that the session is closed
_LAST_WORD = 5.0  # seconds an agent that takes no more input has to say why
_PING = 30.0  # seconds between two signs of life, for what is between us and a browser
_REASON = 123  # bytes

_CODES: dict[Why, CloseCode] = {
    Why.EXITED: CloseCode.NORMAL_CLOSURE,
    Why.STOPPED: CloseCode.NORMAL_CLOSURE,
    Why.REMOVED: CloseCode.NORMAL_CLOSURE,
    Why.KILLED: CloseCode.NORMAL_CLOSURE,
    Why.IDLE: CloseCode.POLICY_VIOLATION,
    Why.LIMIT: CloseCode.POLICY_VIOLATION,
    Why.SHUTDOWN: CloseCode.GOING_AWAY,
    Why.ENGINE: CloseCode.INTERNAL_ERROR,
    Why.ERROR: CloseCode.INTERNAL_ERROR,
}
_SENTENCES: dict[Why, str] = {
    Why.EXITED: "The process has ended.",
    Why.STOPPED: "The container has stopped.",
    Why.REMOVED: "The container is gone.",
    Why.KILLED: "The command's time was over.",
    Why.IDLE: "Nothing was typed or printed for too long.",
    Why.LIMIT: "The session took as long as any may.",
    Why.SHUTDOWN: "The service is being stopped.",
    Why.ENGINE: "The container engine broke the session off.",
    Why.ERROR: "The session failed.",
}
_AGENT_GONE = End(why=Why.ERROR, reason="The connection to the container's host was lost.")


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a session ended: a word of `Why`, or left, stalled, misspoken, defect. `code` closed the websocket."""

    why: str
    code: int
    reason: str


class _Stalled(Exception):
    """The client reads nothing any more."""


class _Pile:
    """Output that waits while the client reads: what has come meanwhile becomes one message."""

    def __init__(self) -> None:
        self._pieces: list[bytes] = []
        self._size = 0
        self._some = asyncio.Event()
        self._room = asyncio.Event()
        self._room.set()
        self._ended = False

    async def put(self, piece: bytes) -> None:
        """Adds a piece once there is room."""
        await self._room.wait()
        self._pieces.append(piece)
        self._size += len(piece)
        self._some.set()
        if self._size >= _BUFFER:
            self._room.clear()

    def end(self) -> None:
        """No more comes."""
        self._ended = True
        self._some.set()

    async def take(self) -> bytes | None:
        """All that is there, once there is some; None at the end."""
        await self._some.wait()
        if not self._pieces and self._ended:
            return None
        whole = b"".join(self._pieces)
        self._pieces.clear()
        self._size = 0
        if not self._ended:
            self._some.clear()
        self._room.set()
        return whole


class Relay:
    """Run it once. `received` and `sent` are bytes, as the client sees it: typed, and printed."""

    def __init__(
        self,
        ws: ServerConnection,
        session: Session,
        channel: Channel,
        *,
        stall: float,
    ) -> None:
        self._ws = ws
        self._session = session
        self._channel = channel
        self._stall = stall
        self._console = ws.subprotocol == CONSOLE
        self._pile = _Pile()
        self._shutdown: asyncio.Future[End] = asyncio.get_running_loop().create_future()

    @property
    def received(self) -> int:
        """Bytes typed so far."""
        return self._channel.sent

    @property
    def sent(self) -> int:
        """Bytes printed so far."""
        return self._channel.received

    def shut(self) -> None:
        """The proxy stops: the client is told, and the session ends."""
        if not self._shutdown.done():
            self._shutdown.set_result(End(why=Why.SHUTDOWN))

    async def run(self) -> Outcome:
        """Relays until either side ends; the websocket and the stream are closed then."""
        inward = asyncio.create_task(self._inward())
        fill = asyncio.create_task(self._fill())
        outward = asyncio.create_task(self._outward())
        life = asyncio.create_task(self._signs_of_life())
        try:
            first = asyncio.FIRST_COMPLETED
            await asyncio.wait((inward, outward, self._shutdown), return_when=first)
            if inward.done() and isinstance(inward.exception(), Broken):
                # The agent takes no more; what it printed last and why it ended may be on the way.
                await asyncio.wait((outward, self._shutdown), timeout=_LAST_WORD, return_when=first)
            outcome, end = self._judge(inward, outward, fill)
        finally:
            tasks = (inward, fill, outward, life)
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await self._channel.close()
        await self._close(outcome, end)
        return outcome

    def _judge(
        self, inward: asyncio.Task[None], outward: asyncio.Task[None], fill: asyncio.Task[End]
    ) -> tuple[Outcome, End | None]:
        """How the session ended, and what a console is told of it."""
        for problem in (_problem(outward), _problem(inward)):
            if isinstance(problem, ConnectionClosed):
                return Outcome("left", CloseCode.NORMAL_CLOSURE, ""), None
            if isinstance(problem, _Stalled):
                why = "Nothing was read for too long."
                return Outcome("stalled", CloseCode.POLICY_VIOLATION, why), None
            if isinstance(problem, Misspoken):
                return Outcome("misspoken", CloseCode.POLICY_VIOLATION, str(problem)), None
            if problem is not None and not isinstance(problem, Broken):
                raise problem
        if outward.done() and fill.done():
            end = _AGENT_GONE if fill.exception() else fill.result()
        else:
            end = self._shutdown.result() if self._shutdown.done() else _AGENT_GONE
        told = End(why=end.why, exit_code=end.exit_code, reason=end.reason or _SENTENCES[end.why])
        return Outcome(end.why, _CODES[end.why], told.reason), told

    # ---- from the client

    async def _inward(self) -> None:
        while True:
            message = await self._ws.recv()
            if isinstance(message, bytes):
                await self._channel.send(message)
            elif self._console:
                await self._channel.resize(*size_of(message))
            else:
                await self._channel.send(message.encode())

    # ---- to the client

    async def _fill(self) -> End:
        try:
            while True:
                frame = await self._channel.receive()
                if frame.kind in (DATA, STDERR):
                    await self._pile.put(frame.payload)
                elif self._channel.end is not None:
                    return self._channel.end
        finally:
            self._pile.end()

    async def _outward(self) -> None:
        text = Utf8()
        if self._console:
            tty = bool(self._channel.facts.get("tty", self._session.tty))
            await self._send(opening(self._session, tty))
        while (output := await self._pile.take()) is not None:
            await self._send(output if self._console else text.feed(output))
        await self._send(text.flush())

    async def _send(self, message: str | bytes) -> None:
        if not message:
            return  # to the official client an empty message is the end
        try:
            async with asyncio.timeout(self._stall):
                await self._ws.send(message)
        except TimeoutError:
            raise _Stalled from None

    async def _signs_of_life(self) -> None:
        """Keeps what is between us and a browser from taking a session in which nothing happens for dead."""
        if not is_pinged(self._ws.subprotocol):
            return
        with contextlib.suppress(ConnectionClosed):
            while True:
                await asyncio.sleep(_PING)
                await (await self._ws.ping())  # one at a time: who never answers gets no second one

    async def _close(self, outcome: Outcome, end: End | None) -> None:
        """Closes the websocket; one that does not answer is dropped, for it may have stopped reading."""
        try:
            async with asyncio.timeout(_FAREWELL):
                if self._console and end is not None:
                    await self._ws.send(ending(end))
                await self._ws.close(outcome.code, _clipped(outcome.reason))
        except (TimeoutError, ConnectionClosed):
            self._ws.transport.abort()


def _problem(task: asyncio.Task[None]) -> BaseException | None:
    return task.exception() if task.done() else None


def _clipped(reason: str) -> str:
    """As much as a close frame holds."""
    return reason.encode()[:_REASON].decode(errors="ignore")
