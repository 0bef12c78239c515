"""One reader of the events for all who follow them in this process.

It is woken after each commit that adds events, and looks by itself every few seconds, for a wake-up may be lost; what
it tells is what it read from the table, in the order of the ids. The newest events stay in memory; who lags behind
them reads the table by its own cursor, so that a slow client costs nothing here.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from bisect import bisect_right
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from typing import TypeVar

from zun.model.operation import Event, EventKind
from zun.store import events
from zun.store.database import LONGEST_WRITE, Database
from zun.streams.metrics import StreamMetrics
from zun.streams.sequence import Ordered
from zun.streams.told import Told
from zun.work.clock import Clock

LOG = logging.getLogger(__name__)

T = TypeVar("T")

_PAGE = 500  # events read at once
_BATCH = 100  # events handed to one follower at once
_RING = 2048  # events kept in memory, at least
_HOLD = 0.05  # seconds between looks at a hole
#: How far back a beginning reader looks for holes that are still to be filled.
_OVERLAP = 1000


class Ended(Exception):
    """The service stops; there will be no more."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interest:
    """Which events somebody follows; None and empty mean all."""

    project_id: str | None = None
    container_uuid: str | None = None
    kinds: frozenset[EventKind] = frozenset()

    @property
    def key(self) -> tuple[str, str]:
        """What wakes the follower: events of one container, of one project, or any."""
        if self.container_uuid is not None:
            return "container", self.container_uuid
        return ("all", "") if self.project_id is None else ("project", self.project_id)

    def wants(self, event: Event) -> bool:
        """Whether it is one of them."""
        return (
            (self.project_id is None or event.project_id == self.project_id)
            and (self.container_uuid is None or event.container_uuid == self.container_uuid)
            and (not self.kinds or event.kind in self.kinds)
        )


class Subscription:
    """Somebody who follows from `cursor` on. Used in the loop of the hub alone."""

    def __init__(self, hub: Hub, interest: Interest, cursor: int) -> None:
        self.interest = interest
        self.cursor = cursor
        self.fresh = asyncio.Event()
        self._hub = hub

    async def next(self, seconds: float) -> Sequence[Told]:
        """The next events, in order, a bounded number of them; none if none came in time. Raises Ended."""
        until = asyncio.get_running_loop().time() + seconds
        while True:
            self._hub.check()
            self.fresh.clear()
            found = await self._hub.collect(self)
            if found:
                return found
            if self.cursor < self._hub.position:
                continue
            left = until - asyncio.get_running_loop().time()
            try:
                async with asyncio.timeout(max(left, 0)):
                    await self.fresh.wait()
            except TimeoutError:
                return ()


