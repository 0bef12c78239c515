"""What the hosts of other processes give to whoever serves long-lived answers, over their agents' byte streams.

The twin of `compute.sources`: the same words, but the host may be anywhere. Both block their caller, as that does; the
connections are those of one event loop in a thread of its own.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import threading
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import CancelledError, Future
from typing import Any, Protocol, TypeVar

from zun.bus import Refused, Why
from zun.bus.channel import DATA, END, STDERR, Broken, Channel, End
from zun.model.session import AgentTicket, StreamKind, StreamPlace, StreamRequest
from zun.model.session import Why as Ended
from zun.service.agents import AgentStreams
from zun.store.database import Database
from zun.store.errors import DatabaseError
from zun.work.clock import Clock

_T = TypeVar("_T")

_LOG = ("stdout", "stderr", "timestamps", "tail", "since")


class Cancelling(Protocol):
    """Says when nobody waits any more."""

    def is_set(self) -> bool: ...
    def listen(self, call: Callable[[], None]) -> None: ...


class RemoteSources:
    """Of all hosts whose agents the database knows. `start` before use, `stop` in the end.

    tls: verifies agents and has our own certificate; None = plain TCP.
    """

    def __init__(self, db: Database, clock: Clock, tls: ssl.SSLContext | None = None) -> None:
        self._agents = AgentStreams(db, clock, tls)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._channels: set[Channel] = set()  # open ones; the loop's
        self._thread = threading.Thread(target=self._run, name="remote-sources", daemon=True)

    def start(self) -> None:
        """Begins."""
        self._loop = asyncio.new_event_loop()
        self._thread.start()

    def stop(self) -> None:
        """Ends; what is still read or waited for is refused."""
        loop, self._loop = self._loop, None
        if loop is not None:
            loop.call_soon_threadsafe(loop.stop)
            self._thread.join(5)

    def _run(self) -> None:
        loop = self._loop
        assert loop is not None
        loop.run_forever()
        loop.run_until_complete(asyncio.sleep(0))  # what was begun at the last moment is a task now
        while left := asyncio.all_tasks(loop):
            for task in left:
                task.cancel()
            loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
        for channel in self._channels:
            loop.run_until_complete(channel.close())
        loop.close()

    def follow(self, host: str, arguments: Mapping[str, Any]) -> RemoteLog:
        """The log of a container, followed; `arguments` as of the question `logs`. Raises Refused."""
        wanted = {name: arguments[name] for name in _LOG}
        return RemoteLog(self, self._open(host, StreamKind.LOGS, arguments["uuid"], wanted))

    def execute(
        self, host: str, arguments: Mapping[str, Any], seconds: float, cancel: Cancelling
    ) -> Mapping[str, Any]:
        """The answer to the question `execute`; once `cancel` is set the command is killed. Raises Refused."""
        stdin = arguments.get("stdin")
        wanted = {
            "command": list(arguments["command"]),
            "stdin": stdin is not None,
            "timeout": seconds,
            "kill_on_close": True,
        }
        channel = self._open(host, StreamKind.RUN, arguments["uuid"], wanted)
        talking = self.begin(_talk(channel, (stdin or "").encode(), arguments["limit"]))

        def give_up() -> None:
            talking.cancel()

        cancel.listen(give_up)
        try:
            end, answer = talking.result()
        except CancelledError as exc:
            raise Refused(
                Why.CONFLICT, "the command was killed, for nobody waits for it any more"
            ) from exc
        except Broken as exc:
            raise Refused(Why.UNAVAILABLE, "The host's agent went away.") from exc
        finally:
            self.leave(channel)
        if end.exit_code is None or end.why not in (Ended.EXITED, Ended.STOPPED):
            why = Why.TIMED_OUT if end.why is Ended.KILLED else Why.UNAVAILABLE
            raise Refused(why, end.reason or "The command was cut off.")
        return {"exit_code": end.exit_code, **answer}

    def begin(self, work: Coroutine[Any, Any, _T]) -> Future[_T]:
        """Has the loop work on it. Raises Refused: it is over."""
        loop = self._loop
        try:
            if loop is not None:
                return asyncio.run_coroutine_threadsafe(work, loop)
        except RuntimeError:  # it was closed at this moment
            pass
        work.close()
        raise Refused(Why.UNAVAILABLE, "The service stops.")

    def _open(
        self, host: str, kind: StreamKind, uuid: str, arguments: Mapping[str, Any]
    ) -> Channel:
        request = StreamRequest(kind=kind, container_uuid=uuid, arguments=arguments)
        try:
            place, ticket = self._agents.ticket(host, request)
            return self.begin(self._connect(place, ticket)).result()
        except CancelledError as exc:
            raise Refused(Why.UNAVAILABLE, "The service stops.") from exc
        except DatabaseError as exc:
            raise Refused(Why.UNAVAILABLE, "The database does not answer.") from exc

    async def _connect(self, place: StreamPlace, ticket: AgentTicket) -> Channel:
        channel = await self._agents.open(place, ticket)
        self._channels.add(channel)
        return channel

    def leave(self, channel: Channel) -> None:
        """Closes what `follow` or `execute` opened; from any thread."""
        with contextlib.suppress(Refused):
            self.begin(self._close(channel))

    async def _close(self, channel: Channel) -> None:
        self._channels.discard(channel)
        await channel.close()


class RemoteLog:
    """A log of another host; see `zun.streams.handlers.LogSource`."""

    def __init__(self, sources: RemoteSources, channel: Channel) -> None:
        self._sources, self._channel = sources, channel
        self._lock = threading.Lock()
        self._reading: Future[bytes] | None = None
        self._over = False

    def read(self) -> bytes:
        """The next piece; b"" at the end. Raises Refused."""
        with self._lock:
            if self._over:
                return b""
            self._reading = self._sources.begin(self._next())
        try:
            return self._reading.result()
        except CancelledError:
            return b""
        except Broken as exc:
            raise Refused(Why.UNAVAILABLE, "The host's agent went away.") from exc

    async def _next(self) -> bytes:
        while True:
            frame = await self._channel.receive()
            if frame.kind == DATA:
                return frame.payload
            if frame.kind == END:
                end = self._channel.end
                if end is not None and end.why is not Ended.EXITED:
                    raise Refused(Why.UNAVAILABLE, end.reason)
                return b""

    def end(self) -> None:
        """Makes a waiting `read` return; from any thread."""
        with self._lock:
            if self._over:
                return
            self._over = True
            reading = self._reading
        if reading is not None:
            reading.cancel()
        self._sources.leave(self._channel)


async def _talk(channel: Channel, stdin: bytes, limit: int) -> tuple[End, dict[str, bytes]]:
    """Sends the input and keeps what comes, at most `limit` bytes; how it ended, and what was kept."""
    feeding = asyncio.create_task(_feed(channel, stdin))
    kept = {"output": bytearray(), "stdout": bytearray(), "stderr": bytearray()}
    try:
        while True:
            frame = await channel.receive()
            if frame.kind == END:
                assert channel.end is not None
                return channel.end, {name: bytes(data) for name, data in kept.items()}
            if frame.kind in (DATA, STDERR):
                piece = frame.payload[: max(0, limit - len(kept["output"]))]
                kept["output"] += piece
                kept["stderr" if frame.kind == STDERR else "stdout"] += piece
    finally:
        feeding.cancel()
        await asyncio.gather(feeding, return_exceptions=True)


async def _feed(channel: Channel, stdin: bytes) -> None:
    with contextlib.suppress(Broken):  # told by whoever reads
        await channel.send(stdin)
        await channel.close_input()
