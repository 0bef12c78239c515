"""Byte streams into the containers of the fake runtime: processes that a thread each plays, over socket pairs."""

from __future__ import annotations

import contextlib
import io
import secrets
import select
import socket
import tarfile
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from zun.drivers import errors
from zun.drivers.bytestreams import (
    STDOUT,
    ExecState,
    Multiplexed,
    Outcome,
    RawStream,
    pack,
)
from zun.drivers.deadline import Deadline
from zun.drivers.fake import shell
from zun.drivers.fake.box import Box
from zun.drivers.fake.powers import Powers
from zun.drivers.runtime import LogRequest
from zun.model.lifecycle import Observed
from zun.model.session import Why

_KILLED = 137
_PIECE = 32 * 1024


@dataclass(eq=False)
class Played:
    """A process with a socket: our end of it, and how it ended. `size`: rows and columns of its terminal."""

    uuid: str
    command: Sequence[str] = ()
    tty: bool = False
    stdin: bool = True
    sock: socket.socket | None = None
    exit_code: int | None = None
    why: Why = Why.EXITED
    size: tuple[int, int] = (0, 0)
    lock: threading.Lock = field(default_factory=threading.Lock)
    over: threading.Event = field(default_factory=threading.Event)

    def say(self, stream: int, data: bytes) -> None:
        """Prints; nobody listening is no error, and who does not read holds it back."""
        with self.lock, contextlib.suppress(OSError):
            if self.sock is not None:
                self.sock.sendall(data if self.tty else pack(stream, data))

    def end(self, code: int | None, why: Why = Why.EXITED) -> None:
        """Ends it, once; its reader sees the end of the stream."""
        if self.over.is_set():
            return
        self.exit_code, self.why = code, why
        self.over.set()
        self.cut()

    def cut(self) -> None:
        """Takes the stream away, whatever becomes of the process."""
        with contextlib.suppress(OSError):
            if self.sock is not None:
                self.sock.shutdown(socket.SHUT_RDWR)

    def read(self) -> Iterator[bytes]:
        """What is typed, until its end."""
        with contextlib.suppress(OSError):
            while self.sock is not None and (data := self.sock.recv(_PIECE)):
                yield data