class Hub:
    """See the module. `wake` may be called from any thread, all else in the loop that runs `run`."""

    def __init__(
        self,
        db: Database,
        threads: Executor,
        metrics: StreamMetrics,
        clock: Clock,
        *,
        poll: float = 2.0,
        patience: float | None = None,
    ) -> None:
        """`poll`: seconds between looks nobody asked for. `patience`: see `sequence`; SQLite needs none."""
        self._db = db
        self._threads = threads
        self._metrics = metrics
        self._clock = clock
        self._poll = poll
        self._patience = 3 * LONGEST_WRITE if patience is None else patience
        if patience is None and db.is_sqlite:
            self._patience = 0.0  # one writer at a time: ids are given and committed in one order
        self._ordered = Ordered(0, self._patience)
        self._ring: list[Told] = []
        self._floor = 0  # the ring holds everything after this
        self._groups: defaultdict[tuple[str, str], set[Subscription]] = defaultdict(set)
        self._wake = asyncio.Event()
        self._woken = False
        self._loop: asyncio.AbstractEventLoop | None = None
        self._ended = False

    @property
    def position(self) -> int:
        """Everything up to this id is in the table for good, and has been handed out."""
        return self._ordered.position

    @property
    def followers(self) -> int:
        """How many follow."""
        return sum(len(group) for group in self._groups.values())

    # ---- the reader

    def wake(self) -> None:
        """Has the reader look now; from any thread."""
        loop = self._loop
        if loop is None or self._woken:
            return
        self._woken = True
        with contextlib.suppress(RuntimeError):  # the loop has just been closed
            loop.call_soon_threadsafe(self._wake.set)

    async def begin(self) -> None:
        """Finds where the events are now."""
        self._loop = asyncio.get_running_loop()
        start = await self.in_thread(self._start)
        self._ordered = Ordered(start, self._patience)
        self._floor = start
        while await self._advance():
            pass

    def _start(self) -> int:
        with self._db.read() as conn:
            newest, oldest = events.newest(conn), events.oldest(conn)
        return max(newest - _OVERLAP, oldest - 1, 0)

    async def run(self) -> None:
        """Reads until `end`."""
        while not self._ended:
            more = False
            try:
                self._wake.clear()
                self._woken = False
                more = await self._advance()
            except Exception:
                LOG.exception("the events can't be read; trying again")
            if not more:
                with contextlib.suppress(TimeoutError):
                    async with asyncio.timeout(_HOLD if self._ordered.holding else self._poll):
                        await self._wake.wait()

    async def _advance(self) -> bool:
        """Reads what is new; whether there is more to read at once."""
        found = await self.in_thread(self._read, self.position)
        self._metrics.reads.inc()
        accepted = self._ordered.accept([event.id for event in found])
        if not accepted:
            return False
        fresh = [Told(event) for event in found[:accepted]]
        self._ring += fresh
        if len(self._ring) > 2 * _RING:
            self._floor = self._ring[-_RING - 1].event.id
            del self._ring[:-_RING]
        self._awaken(fresh)
        return len(found) == _PAGE and accepted == _PAGE

    def _read(self, cursor: int) -> Sequence[Event]:
        with self._db.read() as conn:
            return events.after(conn, cursor, _PAGE)

    def _awaken(self, fresh: Iterable[Told]) -> None:
        now = self._clock()
        keys = {("all", "")}
        for told in fresh:
            keys.add(("container", told.event.container_uuid))
            keys.add(("project", told.event.project_id))
            self._metrics.lag.observe(max(0.0, (now - told.event.created_at).total_seconds()))
        for key in keys & self._groups.keys():
            for subscription in self._groups[key]:
                subscription.fresh.set()

    # ---- the followers

    @contextlib.contextmanager
    def subscribe(self, interest: Interest, cursor: int | None = None) -> Iterator[Subscription]:
        """Follows from `cursor` on, by default from now on, until the block ends."""
        subscription = Subscription(self, interest, self.position if cursor is None else cursor)
        group = self._groups[interest.key]
        group.add(subscription)
        try:
            yield subscription
        finally:
            group.discard(subscription)
            if not group:
                self._groups.pop(interest.key, None)

    async def collect(self, subscription: Subscription) -> Sequence[Told]:
        """What a follower has not been handed yet; moves its cursor."""
        if subscription.cursor >= self.position:
            return ()
        if subscription.cursor < self._floor:
            return await self._page(subscription)
        found: list[Told] = []
        index = bisect_right(self._ring, subscription.cursor, key=lambda told: told.event.id)
        while index < len(self._ring) and len(found) < _BATCH:
            told = self._ring[index]
            subscription.cursor = told.event.id
            if subscription.interest.wants(told.event):
                found.append(told)
            index += 1
        return found

    async def _page(self, subscription: Subscription) -> Sequence[Told]:
        """From the table, for whoever is further behind than the ring reaches."""
        interest, until = subscription.interest, self.position

        def read() -> Sequence[Event]:
            with self._db.read() as conn:
                return events.after(
                    conn,
                    subscription.cursor,
                    _BATCH,
                    until=until,
                    project_id=interest.project_id,
                    container_uuid=interest.container_uuid,
                    kinds=interest.kinds,
                )

        found = await self.in_thread(read)
        subscription.cursor = found[-1].id if len(found) == _BATCH else until
        return [Told(event) for event in found]

    def check(self) -> None:
        """Raises Ended once the service stops."""
        if self._ended:
            raise Ended

    def end(self) -> None:
        """Ends the reader and wakes all followers, who see `Ended`."""
        self._ended = True
        self._wake.set()
        for group in self._groups.values():
            for subscription in group:
                subscription.fresh.set()

    async def in_thread(self, work: Callable[..., T], *args: object) -> T:
        """Runs what blocks for a moment - a query - in one of few threads."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, work, *args)
