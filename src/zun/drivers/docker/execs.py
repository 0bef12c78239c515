"""Commands in a container of a Docker engine: made, started as a stream, looked at, killed; and run to their end."""

from __future__ import annotations

import contextlib
import logging
import os
import select
import signal
import socket
import time
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from zun.drivers import errors
from zun.drivers.bytestreams import STDERR, ExecState, Multiplexed, Outcome, Pieces, RawStream
from zun.drivers.deadline import Deadline
from zun.drivers.docker import hijack
from zun.drivers.docker.client import Engine
from zun.drivers.runtime import ExecResult
from zun.model.session import Why

log = logging.getLogger(__name__)

#: The engine looks in a terminal's input for keys that detach, and holds back what may be their beginning. By default
#: that is ^P, which shells use; this is what nobody types.
KEYS = ",".join(["ctrl-@"] * 8)

SOON = 10.0  # seconds a killed command has to be seen dead
_SETTLES = (
    1.0  # seconds in which the engine notes that a container ended, after the end of what ran in it
)
_STARTS = 3.0  # seconds in which a command that was started is seen to run
_KILLED = 137
_PIECE = 64 * 1024


class Execs:
    """The commands in one container; `name` is the engine's. See `drivers.bytestreams.CanOpenExec`."""

    def __init__(self, engine: Engine, name: str) -> None:
        self._engine, self._name = engine, name

    def make(self, command: Sequence[str], *, tty: bool, stdin: bool, deadline: Deadline) -> str:
        with self._engine.call("run the command", deadline) as client:
            made = client.exec_create(
                self._name, list(command), tty=tty, stdin=stdin, detach_keys=KEYS if tty else None
            )
            return str(made["Id"])

    def open(self, ident: str, deadline: Deadline) -> RawStream:
        seen = self._look(ident, deadline)
        if seen["Running"] or seen["ExitCode"] is not None:
            raise errors.Conflict("the command was started before")
        tty = bool(seen["ProcessConfig"]["tty"])
        answer = hijack.ask(
            self._engine,
            "run the command",
            "POST",
            f"/exec/{quote(ident)}/start",
            deadline,
            headers=hijack.UPGRADE,
            body={"Detach": False, "Tty": tty},
        )
        return raw_stream(answer, tty, lambda until: self._outcome(ident, until))

    def state(self, ident: str, deadline: Deadline) -> ExecState:
        seen = self._look(ident, deadline)
        return ExecState(
            tty=bool(seen["ProcessConfig"]["tty"]),
            running=bool(seen["Running"]),
            exit_code=seen["ExitCode"],
        )

    def resize(self, ident: str, rows: int, columns: int, deadline: Deadline) -> None:
        # Looked at first: the engine would wait ten seconds for one that is not started.
        state = self.state(ident, deadline)
        if not state.running:
            raise errors.Conflict("the command is not running")
        if not state.tty:
            raise errors.Conflict("the command has no terminal")
        with self._engine.call("resize the terminal", deadline) as client:
            client.exec_resize(ident, height=rows, width=columns)

    def _look(self, ident: str, deadline: Deadline) -> dict[str, Any]:
        """What the engine has of an exec of this container. Raises NotFound."""
        with self._engine.call("look at the command", deadline) as client:
            seen: dict[str, Any] = client.exec_inspect(ident)
            mine = seen["ContainerID"] == client.inspect_container(self._name)["Id"]
        if not mine:
            raise errors.NotFound("the container has no such command")
        return seen

    # -- its end -------------------------------------------------------------------------------------------------

    def _outcome(self, ident: str, deadline: Deadline) -> Outcome:
        try:
            code = self._exit_code(ident, deadline)
        except errors.NotFound:
            # The engine forgets execs with their container, and when it starts anew.
            state = self._container(deadline)
            if state is None:
                return Outcome(why=Why.REMOVED)
            if not state["Running"]:
                return Outcome(why=Why.STOPPED)
            raise errors.Unavailable("the container engine broke off") from None
        assert code is not None
        if code == _KILLED and self._stopped(deadline):
            return Outcome(why=Why.STOPPED, exit_code=code)
        return Outcome(why=Why.EXITED, exit_code=code)

    def _container(self, deadline: Deadline) -> dict[str, Any] | None:
        try:
            with self._engine.call("look at the container", deadline) as client:
                state: dict[str, Any] = client.inspect_container(self._name)["State"]
                return state
        except errors.NotFound:
            return None

    def _stopped(self, deadline: Deadline) -> bool:
        """Whether a command was killed with its container, which the engine notes a moment later."""
        until = time.monotonic() + _SETTLES
        while True:
            state = self._container(deadline)
            if state is None or not state["Running"]:
                return True
            if time.monotonic() > until:
                return False
            self._engine.pause(deadline)

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

    # -- run to its end ------------------------------------------------------------------------------------------

    def run(
        self, command: Sequence[str], limit: int, deadline: Deadline, stdin: bytes | None
    ) -> ExecResult:
        """See `CanExec`."""
        ident = self.make(command, tty=False, stdin=stdin is not None, deadline=deadline)
        kept = _Kept(limit)
        try:
            stream = self.open(ident, deadline)
            with contextlib.closing(stream.sock):
                deadline.when_cancelled(lambda: _shut(stream.sock))
                _talk(stream, stdin or b"", kept, deadline)
            code = self._exit_code(ident, deadline)
            if code is not None:
                return kept.result(code)
        except errors.TimedOut:
            self.kill(ident)
            raise errors.TimedOut("the command did not end in time and was killed") from None
        except errors.Unavailable:
            if not deadline.cancelled():  # else it was us who broke off the answer
                raise
        self.kill(ident)
        raise errors.Conflict("the command was killed, for nobody waits for it any more")

    # -- killing -------------------------------------------------------------------------------------------------

    def kill(self, ident: str) -> None:
        """Kills the command and its process group; a failure is logged, for nobody waits any more."""
        try:
            self.end(ident, Deadline(SOON))
        except errors.DriverError as e:
            log.warning("a command that ran out of time could not be killed: %s", e)

    def end(self, ident: str, deadline: Deadline) -> None:
        """Kills the command and its process group; one that isn't running, or isn't there, is fine."""
        try:
            pid = self._started(ident, deadline)
            if pid is None:
                return
            handle = os.pidfd_open(pid)
            try:
                # Asked again with the handle in hand: a number that meanwhile went to another process is not hit.
                if self._pid(ident, deadline) == pid and not _ended(handle):
                    _kill_group(pid, handle)
            finally:
                os.close(handle)
        except (ProcessLookupError, errors.NotFound):
            return
        except OSError as e:
            raise errors.Unavailable(f"cannot kill the command: {type(e).__name__}") from e

    def _started(self, ident: str, deadline: Deadline) -> int | None:
        """The process of a command that runs, or is just being started: the engine says so a moment after it took
        the call. None: it has ended, or was never started."""
        until = time.monotonic() + _STARTS
        while True:
            seen = self._look(ident, deadline)
            if seen["Running"] and seen.get("Pid"):
                return int(seen["Pid"])
            if seen["ExitCode"] is not None or time.monotonic() > until:
                return None
            self._engine.pause(deadline)

    def _pid(self, ident: str, deadline: Deadline) -> int | None:
        seen = self._look(ident, deadline)
        return int(seen["Pid"]) if seen["Running"] and seen.get("Pid") else None


