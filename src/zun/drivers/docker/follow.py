"""A log as it is written.

The engine flushes each line of a log as a chunk of its own, and packs stdout and stderr into frames of a line each:
read by a general HTTP client that is a dozen calls a line. Asked in HTTP/1.0 it sends the same bytes without chunks,
so they can be read in large pieces and the frames taken off in one loop.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from urllib.parse import quote

from zun.drivers import errors
from zun.drivers.bytestreams import HEADER, STDOUT, Outcome, Pieces, RawStream
from zun.drivers.deadline import Deadline
from zun.drivers.docker import hijack
from zun.drivers.docker.client import Engine
from zun.drivers.docker.logs import MULTIPLEXED, RAW, log_params
from zun.drivers.runtime import LogRequest
from zun.model.session import Why

PIECE = 256 * 1024
_SETTLES = 3.0  # seconds in which the engine notes the end of a container after the end of its log
_PAUSE = 0.05
_LENGTH = struct.Struct(">L")
_WHAT = "follow the container's log"


class Frames:
    """Takes the frames' heads off, whatever pieces the bytes come in."""

    def __init__(self) -> None:
        self._rest = b""  # the beginning of a head
        self._left = 0  # bytes of the frame that are still to come

    def strip(self, data: bytes) -> bytes:
        """What of `data` is log."""
        if self._rest:
            data = self._rest + data
            self._rest = b""
        end, at = len(data), 0
        if self._left:
            at = min(self._left, end)
            self._left -= at
            if at == end:
                return data
        pieces = [data[:at]]
        unpack, head = _LENGTH.unpack_from, HEADER.size
        while end - at >= head:
            begin = at + head
            at = begin + unpack(data, at + 4)[0]
            pieces.append(data[begin:at])
        if at > end:
            self._left = at - end
        else:
            self._rest = data[at:]
        return b"".join(pieces)


def open_log(engine: Engine, name: str, request: LogRequest, deadline: Deadline) -> RawStream:
    """See `drivers.bytestreams.CanOpenLog`."""
    with engine.call(_WHAT, deadline) as client:
        tty = bool(client.inspect_container(name)["Config"]["Tty"])
    answer = hijack.ask(
        engine, _WHAT, "GET", f"/containers/{quote(name)}/logs", deadline,
        query={**log_params(request), "follow": 1}, headers={}, http10=True,
    )  # fmt: skip
    kind = answer.headers.get("content-type", "")
    # Engines before API 1.42 do not say which of the two it is.
    plain = kind == RAW if kind in (RAW, MULTIPLEXED) else tty
    frames = Frames()

    def decode(data: bytes) -> Pieces:
        return ((STDOUT, data if plain else frames.strip(data)),)

    return RawStream(
        sock=answer.sock,
        outcome=lambda until: _over(engine, name, until),
        decode=decode,
        begun=decode(answer.rest),
    )


def _over(engine: Engine, name: str, deadline: Deadline) -> Outcome:
    """That the bytes end means that the container has, or that the engine went away: the first is looked for."""
    until = time.monotonic() + _SETTLES
    while True:
        try:
            with engine.call(_WHAT, deadline) as client:
                state = client.inspect_container(name)["State"]
        except errors.NotFound:
            return Outcome(why=Why.EXITED)
        if not state.get("Running") or state.get("Restarting"):
            return Outcome(why=Why.EXITED)
        if time.monotonic() > until:
            raise errors.Unavailable(f"cannot {_WHAT} to its end: the container engine broke off")
        time.sleep(deadline.left(_PAUSE))


class FollowedLog:
    """See `zun.drivers.runtime.LogStream`: an open log, read by blocking. Made by `follow`."""

    def __init__(self, stream: RawStream) -> None:
        self._stream = stream
        self._begun = b"".join(piece for _, piece in stream.begun)
        self._ended = False
        stream.sock.setblocking(True)

    def read(self) -> bytes:
        piece, self._begun = self._begun, b""
        while not piece:
            try:
                data = b"" if self._ended else self._stream.sock.recv(PIECE)
            except OSError:
                data = b""
            if not data:
                self._stream.sock.close()
                if not self._ended:
                    self._stream.outcome(Deadline(2 * _SETTLES))
                return b""
            piece = b"".join(part for _, part in self._stream.decode(data))
        return piece

    def end(self) -> None:
        self._ended = True
        with contextlib.suppress(OSError):
            self._stream.sock.shutdown(socket.SHUT_RDWR)


def follow(engine: Engine, name: str, request: LogRequest, deadline: Deadline) -> FollowedLog:
    """See `zun.drivers.runtime.CanFollow`."""
    return FollowedLog(open_log(engine, name, request, deadline))
