"""From what a ticket asks for to an open stream of a driver. All of it blocks, and raises `drivers.errors`."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from zun.compute.answers import log_request
from zun.compute.archives import opening
from zun.drivers import errors
from zun.drivers.bytestreams import (
    CanAttach,
    CanOpenExec,
    CanOpenLog,
    CanResize,
    RawStream,
)
from zun.drivers.deadline import Deadline
from zun.model.session import StreamKind, StreamRequest
from zun.store import bound_execs
from zun.store.database import Database
from zun.work.clock import Clock
from zun.work.context import Means

_ACT = 10.0  # seconds for what the engine does at once

_STATUS: Mapping[type[errors.DriverError], int] = {
    errors.NotFound: 404,
    errors.Conflict: 409,
    errors.Rejected: 400,
    errors.Unsupported: 400,
    errors.Unavailable: 503,
    errors.TimedOut: 503,
}


def status_of(error: errors.DriverError) -> int:
    """A driver's error as it crosses the wire."""
    return next(_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS)


@dataclass(frozen=True, slots=True, kw_only=True)
class Opened:
    """An open stream. `exec_id` of a command; `bound`: it is killed if its client leaves, or its time is over."""

    stream: RawStream
    exec_id: str | None = None
    bound: bool = False
    timeout: float | None = None  # seconds
    kill_on_close: bool = False
    facts: Mapping[str, Any] = field(default_factory=dict)


class Opener:
    """Opens streams into the containers of one host, and does what else a session needs of the drivers."""

    def __init__(self, means: Means, db: Database, clock: Clock) -> None:
        self._means = means
        self._db = db
        self._clock = clock
        self._held: set[str] = set()  # bound commands that a session of this life looks after

    def open(self, request: StreamRequest, deadline: Deadline) -> Opened:
        """The stream that is asked for; its socket is the caller's to close."""
        uuid, arguments = request.container_uuid, request.arguments
        match request.kind:
            case StreamKind.ATTACH:
                stream = self._attach(uuid, deadline)
                return Opened(stream=stream, facts={"tty": stream.tty})
            case StreamKind.EXEC:
                return self._exec(uuid, str(arguments["exec_id"]), deadline)
            case StreamKind.RUN:
                return self._run(uuid, arguments, deadline)
            case StreamKind.LOGS:
                return Opened(stream=self._log(uuid, arguments, deadline))
            case StreamKind.GET_ARCHIVE:
                stream = opening(self._means).open_get(uuid, arguments["path"], deadline)
                stat = None if stream.stat is None else asdict(stream.stat)
                return Opened(stream=stream, facts={"stat": stat})
            case StreamKind.PUT_ARCHIVE:
                return Opened(
                    stream=opening(self._means).open_put(uuid, arguments["path"], deadline)
                )

    def _exec(self, uuid: str, ident: str, deadline: Deadline) -> Opened:
        mine = ident not in self._held
        self._held.add(ident)
        try:
            with self._db.write(durable=False) as conn:
                bound = bound_execs.opened(conn, ident, self._clock())
            stream = self._commands().open_exec(uuid, ident, deadline)
        except BaseException:
            if mine:
                self._held.discard(ident)
            raise
        if not bound:
            self._held.discard(ident)
        facts = {"tty": stream.tty}
        return Opened(stream=stream, exec_id=ident, bound=bound, kill_on_close=bound, facts=facts)

    def _run(self, uuid: str, arguments: Mapping[str, Any], deadline: Deadline) -> Opened:
        commands, timeout = self._commands(), arguments["timeout"]
        ident = commands.make_exec(
            uuid, arguments["command"], tty=False, stdin=arguments["stdin"], deadline=deadline
        )
        bound = bool(arguments["kill_on_close"]) or timeout is not None
        if bound:
            # Before it is started: whoever comes after a killed agent must know of it.
            self._held.add(ident)
            with self._db.write(durable=False) as conn:
                bound_execs.insert(conn, ident, uuid, self._means.host, self._clock())
                bound_execs.opened(conn, ident, self._clock())
        try:
            stream = commands.open_exec(uuid, ident, deadline)
        except errors.DriverError as exc:
            if exc.retryable:  # it may have started all the same
                self._held.discard(ident)
            else:
                self.forget(ident)
            raise
        return Opened(
            stream=stream,
            exec_id=ident,
            bound=bound,
            timeout=timeout,
            kill_on_close=bool(arguments["kill_on_close"]),
            facts={"tty": False},
        )

    def resize(self, uuid: str, exec_id: str | None, rows: int, columns: int) -> None:
        """Sets the size of a stream's terminal."""
        deadline = Deadline(_ACT)
        runtime = self._means.runtime
        if exec_id is not None:
            self._commands().resize_exec(uuid, exec_id, rows, columns, deadline)
        elif isinstance(runtime, CanResize):
            runtime.resize(uuid, rows, columns, deadline)

    def kill(self, uuid: str, exec_id: str) -> None:
        """Kills a command that is bound to its client, and forgets it; one that has ended is only forgotten.

        Where that fails it stays on record, and `kill_leftovers` tries again.
        """
        try:
            with contextlib.suppress(errors.NotFound):
                self._commands().kill_exec(uuid, exec_id, Deadline(_ACT))
        finally:
            self._held.discard(exec_id)
        self.forget(exec_id)

    def forget(self, exec_id: str) -> None:
        """A bound command has ended."""
        with self._db.write(durable=False) as conn:
            bound_execs.delete(conn, exec_id)
        self._held.discard(exec_id)

    def kill_leftovers(self) -> int:
        """Kills the bound commands that nobody looks after: of an earlier life of this agent, or whose kill failed
        while the engine was away; how many there were."""
        with self._db.read() as conn:
            every = bound_execs.on_host(conn, self._means.host)
        left = [(exec_id, uuid) for exec_id, uuid in every if exec_id not in self._held]
        for exec_id, uuid in left:
            self.kill(uuid, exec_id)
        return len(left)

    def _commands(self) -> CanOpenExec:
        runtime = self._means.runtime
        if not isinstance(runtime, CanOpenExec):
            raise _unable("be entered")
        return runtime

    def _attach(self, uuid: str, deadline: Deadline) -> RawStream:
        runtime = self._means.runtime
        if not isinstance(runtime, CanAttach):
            raise _unable("be attached to")
        return runtime.attach(uuid, deadline)

    def _log(self, uuid: str, arguments: Mapping[str, Any], deadline: Deadline) -> RawStream:
        runtime = self._means.runtime
        if not isinstance(runtime, CanOpenLog):
            raise _unable("have their logs followed")
        return runtime.open_log(uuid, log_request(arguments), deadline)


def _unable(what: str) -> errors.Unsupported:
    return errors.Unsupported(f"Containers of this host can't {what}.")
