"""The long-lived answers: events, waiting for a status, followed logs, long commands."""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Protocol

from zun.bus import Refused
from zun.model.container import Container
from zun.model.lifecycle import Status
from zun.model.operation import EventKind
from zun.service.errors import NotFound, Unavailable
from zun.service.later import Ticket
from zun.service.questions import refusal
from zun.store import containers, events
from zun.store.database import Database
from zun.streams import told as wires
from zun.streams.exchange import Exchange
from zun.streams.hub import Ended, Hub, Interest

#: Seconds between signs of life on an event stream, so that no proxy takes it for dead.
_ALIVE = 15.0


class LogSource(Protocol):
    """A log that is being followed. `read` waits for the next piece and is b"" at the end; it raises Refused. `end`
    makes a waiting `read` return; from any thread."""

    def read(self) -> bytes: ...
    def end(self) -> None: ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Sources:
    """What hosts give. Both block; both raise Refused.

    follow: (host, arguments of the question `logs`) -> the log.
    execute: (host, arguments of the question `execute`, seconds, cancel) -> its answer; once `cancel` is set the
        command is killed.
    """

    follow: Callable[[str, Mapping[str, Any]], LogSource]
    execute: Callable[[str, Mapping[str, Any], float, Cancel], Mapping[str, Any]]