def raw_stream(answer: hijack.Answer, tty: bool, outcome: Any, **more: Any) -> RawStream:
    """An upgraded connection as a stream, taken apart unless it is a terminal."""
    if tty:
        begun: Pieces = ((1, answer.rest),) if answer.rest else ()
        return RawStream(sock=answer.sock, outcome=outcome, begun=begun, tty=True, **more)
    frames = Multiplexed()
    return RawStream(
        sock=answer.sock, outcome=outcome, begun=frames.decode(answer.rest),
        decode=frames.decode, **more,
    )  # fmt: skip


class _Kept:
    """Output as far as it is kept: in the order it came, and by stream."""

    def __init__(self, limit: int) -> None:
        self._left = limit
        self._both, self._out, self._err = bytearray(), bytearray(), bytearray()

    def add(self, pieces: Pieces) -> None:
        for stream, data in pieces:
            kept = data[: self._left]
            self._left -= len(kept)
            self._both += kept
            (self._err if stream == STDERR else self._out).extend(kept)

    def result(self, code: int) -> ExecResult:
        return ExecResult(
            exit_code=code,
            output=bytes(self._both),
            stdout=bytes(self._out),
            stderr=bytes(self._err),
        )


def _talk(stream: RawStream, stdin: bytes, kept: _Kept, deadline: Deadline) -> None:
    """Writes the input and reads the output, both as the other side is ready, until the output ends."""
    sock, left = stream.sock, memoryview(stdin)
    kept.add(stream.begun)
    poll = select.poll()  # select() knows no descriptor above 1,023
    poll.register(sock, select.POLLIN | select.POLLOUT)
    try:
        while True:
            events = dict(poll.poll(deadline.left() * 1000)).get(sock.fileno(), 0)
            if events & ~select.POLLOUT:
                data = sock.recv(_PIECE)
                if not data:
                    return
                kept.add(stream.decode(data))
            elif events:
                left = _feed(sock, left)
                if not left:
                    poll.modify(sock, select.POLLIN)
    except OSError as exc:
        raise errors.Unavailable("cannot run the command: the container engine broke off") from exc


def _feed(sock: socket.socket, left: memoryview) -> memoryview:
    """Writes what fits of the input; what is left of it. After the last byte the end is told."""
    try:
        left = left[sock.send(left[:_PIECE]) :] if left else left
        if not left:
            sock.shutdown(socket.SHUT_WR)
    except BlockingIOError:
        pass
    except OSError:
        return left[:0]  # it ended without reading all of its input; its output is still to come
    return left


def _shut(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)


def _ended(handle: int) -> bool:
    poll = select.poll()
    poll.register(handle, select.POLLIN)
    return bool(poll.poll(0))


def _kill_group(pid: int, handle: int) -> None:
    if os.getpgid(pid) == pid:
        os.killpg(pid, signal.SIGKILL)
    else:
        signal.pidfd_send_signal(handle, signal.SIGKILL)
