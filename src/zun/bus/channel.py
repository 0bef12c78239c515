"""Byte streams between an agent and whoever holds a ticket: values, frames, and the side that opens.

Opening: the client sends one line of JSON, `{"v": 1, "ticket": ...}`. The agent takes the ticket from the database,
whose content says all that is wanted, and answers one line: `{"ok": true, "proof": ..., ...facts}`, or `{"ok": false,
"status": ..., "reason": ...}`. Only somebody who reads our database knows the proof: trust is mutual, without TLS too.

Then frames, both ways: kind (1 byte), length (4 bytes, big endian, at most `FRAME_LIMIT`), payload.

    D  data: to the agent stdin; from it stdout, or the terminal
    E  data of stderr, from the agent
    C  end of the data of this direction, no payload
    R  to the agent: {"h": rows, "w": columns} of the terminal
    X  from the agent, the last one: {"why": ..., "exit_code": ..., "reason": ..., "status": ...}

Back-pressure is TCP's: neither side reads ahead more than two frames, nor keeps more than that to write.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import select
import socket
import ssl
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from zun.model.session import AgentTicket, StreamPlace, Why

VERSION = 1
LINE_LIMIT = 4096  # bytes of an opening line
FRAME_LIMIT = 65536  # bytes of a payload
HEAD = 5  # bytes before a payload
OPEN_SECONDS = 10.0  # for each side's line

DATA, STDERR, CLOSE, RESIZE, END = b"D", b"E", b"C", b"R", b"X"
_KINDS = frozenset((DATA, STDERR, CLOSE, RESIZE, END))


class Frame(NamedTuple):
    """One frame; `kind` is one of DATA, STDERR, CLOSE, RESIZE, END."""

    kind: bytes
    payload: bytes


@dataclass(frozen=True, slots=True, kw_only=True)
class End:
    """How a stream ended. `exit_code` of the process, None where it is not known; `reason` is fit for a user's eyes.

    status: as of HTTP, what kind of ERROR it was; None where that is not known.
    """

    why: Why
    exit_code: int | None = None
    reason: str = ""
    status: int | None = None


class Broken(Exception):
    """The other side went away in the middle, or sent what is no frame. Its text is fit for the log."""


class Declined(Exception):
    """The agent did not open the stream: `status` as of HTTP, `reason` fit for a user's eyes."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"{status} {reason}")
        self.status = status
        self.reason = reason


class Wire:
    """Frames over a connection; one task reads, any one at a time writes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self.received = 0  # bytes of payload of DATA and STDERR
        self.sent = 0
        writer.transport.set_write_buffer_limits(high=FRAME_LIMIT)
        sock: socket.socket | None = writer.get_extra_info("socket")
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            # A peer whose machine is gone says nothing: found out within two minutes.
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4)):
                sock.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), value)

    async def receive(self) -> Frame | None:
        """The next frame; None where the connection ended between two. Raises Broken."""
        try:
            head = await self._reader.readexactly(HEAD)
            kind, size = head[:1], int.from_bytes(head[1:], "big")
            if kind not in _KINDS or size > FRAME_LIMIT:
                raise Broken("the other side sends what is no frame")
            payload = await self._reader.readexactly(size) if size else b""
        except asyncio.IncompleteReadError as exc:
            if not exc.partial and exc.expected == HEAD:
                return None
            raise Broken("the connection ended within a frame") from exc
        except OSError as exc:
            raise Broken(f"the connection broke: {type(exc).__name__}") from exc
        if kind in (DATA, STDERR):
            self.received += size
        return Frame(kind, payload)

    async def send(self, kind: bytes, payload: bytes | memoryview = b"") -> None:
        """Sends one kind of data, in as many frames as it takes; returns once nearly all is with the kernel.

        Raises Broken.
        """
        if kind in (DATA, STDERR):
            self.sent += len(payload)
        whole = memoryview(payload)
        try:
            for at in range(0, max(len(whole), 1), FRAME_LIMIT):
                piece = whole[at : at + FRAME_LIMIT]
                self._writer.write(b"".join((kind, len(piece).to_bytes(4, "big"), piece)))
                await self._writer.drain()
        except OSError as exc:
            raise Broken(f"the connection broke: {type(exc).__name__}") from exc

    async def send_line(self, value: Mapping[str, Any]) -> None:
        """Sends an opening line. Raises Broken."""
        try:
            self._writer.write(json.dumps(value).encode() + b"\n")
            await self._writer.drain()
        except OSError as exc:
            raise Broken(f"the connection broke: {type(exc).__name__}") from exc

    async def receive_line(self) -> dict[str, Any]:
        """The other side's opening line. Raises Broken: too long, no JSON object, or none came."""
        try:
            # readuntil would take in as much as the reader's limit; an opening line is shorter than that.
            line = await self._reader.readuntil(b"\n")
            if len(line) > LINE_LIMIT:
                raise Broken("an opening line is too long")
            value = json.loads(line)
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError) as exc:
            raise Broken("no opening line came") from exc
        except (ValueError, RecursionError) as exc:
            raise Broken("an opening line is no JSON") from exc
        except OSError as exc:
            raise Broken(f"the connection broke: {type(exc).__name__}") from exc
        if not isinstance(value, dict):
            raise Broken("an opening line is no JSON object")
        return value

    def hung_up(self) -> bool:
        """Whether the other side has closed the connection; also where nothing is read, for nobody can take it."""
        sock = self._writer.get_extra_info("socket")
        if sock is None or sock.fileno() < 0:
            return True
        poll = select.poll()
        poll.register(sock.fileno(), select.POLLRDHUP)
        return bool(poll.poll(0))

    def finish(self) -> None:
        """Says that nothing more will be written, where the transport can say so."""
        with contextlib.suppress(OSError, RuntimeError):
            if self._writer.can_write_eof():
                self._writer.write_eof()

    async def drop(self, *, reset: bool = False) -> None:
        """Ends the connection at once; what was not yet sent is lost.

        reset: also what the kernel has not sent. Else an end that waits behind it may never come to a peer that
        reads nothing.
        """
        sock = self._writer.get_extra_info("socket")
        if reset and sock is not None:
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()
        with contextlib.suppress(OSError):
            await self._writer.wait_closed()


