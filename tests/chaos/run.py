"""One run: clients at work, a storm, calm, and the verdict."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import requests
import sqlalchemy as sa
from docker.errors import DockerException
from tests.chaos.clients import Api, Client
from tests.chaos.storm import Storm, Target
from tests.support.gather import snapshot
from tests.support.verdict import Snapshot, complaints

#: Seconds in which everything must have come to rest once all is healed. Nothing is asserted of how long it took.
PATIENCE = 180.0
_LOOK_SECONDS = 1.0
_PAGE = 1000
#: Targets whose loss ends containers.
_ENDING = ("engine-", "containerd-", "power-")


@dataclass(frozen=True, kw_only=True)
class Site:
    """What chaos is brought over. `headers` says who a client is; `harmed` which hosts' containers a blow may end."""

    apis: Sequence[str]  # up to and with /v1
    headers: Callable[[int], Callable[[], Mapping[str, str]]]
    admin: Callable[[], Mapping[str, str]]
    database: str
    engines: Mapping[str, str]
    files: Mapping[str, Path]
    targets: Sequence[Target]
    ready: Callable[[], str | None]  # None, or what does not work yet
    tend: Callable[[Collection[str]], None]  # starts what ended by itself; never what is struck
    clients: int = 6


@dataclass
class Report:
    """What came of it. `wrong` is empty when every promise was kept."""

    seed: int
    wrong: list[str] = field(default_factory=list)
    accepted: int = 0
    unanswered: int = 0
    blows: list[str] = field(default_factory=list)
    seen: Snapshot = field(default_factory=Snapshot)

    def __str__(self) -> str:
        head = (
            f"seed {self.seed}: {len(self.blows)} blows, {self.accepted} requests accepted, "
            f"{self.unanswered} without an answer, {len(self.seen.rows)} containers in the end"
        )
        return "\n".join(
            [head, *(f"  {blow}" for blow in self.blows), *(f"! {w}" for w in self.wrong)]
        )


def chaos(site: Site, seed: int, seconds: float) -> Report:
    """Breaks things for `seconds`, heals all, waits for rest and judges."""
    stopping = threading.Event()
    clients = [
        Client(n, Api(site.apis, site.headers(n)), seed * 1000 + n, stopping)
        for n in range(site.clients)
    ]
    storm = Storm(seed, site.targets, site.tend, stopping)
    for client in clients:
        client.thread.start()
    timer = threading.Timer(seconds, stopping.set)
    timer.start()
    try:
        storm.blow()
    finally:
        stopping.set()
        timer.cancel()
        for client in clients:
            client.thread.join()
    promises = [promise for client in clients for promise in client.promises]
    report = Report(
        seed=seed,
        wrong=sorted({line for client in clients for line in client.wrong}),
        accepted=sum(promise.accepted for promise in promises),
        unanswered=sum(promise.status is None for promise in promises),
        blows=[str(blow) for blow in storm.struck],
    )
    # An engine that begins again ends what it finds running: that is no promise of ours that was broken.
    disturbed = frozenset(
        blow.target.partition("-")[2]
        for blow in storm.struck
        if blow.target.startswith(_ENDING) and blow.way != "pause"
    )
    report.seen, found = at_rest(site, lambda seen: complaints(seen, promises), disturbed)
    report.wrong += found
    return report


def at_rest(
    site: Site, judge: Callable[[Snapshot], list[str]], disturbed: frozenset[str] = frozenset()
) -> tuple[Snapshot, list[str]]:
    """The snapshot once nothing is complained of, or the last one in time with what was."""
    # An engine of our own, with nothing that would try again: the test does that.
    db = sa.create_engine(site.database, pool_pre_ping=True)
    end = time.monotonic() + PATIENCE
    seen, found = Snapshot(), ["nothing was ever seen"]
    try:
        while True:
            try:
                unready = site.ready()
                seen = look(site, db, disturbed)
                found = [unready] if unready else judge(seen)
            except (
                OSError,
                DockerException,
                requests.RequestException,
                sa.exc.SQLAlchemyError,
            ) as error:
                found = [f"not at rest: {error!r}"]
            if not found or time.monotonic() > end:
                return seen, found
            time.sleep(_LOOK_SECONDS)
    finally:
        db.dispose()


def look(site: Site, db: sa.Engine, disturbed: frozenset[str] = frozenset()) -> Snapshot:
    """One snapshot. Raises as `snapshot` and `listed`."""
    return snapshot(db, site.engines, site.files, listed(site), disturbed)


def listed(site: Site) -> Mapping[str, str]:
    """All containers and capsules by the API, as the administrator. Raises OSError: no answer, or not this one."""
    found: dict[str, str] = {}
    for what in ("containers", "capsules"):
        answer = Api(site.apis, site.admin).ask("GET", f"/{what}?all_projects=1&limit={_PAGE}")
        if answer.status != 200:
            raise OSError(f"the list of {what} was answered with {answer.status}: {answer.body}")
        found |= {each["uuid"]: each["status"] for each in answer.body[what]}
    return found
