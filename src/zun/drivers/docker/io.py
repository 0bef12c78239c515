"""What goes in and out of containers in one piece: commands run in them, and their logs."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import struct
import time
from collections import deque
from collections.abc import Iterator, Sequence

from zun.drivers import errors
from zun.drivers.deadline import Deadline
from zun.drivers.docker.client import Engine, Stream
from zun.drivers.runtime import ExecResult, LogRequest

log = logging.getLogger(__name__)

HEADER = struct.Struct(
    ">BxxxL"
)  # which stream, length: how the engine packs stdout and stderr into one
PIECE = 64 * 1024
MULTIPLEXED = "application/vnd.docker.multiplexed-stream"
RAW = "application/vnd.docker.raw-stream"
SOON = 10.0  # seconds a killed command has to be seen dead


def frames(stream: Stream, deadline: Deadline) -> Iterator[bytes]:
    """The pieces of a multiplexed stream, each at most PIECE bytes. Raises TimedOut at the deadline."""
    while True:
        stream.timeout(deadline.left())
        header = stream.read(HEADER.size)
        if len(header) < HEADER.size:
            return
        left = HEADER.unpack(header)[1]
        while left:
            data = stream.read(min(left, PIECE))
            if not data:
                return
            left -= len(data)
            yield data


class Execution:
    """One command in a container, from its making to its exit code."""

    def __init__(self, engine: Engine, name: str) -> None:
        self._engine, self._name = engine, name

    def run(self, command: Sequence[str], limit: int, deadline: Deadline) -> ExecResult:
        """See `CanExec`."""
        with self._engine.call("run the command", deadline) as client:
            ident = str(client.exec_create(self._name, list(command))["Id"])
        try:
            output = self._output(ident, limit, deadline)
            code = self._exit_code(ident, deadline)
            if code is not None:
                return ExecResult(exit_code=code, output=output)
        except errors.TimedOut:
            self._kill(ident)
            raise errors.TimedOut("the command did not end in time and was killed") from None
        except errors.Unavailable:
            if not deadline.cancelled():  # else it was us who broke off the answer
                raise
        self._kill(ident)
        raise errors.Conflict("the command was killed, for nobody waits for it any more")

    def _output(self, ident: str, limit: int, deadline: Deadline) -> bytes:
        kept = bytearray()
        with (
            self._engine.call("run the command", deadline, most=deadline.left()) as client,
            # Not upgraded to a raw socket: then no byte that comes together with the header can be lost.
            client.open(
                "POST", f"/exec/{ident}/start", json={"Detach": False, "Tty": False}
            ) as stream,
        ):
            deadline.when_cancelled(stream.end)
            for piece in frames(stream, deadline):
                kept += piece[: max(0, limit - len(kept))]
        return bytes(kept)

    def _exit_code(self, ident: str, deadline: Deadline) -> int | None:
        """Its exit code; None if nobody wants to know any more."""
        # The output ends a moment before the engine has noted the exit; it offers no way to wait for that.
        pause = 0.002
        while True:
            with self._engine.call("learn how the command ended", deadline) as client:
                seen = client.exec_inspect(ident)
            if not seen["Running"] and seen["ExitCode"] is not None:
                return int(seen["ExitCode"])
            if deadline.cancelled():
                return None
            time.sleep(deadline.left(pause))
            pause = min(2 * pause, 0.25)

    def _kill(self, ident: str) -> None:
        """Kills the command and its process group; a failure is logged, for nobody waits any more."""
        try:
            deadline = Deadline(SOON)
            pid = self._pid(ident, deadline)
            if pid is None:
                return
            handle = os.pidfd_open(pid)
            try:
                # Asked again with the handle in hand: a number that meanwhile went to another process is not hit.
                if self._pid(ident, deadline) == pid and not _ended(handle):
                    _kill_group(pid, handle)
            finally:
                os.close(handle)
        except ProcessLookupError:
            return
        except (OSError, errors.DriverError) as e:
            log.warning("a command that ran out of time could not be killed: %s", type(e).__name__)

    def _pid(self, ident: str, deadline: Deadline) -> int | None:
        with self._engine.call("look at the command", deadline) as client:
            seen = client.exec_inspect(ident)
        return int(seen["Pid"]) if seen["Running"] and seen.get("Pid") else None


def _ended(handle: int) -> bool:
    poll = select.poll()  # select() knows no descriptor above 1,023
    poll.register(handle, select.POLLIN)
    return bool(poll.poll(0))


def _kill_group(pid: int, handle: int) -> None:
    if os.getpgid(pid) == pid:
        os.killpg(pid, signal.SIGKILL)
    else:
        signal.pidfd_send_signal(handle, signal.SIGKILL)


class Tail:
    """Keeps the last `limit` bytes of what is put into it."""

    def __init__(self, limit: int) -> None:
        self._limit, self._size = limit, 0
        self._pieces: deque[bytes] = deque()

    def put(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self._size += len(piece)
        while self._pieces and self._size - len(self._pieces[0]) >= self._limit:
            self._size -= len(self._pieces.popleft())

    def value(self) -> bytes:
        return b"".join(self._pieces)[-self._limit :] if self._limit > 0 else b""


def log_params(request: LogRequest) -> dict[str, int | str]:
    """The part of a log that is wanted, in the engine's words."""
    return {
        "stdout": int(request.stdout),
        "stderr": int(request.stderr),
        "timestamps": int(request.timestamps),
        "tail": "all" if request.tail is None else str(request.tail),
        "since": "0" if request.since is None else f"{request.since:.9f}",
    }


def read_log(
    engine: Engine, name: str, request: LogRequest, limit: int, deadline: Deadline
) -> bytes:
    """See `CanLog`."""
    params = log_params(request)
    tail = Tail(limit)
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(engine.call("read the container's log", deadline))
        stream = stack.enter_context(client.open("GET", f"/containers/{name}/logs", params=params))
        plain = stream.content_type == RAW
        if stream.content_type not in (RAW, MULTIPLEXED):
            # Engines before API 1.42 do not say which of the two it is.
            plain = client.inspect_container(name)["Config"]["Tty"]
        for piece in stream.chunks() if plain else frames(stream, deadline):
            deadline.left()
            tail.put(piece)
    return tail.value()