class Channel:
    """A stream that the agent has opened, seen from the client. Close it in the end.

    facts: what the agent said of it: `tty` (bool) for attach and exec; `stat` for get_archive.
    end: how it ended, once `receive` has given END.
    """

    def __init__(self, wire: Wire, facts: Mapping[str, Any]) -> None:
        self._wire = wire
        self.facts = facts
        self.end: End | None = None

    @property
    def sent(self) -> int:
        """Bytes of data sent so far."""
        return self._wire.sent

    @property
    def received(self) -> int:
        """Bytes of data received so far."""
        return self._wire.received

    async def receive(self) -> Frame:
        """The next frame: DATA, STDERR, CLOSE, or the last one, END, after which `end` says how it ended.

        Raises Broken: the agent went away before it said that the stream has ended.
        """
        frame = await self._wire.receive()
        if frame is None:
            raise Broken("the agent went away")
        if frame.kind == END:
            self.end = end_of(frame.payload)
        return frame

    async def send(self, data: bytes | memoryview) -> None:
        """Sends data to the process; empty data is not sent. Raises Broken."""
        if len(data):
            await self._wire.send(DATA, data)

    async def close_input(self) -> None:
        """No more data will be sent: the process sees the end of its stdin. Raises Broken."""
        await self._wire.send(CLOSE)

    async def resize(self, rows: int, columns: int) -> None:
        """Sets the size of the terminal. Raises Broken."""
        await self._wire.send(RESIZE, json.dumps({"h": rows, "w": columns}).encode())

    async def close(self) -> None:
        """Leaves; the agent ends the stream if it has not ended."""
        await self._wire.drop(reset=True)


def end_frame(end: End) -> bytes:
    """The payload of an END frame."""
    said = {"why": end.why, "exit_code": end.exit_code, "reason": end.reason}
    if end.status is not None:
        said["status"] = end.status
    return json.dumps(said).encode()


def end_of(payload: bytes) -> End:
    """What an END frame says. Raises Broken."""
    try:
        value = json.loads(payload)
        code, status = value["exit_code"], value.get("status")
        return End(
            why=Why(value["why"]),
            exit_code=None if code is None else int(code),
            reason=str(value["reason"]),
            status=None if status is None else int(status),
        )
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise Broken("the agent's last frame can't be read") from exc


def split_address(address: str) -> tuple[str, int]:
    """Host and port of "host:port" or "[v6]:port". Raises ValueError."""
    host, colon, port = address.rpartition(":")
    if not colon or not host:
        raise ValueError(f"{address!r} is not of the form host:port")
    return host.removeprefix("[").removesuffix("]"), int(port)


async def open_channel(
    place: StreamPlace,
    ticket: AgentTicket,
    *,
    tls: ssl.SSLContext | None = None,
    seconds: float = OPEN_SECONDS,
) -> Channel:
    """The stream that `ticket` is for, at a host's agent. Raises Declined; 503 where the agent can't be reached.

    tls: verifies the agent, and has our own certificate for it to verify; None = plain TCP.
    """
    try:
        async with asyncio.timeout(seconds):
            host, port = split_address(place.address)
            reader, writer = await asyncio.open_connection(
                host, port, ssl=tls, limit=FRAME_LIMIT, server_hostname=host if tls else None
            )
    except (OSError, ValueError, TimeoutError) as exc:
        raise Declined(503, "The host's agent can't be reached.") from exc
    wire = Wire(reader, writer)
    try:
        async with asyncio.timeout(seconds):
            return Channel(wire, await _greet(wire, ticket))
    except (Broken, TimeoutError) as exc:
        await wire.drop()
        raise Declined(503, "The host's agent does not answer.") from exc
    except BaseException:
        await wire.drop()
        raise


async def _greet(wire: Wire, ticket: AgentTicket) -> Mapping[str, Any]:
    await wire.send_line({"v": VERSION, "ticket": ticket.ticket})
    answer = await wire.receive_line()
    if answer.get("ok") is not True:
        status, reason = answer.get("status"), answer.get("reason")
        if not isinstance(status, int) or not isinstance(reason, str):
            raise Broken("the agent's answer can't be read")
        raise Declined(status, reason[:500])
    if answer.get("proof") != ticket.proof:
        # Whoever it is, it does not read our database.
        raise Declined(503, "Somebody else listens where the host's agent should.")
    return answer
