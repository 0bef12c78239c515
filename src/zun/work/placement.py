"""Placing at work: a copy of the hosts to choose from, and the claim that decides.

The copy may be old. That costs a claim that is refused, never a wrong one: the claim is a conditional update, and
before anybody is told that no host fits, the copy is brought up to date.
"""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from sqlalchemy.engine import Connection

from zun.drivers.errors import Rejected, Unavailable
from zun.model.host import Claim, Host, Life
from zun.store import claims, hosts, images, standing
from zun.work.metrics import WorkMetrics
from zun.work.scheduler import Choice, PlaceRequest, SchedulerSettings, World, choose
from zun.work.scheduler.cpus import pick

#: Claims tried of one choice. More are refused only where others take all at the same moment.
_TRIES = 32


@dataclass(frozen=True, slots=True)
class _Copy:
    """The hosts as they were at `taken` (monotonic), when it was `at` for the database, by name.

    beats: what each one's last beat told, `counts`: its how manieth it was. order: their names, shuffled, so that
    conductors do not run after the same host. having: by image, which have it.
    """

    taken: float = -1e9
    at: datetime = datetime.min
    hosts: dict[str, Host] = field(default_factory=dict)
    beats: Mapping[str, Life] = field(default_factory=dict)
    counts: Mapping[str, int] = field(default_factory=dict)
    order: Sequence[str] = ()
    having: dict[str, frozenset[str]] = field(default_factory=dict)

    def some(self, number: int) -> Sequence[Host]:
        """So many hosts from a random place of the order on; all where there are no more."""
        if len(self.order) <= number:
            return list(self.hosts.values())
        start = random.randrange(len(self.order))
        names = self.order[start : start + number]
        return [self.hosts[name] for name in (*names, *self.order[: number - len(names)])]


class NoneFits(Rejected):
    """No host fits; `choice` says why."""

    def __init__(self, choice: Choice) -> None:
        self.choice = choice
        super().__init__(f"There are not enough hosts available ({choice.explain()}).")


