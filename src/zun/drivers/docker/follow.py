"""A log as it is written.

The engine flushes each line of a log as a chunk of its own, and packs stdout and stderr into frames of a line each:
read by a general HTTP client that is a dozen calls a line. Asked in HTTP/1.0 it sends the same bytes without chunks,
so they can be read in large pieces and the frames taken off in one loop.

Last words without a newline are written down by the engine only when their container has ended, and Docker 20.10 ends a
log that is followed at that very moment, mostly without them: they are fetched, where they have not come.
"""

from __future__ import annotations

import contextlib
import socket
import struct
import time
from dataclasses import replace
from urllib.parse import quote

from zun.drivers import errors
from zun.drivers.bytestreams import HEADER, STDOUT, Outcome, Pieces, RawStream
from zun.drivers.deadline import Deadline
from zun.drivers.docker import hijack
from zun.drivers.docker.client import Engine
from zun.drivers.docker.logs import MULTIPLEXED, RAW, log_params, read_log
from zun.drivers.runtime import LogRequest
from zun.model.session import Why

PIECE = 256 * 1024
_SETTLES = 3.0  # seconds in which the engine notes the end of a container after the end of its log
_PAUSE = 0.05
_LENGTH = struct.Struct(">L")
_WHAT = "follow the container's log"
_WORDS_END = 20 * 1024  # bytes: more than an entry of a log, of 16 KiB and a time, has


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


class LastWords:
    """Knows the end of what came of a followed log, and fetches what the engine has written down after it."""

    def __init__(self, engine: Engine, name: str, request: LogRequest) -> None:
        self._engine, self._name = engine, name
        self._request = replace(request, tail=1)
        self._from_now = request.tail == 0
        self._end = b""

    def came(self, piece: bytes) -> bytes:
        """`piece`, which is noted."""
        self._end = (self._end + piece[-_WORDS_END:])[-_WORDS_END:]
        return piece

    def fetch(self, deadline: Deadline) -> bytes:
        """The last entry of the log, if it is without a newline and did not come. Raises DriverError."""
        if self._from_now and not self._end:
            return b""  # whatever is last may be from before
        last = read_log(self._engine, self._name, self._request, _WORDS_END, deadline)
        if last.endswith(b"\n") or (not self._end.endswith(b"\n") and self._end.endswith(last)):
            return b""
        return last


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
    frames, words = Frames(), LastWords(engine, name, request)

    def decode(data: bytes) -> Pieces:
        return ((STDOUT, words.came(data if plain else frames.strip(data))),)

    return RawStream(
        sock=answer.sock,
        outcome=lambda until: _over(engine, name, words, until),
        decode=decode,
        begun=decode(answer.rest),
    )


def _over(engine: Engine, name: str, words: LastWords, deadline: Deadline) -> Outcome:
    """That the bytes end means that the container has, or that the engine went away: the first is looked for."""
    until = time.monotonic() + _SETTLES
    while True:
        try:
            with engine.call(_WHAT, deadline) as client:
                state = client.inspect_container(name)["State"]
        except errors.NotFound:
            return Outcome(why=Why.EXITED)
        if not state.get("Running") or state.get("Restarting"):
            with contextlib.suppress(errors.NotFound, errors.Conflict):  # it went with its log
                return Outcome(why=Why.EXITED, output=words.fetch(deadline))
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
                if self._ended:
                    return b""
                self._ended = True
                return self._stream.outcome(Deadline(2 * _SETTLES)).output
            piece = b"".join(part for _, part in self._stream.decode(data))
        return piece

    def end(self) -> None:
        self._ended = True
        with contextlib.suppress(OSError):
            self._stream.sock.shutdown(socket.SHUT_RDWR)


def follow(engine: Engine, name: str, request: LogRequest, deadline: Deadline) -> FollowedLog:
    """See `zun.drivers.runtime.CanFollow`."""
    return FollowedLog(open_log(engine, name, request, deadline))