class Streams(Powers):
    """All powers of `zun.drivers.bytestreams` in memory.

    Commands beyond those of `shell`: `cat`; `sh` alone, which runs each line it is sent (those of `shell`, and `stty
    size`); `yes`, which prints for ever.
    """

    def _begin(self) -> None:
        self._execs: dict[str, Played] = {}
        self._attached: dict[str, list[Played]] = {}
        self._sizes: dict[str, tuple[int, int]] = {}
        self.engine_away = False  # whether looking how a stream ended finds nobody
        self._open: set[Played] = set()

    @property
    def open_streams(self) -> int:
        """How many streams nobody has closed yet."""
        with self._lock:
            return len(self._open)

    # -- what a test does behind the service's back --------------------------------------------------------------

    def say(self, uuid: str, data: bytes, stream: int = STDOUT) -> None:
        """The main process prints something: into its log, and to all who are attached."""
        with self._lock:
            self._boxes[uuid].log.append((0.0, stream, data))
            played = list(self._attached.get(uuid, ()))
        for each in played:
            each.say(stream, data)

    def break_streams(self) -> None:
        """The engine goes away: every stream ends, and nobody can say how."""
        with self._lock:
            self.engine_away = True
            every = list(self._open)
        for played in every:
            played.cut()

    def exec_of(self, ident: str) -> Played:
        """The exec of an id. KeyError."""
        return self._execs[ident]

    def terminal_of(self, uuid: str) -> tuple[int, int]:
        """Rows and columns of the main process's terminal; KeyError if they were never set."""
        return self._sizes[uuid]

    def _end_streams(self, uuid: str, code: int | None, why: Why) -> None:
        """The container ended, or is gone: so are all processes in it."""
        for played in self._attached.pop(uuid, []):
            played.end(code, Why.REMOVED if why is Why.REMOVED else Why.EXITED)
        for played in self._execs.values():
            if played.uuid == uuid:
                played.end(_KILLED, why)

    # -- the main process ----------------------------------------------------------------------------------------

    def attach(self, uuid: str, deadline: Deadline) -> RawStream:
        with self._call("attach", uuid, deadline):
            box = self._running_box(uuid)
            played = Played(uuid, tty=box.plan.tty)
            self._attached.setdefault(uuid, []).append(played)
            stream = self._connect(played)
        command = [*(box.plan.entrypoint or ()), *(box.plan.command or ())]
        echo = command[:1] == ["cat"]
        self._play(played, lambda: self._listen(uuid, played, echo))
        return stream

    def _listen(self, uuid: str, played: Played, echo: bool) -> None:
        for data in played.read():
            if echo:
                self.say(uuid, data)
        with self._lock:
            if played in self._attached.get(uuid, ()):
                self._attached[uuid].remove(played)

    def resize(self, uuid: str, rows: int, columns: int, deadline: Deadline) -> None:
        with self._call("resize", uuid, deadline, rows, columns):
            box = self._running_box(uuid)
            if not box.plan.tty:
                raise errors.Conflict("the container has no terminal")
            self._sizes[uuid] = (rows, columns)

    # -- commands ------------------------------------------------------------------------------------------------

    def make_exec(
        self, uuid: str, command: Sequence[str], *, tty: bool, stdin: bool, deadline: Deadline
    ) -> str:
        with self._call("make_exec", uuid, deadline, tuple(command), tty):
            self._running_box(uuid)
            if not command:
                raise errors.Rejected("there is no command to run")
            ident = secrets.token_hex(32)
            self._execs[ident] = Played(uuid, tuple(command), tty, stdin)
            return ident

    def _exec(self, uuid: str, ident: str) -> Played:
        played = self._execs.get(ident)
        if played is None or played.uuid != uuid or uuid not in self._boxes:
            raise errors.NotFound("the container has no such command")
        return played

    def open_exec(self, uuid: str, ident: str, deadline: Deadline) -> RawStream:
        with contextlib.ExitStack() as lost:
            with self._call("open_exec", uuid, deadline, ident):
                played = self._exec(uuid, ident)
                self._running_box(uuid)
                if played.sock is not None:
                    raise errors.Conflict("the command was started before")
                stream = self._connect(played)
                lost.callback(stream.sock.close)
                self._play(played, lambda: _run(played))
            lost.pop_all()
            return stream

    def look_at_exec(self, uuid: str, ident: str, deadline: Deadline) -> ExecState:
        with self._call("look_at_exec", uuid, deadline, ident):
            played = self._exec(uuid, ident)
            running = played.sock is not None and not played.over.is_set()
            return ExecState(tty=played.tty, running=running, exit_code=played.exit_code)

    def resize_exec(
        self, uuid: str, ident: str, rows: int, columns: int, deadline: Deadline
    ) -> None:
        with self._call("resize_exec", uuid, deadline, ident, rows, columns):
            played = self._exec(uuid, ident)
            if played.sock is None or played.over.is_set():
                raise errors.Conflict("the command is not running")
            if not played.tty:
                raise errors.Conflict("the command has no terminal")
            played.size = (rows, columns)

    def kill_exec(self, uuid: str, ident: str, deadline: Deadline) -> None:
        with self._call("kill_exec", uuid, deadline, ident):
            played = self._execs.get(ident)
        if played is not None and played.uuid == uuid and played.sock is not None:
            played.end(_KILLED)

    # -- logs and files ------------------------------------------------------------------------------------------

    def open_log(self, uuid: str, request: LogRequest, deadline: Deadline) -> RawStream:
        with self._call("open_log", uuid, deadline, request):
            box = self._box(uuid)
            at = 0 if request.tail is None else max(len(box.log) - request.tail, 0)
            played = Played(uuid, tty=True)
            stream = self._connect(played)
        self._play(played, lambda: self._tell_log(played, box, at))
        return stream

    def _tell_log(self, played: Played, box: Box, at: int) -> None:
        while not self.engine_away and not played.over.wait(0.005):
            over = box.observed not in (Observed.RUNNING, Observed.PAUSED, Observed.RESTARTING)
            for _, _, text in box.log[at:]:
                played.say(STDOUT, text)
                at += 1
            if over or self._boxes.get(played.uuid) is not box or _left(played):
                return played.end(None)
        return None

    def open_get(self, uuid: str, path: str, deadline: Deadline) -> RawStream:
        with self._call("open_get", uuid, deadline, path):
            try:
                data, stat = self._box(uuid).pack(path)
            except KeyError:
                raise errors.Rejected("the container has no such file") from None
            played = Played(uuid, tty=True)
            stream = self._connect(played)

        def send() -> None:
            played.say(STDOUT, data)
            played.end(None)

        self._play(played, send)
        return RawStream(sock=stream.sock, outcome=stream.outcome, stat=stat)

    def open_put(self, uuid: str, path: str, deadline: Deadline) -> RawStream:
        with self._call("open_put", uuid, deadline, path):
            box, played, got = self._box(uuid), Played(uuid, tty=True), io.BytesIO()
            stream = self._connect(played)

        def take() -> None:
            for data in played.read():
                got.write(data)
            played.end(None)

        def outcome(until: Deadline) -> Outcome:
            ended = stream.outcome(until)
            with self._call("unpack", uuid, until, path):
                try:
                    box.unpack(path, got.getvalue())
                except KeyError:
                    raise errors.Rejected("the container has no such directory") from None
                except tarfile.TarError:
                    raise errors.Rejected("the data is no tar archive") from None
            return ended

        self._play(played, take)
        return RawStream(sock=stream.sock, outcome=outcome)

    # -- both ends of a stream -----------------------------------------------------------------------------------

    def _running_box(self, uuid: str) -> Box:
        box = self._box(uuid)
        if box.observed is not Observed.RUNNING:
            raise errors.Conflict("the container is not running")
        return box

    def _connect(self, played: Played) -> RawStream:
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        played.sock = ours

        def outcome(deadline: Deadline) -> Outcome:
            if self.engine_away:
                raise errors.Unavailable("the container engine broke off")
            if not played.over.wait(deadline.left()):
                raise errors.TimedOut("the output ended, but the command goes on")
            return Outcome(why=played.why, exit_code=played.exit_code)

        if played.tty:
            return RawStream(sock=theirs, outcome=outcome, tty=True)
        return RawStream(sock=theirs, outcome=outcome, decode=Multiplexed().decode)

    def _play(self, played: Played, play: Callable[[], object]) -> None:
        def run() -> None:
            try:
                play()
            finally:
                # Held to its end: who left does not end the process.
                while not played.over.is_set() and played.sock is not None and not _left(played):
                    played.over.wait(0.005)
                assert played.sock is not None
                played.sock.close()
                with self._lock:
                    self._open.discard(played)

        with self._lock:
            self._open.add(played)
        threading.Thread(target=run, name="fake-stream", daemon=True).start()


