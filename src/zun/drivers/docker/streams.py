"""Byte streams into containers of a Docker engine."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

from zun.drivers import errors
from zun.drivers.bytestreams import ExecState, Outcome, Pieces, RawStream
from zun.drivers.deadline import Deadline
from zun.drivers.docker import archives, hijack
from zun.drivers.docker.client import Engine, sorted_error
from zun.drivers.docker.execs import KEYS, Execs, raw_stream
from zun.drivers.docker.follow import open_log
from zun.drivers.runtime import ExecResult, LogRequest
from zun.model.names import runtime_name
from zun.model.session import Why

_REPLY_LIMIT = 8192
_READ = "read the container's files"
_WRITE = "write the container's files"


class DockerStreams:
    """All powers of `zun.drivers.bytestreams`, and `CanExec`, on one engine."""

    _engine: Engine

    def attach(self, uuid: str, deadline: Deadline) -> RawStream:
        name = runtime_name(uuid)
        before = self._look(name, deadline)
        if not before["State"]["Running"]:
            raise errors.Conflict("the container is not running")
        wanted = {"stream": 1, "stdin": 1, "stdout": 1, "stderr": 1}
        answer = hijack.ask(
            self._engine, "attach to the container", "POST", f"/containers/{quote(name)}/attach",
            deadline, query={**wanted, "detachKeys": KEYS}, headers=hijack.UPGRADE,
        )  # fmt: skip
        life = (before["Id"], before["State"]["StartedAt"])
        tty = bool(before["Config"]["Tty"])
        return raw_stream(answer, tty, lambda until: self._left(name, life, until))

    def _look(self, name: str, deadline: Deadline) -> dict[str, Any]:
        with self._engine.call("look at the container", deadline) as client:
            seen: dict[str, Any] = client.inspect_container(name)
            return seen

    def _left(self, name: str, life: tuple[str, str], deadline: Deadline) -> Outcome:
        """How a life of a container ended whose attached stream did."""
        try:
            while True:
                seen = self._look(name, deadline)
                state = seen["State"]
                if (seen["Id"], state["StartedAt"]) != life or state.get("Restarting"):
                    return Outcome(why=Why.EXITED)
                if not state["Running"]:
                    return Outcome(why=Why.EXITED, exit_code=int(state["ExitCode"]))
                self._engine.pause(deadline)
        except errors.NotFound:
            return Outcome(why=Why.REMOVED)
        except errors.TimedOut:
            # It runs on, so its end is not just about to be noted: it was the engine that broke off.
            raise errors.Unavailable("the container engine broke off") from None

    def resize(self, uuid: str, rows: int, columns: int, deadline: Deadline) -> None:
        name = runtime_name(uuid)
        seen = self._look(name, deadline)
        if not seen["State"]["Running"]:
            raise errors.Conflict("the container is not running")
        if not seen["Config"]["Tty"]:
            raise errors.Conflict("the container has no terminal")
        with self._engine.call("resize the terminal", deadline) as client:
            client.resize(name, height=rows, width=columns)

    # -- commands ------------------------------------------------------------------------------------------------

    def execute(
        self,
        uuid: str,
        command: Sequence[str],
        limit: int,
        deadline: Deadline,
        stdin: bytes | None = None,
    ) -> ExecResult:
        return self._execs(uuid).run(command, limit, deadline, stdin)

    def make_exec(
        self, uuid: str, command: Sequence[str], *, tty: bool, stdin: bool, deadline: Deadline
    ) -> str:
        return self._execs(uuid).make(command, tty=tty, stdin=stdin, deadline=deadline)

    def open_exec(self, uuid: str, ident: str, deadline: Deadline) -> RawStream:
        return self._execs(uuid).open(ident, deadline)

    def look_at_exec(self, uuid: str, ident: str, deadline: Deadline) -> ExecState:
        return self._execs(uuid).state(ident, deadline)

    def resize_exec(
        self, uuid: str, ident: str, rows: int, columns: int, deadline: Deadline
    ) -> None:
        self._execs(uuid).resize(ident, rows, columns, deadline)

    def kill_exec(self, uuid: str, ident: str, deadline: Deadline) -> None:
        self._execs(uuid).end(ident, deadline)

    def _execs(self, uuid: str) -> Execs:
        return Execs(self._engine, runtime_name(uuid))

    # -- logs and files ------------------------------------------------------------------------------------------

    def open_log(self, uuid: str, request: LogRequest, deadline: Deadline) -> RawStream:
        return open_log(self._engine, runtime_name(uuid), request, deadline)

    def open_get(self, uuid: str, path: str, deadline: Deadline) -> RawStream:
        name = runtime_name(uuid)
        try:
            answer = hijack.ask(
                self._engine, _READ, "GET", f"/containers/{quote(name)}/archive", deadline,
                query={"path": path},
            )  # fmt: skip
        except errors.NotFound as exc:
            raise archives.nowhere(self._engine, name, path, deadline) from exc
        try:
            body = hijack.body_of(answer)
            begun = body.decode(answer.rest)
        except BaseException:
            answer.sock.close()
            raise

        def outcome(_deadline: Deadline) -> Outcome:
            if not body.whole:
                raise errors.Unavailable(f"cannot {_READ} to their end: the engine broke off")
            return Outcome(why=Why.EXITED)

        return RawStream(
            sock=answer.sock, outcome=outcome, decode=body.decode, begun=begun,
            stat=archives.stat_of(answer.headers),
        )  # fmt: skip

    def open_put(self, uuid: str, path: str, deadline: Deadline) -> RawStream:
        name = runtime_name(uuid)
        # Asked before: the engine answers a path that is not there only after it was sent something.
        with self._engine.call(_WRITE, deadline) as client:
            client.inspect_container(name)
        sock = hijack.begin(
            self._engine, _WRITE, "PUT", f"/containers/{quote(name)}/archive", deadline,
            query={"path": path}, headers={**hijack.CLOSING, "Transfer-Encoding": "chunked"},
        )  # fmt: skip
        reply = bytearray()

        def decode(data: bytes) -> Pieces:
            reply.extend(data[: _REPLY_LIMIT - len(reply)])
            return ()

        def outcome(until: Deadline) -> Outcome:
            head, _, body = bytes(reply).partition(b"\r\n\r\n")
            words = head.split(None, 2)
            if len(words) < 2 or not words[1].isdigit():
                raise errors.Unavailable(f"cannot {_WRITE}: the container engine broke off")
            status = int(words[1])
            if status < 400:
                return Outcome(why=Why.EXITED)
            error = sorted_error(_WRITE, status, hijack.explanation_in(body))
            if isinstance(error, errors.NotFound):
                raise archives.nowhere(self._engine, name, path, until)
            if isinstance(error, errors.Unavailable):
                # It failed at the archive or at the place: the user's doing, which the engine calls its own.
                raise errors.Rejected(error.public)
            raise error

        return RawStream(
            sock=sock, outcome=outcome, decode=decode, encode=hijack.chunk,
            input_end=hijack.LAST_CHUNK, half_close=False,
        )  # fmt: skip