class Placement:
    """Of one process; safe from several threads. `fresh_for`: seconds for which a copy is good enough to start with."""

    def __init__(
        self,
        settings: SchedulerSettings,
        down_after: timedelta,
        metrics: WorkMetrics | None = None,
        fresh_for: float = 2.0,
    ) -> None:
        self._settings = settings
        self._down_after = down_after
        self._metrics = metrics
        self._fresh_for = fresh_for
        self._lock = threading.Lock()
        self._reading = threading.Lock()
        self._copy = _Copy()

    # ---- choosing and claiming

    def take(
        self,
        conn: Connection,
        request: PlaceRequest,
        wanted: Callable[[Host], Claim],
        local: datetime,
        *,
        first: bool = False,
    ) -> tuple[Host, Claim]:
        """Claims resources of the best host that fits; it and the claim. `wanted`: what would be claimed of a host.
        `first`: this transaction has looked, and there is no claim yet.

        Raises NoneFits with what each filter said, Unavailable where others are faster all the time.
        """
        began = time.monotonic()
        now = self._now(conn, self._refreshed(conn, began - self._fresh_for, local), local)
        refused: dict[str, int] = {}  # by which revision of each
        for choice in self._choices(conn, request, now, began, local):
            for host in choice.hosts[:_TRIES]:
                if refused.get(host.hostname) == host.revision:
                    continue
                claim = self._claim(conn, host, request, wanted, now, first)
                if claim is not None:
                    return host, claim
                refused[host.hostname] = host.revision
        self._count(choice)
        if choice.hosts:
            raise Unavailable("The hosts that fit are taken by others at this moment.")
        raise NoneFits(choice)

    def warm(self, conn: Connection, local: datetime) -> None:
        """Reads the hosts where it has not, so that the first who is placed need not wait for that."""
        self._refreshed(conn, time.monotonic() - self._fresh_for, local)

    def could(self, conn: Connection, request: PlaceRequest, local: datetime) -> Choice:
        """What would be chosen now; nothing is claimed."""
        copy = self._refreshed(conn, time.monotonic(), local)
        now = self._now(conn, copy, local)
        return self._choose(conn, copy, request, list(copy.hosts.values()), now)

    def _choices(
        self, conn: Connection, request: PlaceRequest, now: datetime, began: float, local: datetime
    ) -> Iterator[Choice]:
        """Of a few hosts, of all, of all as they are now: each only where the one before gave none."""
        copy = self._refreshed(conn, began - self._fresh_for, local)
        few = self._few(copy, request)
        if len(few) < len(copy.hosts):
            yield self._choose(conn, copy, request, few, now)
        yield self._choose(conn, copy, request, list(copy.hosts.values()), now)
        copy = self._refreshed(conn, began, local)
        yield self._choose(conn, copy, request, list(copy.hosts.values()), now)

    def _few(self, copy: _Copy, request: PlaceRequest) -> Sequence[Host]:
        near = request.neighbours.near
        names = {request.host} if request.host is not None else near
        if names is not None:
            return [copy.hosts[name] for name in names if name in copy.hosts]
        return copy.some(self._settings.sample)

    def _choose(
        self,
        conn: Connection,
        copy: _Copy,
        request: PlaceRequest,
        among: Sequence[Host],
        now: datetime,
    ) -> Choice:
        having: frozenset[str] = frozenset()
        if request.image and self._settings.image_weight:
            if request.image not in copy.having:
                copy.having[request.image] = images.hosts_with(conn, request.image)
            having = copy.having[request.image]
        world = World(
            now=now, down_after=self._down_after, settings=self._settings, beats=copy.beats,
            having=having,
        )  # fmt: skip
        return choose(request, among, world)

    def _claim(
        self,
        conn: Connection,
        host: Host,
        request: PlaceRequest,
        wanted: Callable[[Host], Claim],
        now: datetime,
        first: bool,
    ) -> Claim | None:
        claim = wanted(host)
        if request.cpu_policy == "dedicated":
            cpuset = pick(round(request.cpu), host.free_cpus, host.inventory.numa)
            if cpuset is None:
                return None
            claim = replace(claim, cpuset=list(cpuset))
        taken = claims.claim(
            conn,
            claim,
            seen_after=now - self._down_after,
            pinned=list(host.pinned or ()),
            first=first,
        )
        self._remember(host, claim if taken else None)
        return claim if taken else None

    def _count(self, choice: Choice) -> None:
        if self._metrics is not None:
            for words, number in choice.rejected.items():
                self._metrics.rejections.labels(words).inc(number)

    # ---- the copy

    def _remember(self, host: Host, claim: Claim | None) -> None:
        """What was claimed here shows at once; with the next copy the row is read again.

        Also where the claim succeeded: its transaction may yet be rolled back, and another's bring the row to the
        revision that we would have thought to be ours.
        """
        if claim is None:
            changed = replace(host, revision=-1)
        else:
            pinned = sorted({*(host.pinned or ()), *(claim.cpuset or ())})
            changed = replace(
                host,
                cpu_used=host.cpu_used + claim.cpu,
                mem_used=host.mem_used + claim.memory,
                disk_used=host.disk_used + claim.disk,
                total_containers=host.total_containers + 1,
                pinned=pinned or None,
                cpus_pinned=len(pinned),
                revision=-1,
            )
        with self._lock:
            if host.hostname in self._copy.hosts:
                self._copy.hosts[host.hostname] = changed

    def _refreshed(self, conn: Connection, not_before: float, local: datetime) -> _Copy:
        """A copy taken at `not_before` (monotonic) or later; while another thread takes one, one as old again will do.

        Who waited here would hold the rows of a container and a host meanwhile.
        """
        copy = self._copy
        if copy.taken >= not_before:
            return copy
        old = (
            copy.taken >= not_before - self._fresh_for
            and not_before < time.monotonic() - self._fresh_for / 2
        )
        if not self._reading.acquire(blocking=not old):
            return copy
        try:
            if self._copy.taken < not_before:
                fresh = _read(conn, self._copy, local)
                with self._lock:
                    self._copy = fresh
            return self._copy
        finally:
            self._reading.release()

    @staticmethod
    def _now(conn: Connection, copy: _Copy, local: datetime) -> datetime:
        """What time it is for the database, by what it said when the copy was taken."""
        if standing.is_local(conn):
            return local
        return copy.at + timedelta(seconds=time.monotonic() - copy.taken)


def _read(conn: Connection, old: _Copy, local: datetime) -> _Copy:
    """The hosts as they are now; only the rows that have changed since are read."""
    taken, at = time.monotonic(), standing.now(conn, local)
    known = {host.id: host for host in list(old.hosts.values())}
    revisions = hosts.revisions(conn)
    stale = [
        ident
        for ident, revision in revisions
        if ident not in known or known[ident].revision != revision
    ]
    fresh = {host.id: host for host in hosts.by_ids(conn, stale)}
    there = (fresh.get(ident) or known.get(ident) for ident, _ in revisions)
    by_name = {host.hostname: host for host in there if host is not None}
    order = old.order
    if by_name.keys() != old.hosts.keys():
        order = random.sample(list(by_name), len(by_name))
    counts = hosts.beat_counts(conn)
    heard = [name for name, count in counts.items() if old.counts.get(name) != count]
    beats = {name: life for name, life in old.beats.items() if name in counts}
    beats |= {
        host.hostname: Life(host.last_seen_up, host.lease_until, host.io_load)
        for host in fresh.values()
    }
    beats |= hosts.signs_of_life(conn, heard)
    return _Copy(taken, at, by_name, beats, counts, order)