def _left(played: Played) -> bool:
    """Whether the other end was closed."""
    assert played.sock is not None
    if played.sock.fileno() < 0:
        return True
    poll = select.poll()
    poll.register(played.sock, 0)
    return any(events & select.POLLHUP for _, events in poll.poll(0))


def _run(played: Played) -> None:
    """Plays one command."""
    match list(played.command):
        case ["cat"]:
            for data in played.read():
                played.say(STDOUT, data)
            if not played.tty:
                played.end(0)
        case ["sh"]:
            _interactive(played)
        case ["yes"]:
            while not played.over.is_set() and not _left(played):
                played.say(STDOUT, b"x" * _PIECE)
        case words:
            if shell.absent(words):
                played.say(STDOUT, f"{words[0]}: not found\n".encode())
                return played.end(127)
            outcome = shell.run(words)
            for stream, text in outcome.output:
                played.say(stream, text)
            if outcome.exit_code is not None:
                played.end(outcome.exit_code)
    return None


def _interactive(played: Played) -> None:
    rest = b""
    for data in played.read():
        if played.tty:
            played.say(STDOUT, data.replace(b"\n", b"\r\n"))
        *lines, rest = (rest + data).split(b"\n")
        for line in lines:
            words = line.decode(errors="replace").split()
            if words == ["stty", "size"]:
                played.say(STDOUT, b"%d %d\r\n" % played.size)
                continue
            outcome = shell.run(words)
            for stream, text in outcome.output:
                played.say(stream, text.replace(b"\n", b"\r\n") if played.tty else text)
            if words[:1] == ["exit"]:
                return played.end(outcome.exit_code)
    if not played.tty:  # a terminal stays, whoever has left
        played.end(0)
    return None
