"""The contract of byte streams into containers: what crosses, and the optional powers of a runtime that open one.

A stream is a connected socket that an event loop reads and writes, so that a session holds no thread. What goes over it
is the engine's own business: `decode` and `encode` know.
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol, runtime_checkable

from zun.drivers.deadline import Deadline
from zun.drivers.runtime import LogRequest, PathStat
from zun.model.session import Why

STDOUT, STDERR = 1, 2

Pieces = Iterable[tuple[int, bytes]]
"""(STDOUT or STDERR, data), in order."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How a stream ended. `why` is EXITED (all was told), STOPPED or REMOVED (the container, and with it the rest).

    output: what of it did not come through the stream; of the kind STDOUT.
    """

    why: Why
    exit_code: int | None = None
    output: bytes = b""


def _plain(data: bytes) -> Pieces:
    return ((STDOUT, data),)


def _as_is(data: bytes) -> bytes:
    return data


@dataclass(frozen=True, slots=True, kw_only=True)
class RawStream:
    """An open stream; whoever holds it closes `sock`, which ends it on the engine's side too.

    sock: connected, not blocking. Its end is the end of the stream, and then `outcome` says how it ended.
    decode: what was read -> the pieces in it; keeps at most the beginning of one head between two calls. Raises
        Unavailable: it can't be understood.
    begun: pieces that came with the engine's answer, before anything is read.
    encode: input -> what to write. input_end: what to write at the end of the input; `half_close`: and then SHUT_WR.
    outcome: blocks until it is known how the stream ended. Raises Unavailable: the engine broke off before it had;
        TimedOut: the output ended, but what made it goes on; Rejected: the engine refused what was sent.
    tty: whether it is a terminal: one stream, in which stdout and stderr are one. stat: of get_archive.
    """

    sock: socket.socket
    outcome: Callable[[Deadline], Outcome]
    decode: Callable[[bytes], Pieces] = _plain
    begun: Pieces = ()
    encode: Callable[[bytes], bytes] = _as_is
    input_end: bytes = b""
    half_close: bool = True
    tty: bool = False
    stat: PathStat | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecState:
    """What an exec is at this moment: not started, running, or ended with a code."""

    tty: bool
    running: bool = False
    exit_code: int | None = None


@runtime_checkable
class CanAttach(Protocol):
    """A stream to the main process: what it prints from now on, what is sent as its stdin. Several at once may be.

    The stream's end leaves the process as it is. Conflict if it isn't running, NotFound if there is none.
    """

    def attach(self, uuid: str, deadline: Deadline) -> RawStream: ...


@runtime_checkable
class CanResize(Protocol):
    """Sets the size of the main process's terminal. Conflict if it isn't running, or has none; NotFound."""

    def resize(self, uuid: str, rows: int, columns: int, deadline: Deadline) -> None: ...


@runtime_checkable
class CanOpenExec(Protocol):
    """A command in a container, in parts: made, started as a stream, looked at, ended.

    make_exec: the id of a command that is not started, 64 hexadecimal digits. Conflict if the container isn't
        running; Rejected if the command is empty.
    open_exec: starts it. With `tty` the stream is a terminal. Conflict: it was started before, or the container isn't
        running. A command that is not there is one that ends with 126 or 127. The stream's end leaves it running.
    look_at_exec, resize_exec, kill_exec: Conflict (resize): it isn't running, or has no terminal. Killing one that is
        not running, or not there, succeeds; its process group goes with it.
    All: NotFound: the container `uuid` has no such exec - one of another container is none of its.
    """

    def make_exec(
        self, uuid: str, command: Sequence[str], *, tty: bool, stdin: bool, deadline: Deadline
    ) -> str: ...
    def open_exec(self, uuid: str, ident: str, deadline: Deadline) -> RawStream: ...
    def look_at_exec(self, uuid: str, ident: str, deadline: Deadline) -> ExecState: ...
    def resize_exec(
        self, uuid: str, ident: str, rows: int, columns: int, deadline: Deadline
    ) -> None: ...
    def kill_exec(self, uuid: str, ident: str, deadline: Deadline) -> None: ...


@runtime_checkable
class CanOpenLog(Protocol):
    """The log as `CanFollow` gives it, as a stream of STDOUT; NotFound if there is no container."""

    def open_log(self, uuid: str, request: LogRequest, deadline: Deadline) -> RawStream: ...


@runtime_checkable
class CanOpenArchive(Protocol):
    """Files in and out as tar archives of any size; of a container in any state.

    A container whose archive is not read on may be held up by that: the holder bounds how long it waits.
    open_get: Rejected if there is no such path. open_put: unpacks into the directory `path`; what the engine makes of
    it is the outcome: Rejected if there is no such directory or it is no archive - of less than 512 bytes of junk it
    may make nothing, and say nothing -; Conflict if nothing may be written there. NotFound if there is no container.
    """

    def open_get(self, uuid: str, path: str, deadline: Deadline) -> RawStream: ...
    def open_put(self, uuid: str, path: str, deadline: Deadline) -> RawStream: ...


#: Which stream, length: how Docker packs stdout and stderr into one.
HEADER = struct.Struct(">BxxxL")


def pack(stream: int, data: bytes) -> bytes:
    """One frame of a multiplexed stream."""
    return HEADER.pack(stream, len(data)) + data


class Multiplexed:
    """Takes a multiplexed stream apart, whatever pieces its bytes come in; neighbours of one kind come as one."""

    def __init__(self) -> None:
        self._rest = b""  # the beginning of a head
        self._stream = STDOUT
        self._left = 0  # bytes of the frame that are still to come

    def decode(self, data: bytes) -> Pieces:
        """See `RawStream.decode`."""
        if self._rest:
            data, self._rest = self._rest + data, b""
        pieces: list[tuple[int, bytes]] = []
        run: list[bytes] = []
        kind, at, end, head = self._stream, 0, len(data), HEADER.size
        while at < end:
            if not self._left:
                if end - at < head:
                    self._rest = data[at:]
                    break
                self._stream, self._left = HEADER.unpack_from(data, at)
                at += head
                if self._stream != kind and run:
                    pieces.append((kind, b"".join(run)))
                    run = []
                kind = self._stream
                continue
            piece = data[at : at + self._left]
            run.append(piece)
            at += len(piece)
            self._left -= len(piece)
        if run:
            pieces.append((kind, b"".join(run)))
        # Anything but stderr is shown as stdout: the engine's own words come as one or the other.
        return [(STDERR if s == STDERR else STDOUT, piece) for s, piece in pieces if piece]