class Cancel:
    """Says that nobody waits any more, once, from any thread; what listens is called at once."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._set = False
        self._calls: list[Callable[[], None]] = []

    def is_set(self) -> bool:
        """Whether nobody waits."""
        return self._set

    def set(self) -> None:
        """Nobody waits any more."""
        with self._lock:
            self._set = True
            calls, self._calls = self._calls, []
        for call in calls:
            call()

    def listen(self, call: Callable[[], None]) -> None:
        """Has `call` called once nobody waits."""
        with self._lock:
            if not self._set:
                self._calls.append(call)
                return
        call()


@dataclass(frozen=True, slots=True, kw_only=True)
class Render:
    """How answers look: the API's business.

    container: (row, the ticket's `view`) -> JSON. executed: (what the host answered, the ticket's content) -> JSON.
    """

    container: Callable[[Container, Mapping[str, Any]], bytes]
    executed: Callable[[Mapping[str, Any], Mapping[str, Any]], bytes]


class Handlers:
    """See the module. Each is called with the ticket its request came with."""

    def __init__(
        self, db: Database, hub: Hub, sources: Sources, render: Render, blocking: int
    ) -> None:
        """`blocking`: how many logs and commands at once; each holds a thread, for engines are read by blocking."""
        self._db = db
        self._hub = hub
        self._sources = sources
        self._render = render
        self._limit = blocking
        self._blocked = 0
        self._threads = ThreadPoolExecutor(blocking, thread_name_prefix="stream-host")
        self._endings: set[Callable[[], None]] = set()
        self._rows: dict[tuple[str, int], asyncio.Task[Container | None]] = {}

    def end(self) -> None:
        """Has all that waits for a host end; in the loop."""
        for ending in list(self._endings):
            ending()
        self._threads.shutdown(wait=False, cancel_futures=True)

    # ---- events

    async def events(self, exchange: Exchange, ticket: Ticket, headers: Mapping[str, str]) -> None:
        """Server-sent events from the ticket's cursor on, by default from now on."""
        content = ticket.content
        interest = Interest(
            project_id=None if content["all_projects"] else ticket.project_id,
            container_uuid=content["container"],
            kinds=frozenset(EventKind(kind) for kind in content["kinds"]),
        )
        reasons: bool = content["reasons"]
        streamed = {"content-type": "text/event-stream", "cache-control": "no-store"}
        with self._hub.subscribe(interest, content["cursor"]) as mine:
            await exchange.start(200, {**headers, **streamed, "x-accel-buffering": "no"})
            await exchange.write(wires.cursor_wire(mine.cursor))
            try:
                while True:
                    found = await mine.next(_ALIVE)
                    body = b"".join(told.wire(reasons=reasons) for told in found)
                    await exchange.write(body or wires.ALIVE)
            except Ended:
                await exchange.write(wires.END)
        await exchange.end()

    # ---- waiting for a status

    async def wait(self, exchange: Exchange, ticket: Ticket, headers: Mapping[str, str]) -> None:
        """The container once it has, or had, one of the statuses, or once the time is over."""
        content = ticket.content
        uuid, wanted = content["container"], frozenset(content["wanted"])
        met: str | None = None
        with self._hub.subscribe(Interest(container_uuid=uuid)) as mine:
            begun = self._hub.position
            row = await self._row(uuid)
            if row is not None:
                met = row.status if row.status in wanted else None
                met = met or await self._hub.in_thread(
                    self._passed, uuid, wanted, content["mark"], begun
                )
            until = asyncio.get_running_loop().time() + content["timeout"]
            while met is None and row is not None:
                left = until - asyncio.get_running_loop().time()
                try:
                    found = await mine.next(left) if left > 0 else ()
                except Ended:
                    raise Unavailable("The service stops; ask again.") from None
                if not found:
                    break
                said = [told.status for told in found]
                met = next((status for status in said if status in wanted), None)
                if Status.DELETED in said:
                    break
        row = await self._row(uuid)
        if row is None:
            raise NotFound(f"There is no container {uuid} any more.")
        named = {} if met is None else {"zun-waited-for": met}
        await exchange.answer(
            200, self._render.container(row, content["view"]), {**headers, **named}
        )

    async def _row(self, uuid: str) -> Container | None:
        """The row, not older than what the hub has told; read once for all who ask at the same moment."""
        key = (uuid, self._hub.position)
        reading = self._rows.get(key)
        if reading is None:
            reading = asyncio.create_task(self._hub.in_thread(self._read_row, uuid))
            self._rows[key] = reading
            reading.add_done_callback(lambda _: self._rows.pop(key, None))
        return await asyncio.shield(reading)

    def _read_row(self, uuid: str) -> Container | None:
        with self._db.read() as conn:
            return containers.get(conn, uuid)

    def _passed(self, uuid: str, wanted: frozenset[str], mark: int, until: int) -> str | None:
        """A status it had for a moment after the API looked and before this began to follow."""
        with self._db.read() as conn:
            between = events.after(conn, mark, 100, until=until, container_uuid=uuid)
        said = (wires.Told(event).status for event in between)
        return next((status for status in said if status in wanted), None)

    # ---- what hosts give

    @contextlib.contextmanager
    def _holding(self, ending: Callable[[], None]) -> Iterator[None]:
        self._endings.add(ending)
        try:
            yield
        finally:
            self._endings.discard(ending)

    @contextlib.contextmanager
    def _thread(self) -> Iterator[None]:
        if self._blocked >= self._limit:
            raise Unavailable(f"{self._limit} logs and commands are followed already; ask later.")
        self._blocked += 1
        try:
            yield
        finally:
            self._blocked -= 1

    async def logs(self, exchange: Exchange, ticket: Ticket, headers: Mapping[str, str]) -> None:
        """The log as it is written, until the container ends. Broken off, not ended, where it could not go on."""
        loop, content = asyncio.get_running_loop(), ticket.content
        with self._thread():
            opening = loop.run_in_executor(
                self._threads, self._sources.follow, content["host"], content["arguments"]
            )
            try:
                source = await asyncio.shield(opening)
            except Refused as exc:
                raise refusal(exc) from exc
            except asyncio.CancelledError:
                opening.add_done_callback(_end_opened)
                raise
            with self._holding(source.end):
                try:
                    plain = {
                        "content-type": "application/octet-stream",
                        "cache-control": "no-store",
                    }
                    await exchange.start(200, {**headers, **plain, "x-accel-buffering": "no"})
                    while piece := await loop.run_in_executor(self._threads, source.read):
                        await exchange.write(piece)
                finally:
                    source.end()
            self._hub.check()  # stopped, not ended: then the answer is not whole
            await exchange.end()

    async def execute(self, exchange: Exchange, ticket: Ticket, headers: Mapping[str, str]) -> None:
        """Runs a command and waits for it. It is killed when its time is over and, unless the client said
        otherwise, when the client leaves."""
        content, cancel = ticket.content, Cancel()
        with self._thread(), self._holding(cancel.set):
            running = asyncio.get_running_loop().run_in_executor(
                self._threads,
                self._sources.execute,
                content["host"],
                content["arguments"],
                content["seconds"],
                cancel,
            )
            try:
                answer = await asyncio.shield(running)
            except Refused as exc:
                if cancel.is_set():
                    raise Unavailable("The service stops; the command was killed.") from exc
                raise refusal(exc) from exc
            except asyncio.CancelledError:
                if content["kill_on_close"]:
                    cancel.set()
                # The thread is not free until the command is.
                with contextlib.suppress(Refused, asyncio.CancelledError):
                    await asyncio.shield(running)
                raise
        await exchange.answer(200, self._render.executed(answer, content), headers)


def _end_opened(opening: asyncio.Future[LogSource]) -> None:
    if not opening.cancelled() and opening.exception() is None:
        opening.result().end()
