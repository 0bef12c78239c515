"""Benchmarks 1 and 2: containers one after the other, and sixty at once."""

from __future__ import annotations

import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass, field

from tests.support.service import Service

from bench.figures import Report, Row, Sample, paired
from bench.house import Api, Ear, Hand, by_hand, engine, running, say
from zun.model.names import LABEL_UUID, runtime_name

CLIENTS = 8


@dataclass(slots=True)
class Turns:
    """Milliseconds of creates, ours and by hand."""

    ours: list[float] = field(default_factory=list)
    accepted: list[float] = field(default_factory=list)
    started: list[float] = field(default_factory=list)
    floor: list[float] = field(default_factory=list)
    floor_started: list[float] = field(default_factory=list)

    def by_hand(self, hand: Hand, ear: Ear) -> str:
        """One by hand; its name."""
        wall = time.time()
        name, seconds = hand.create()
        self.floor.append(seconds * 1000)
        self.floor_started.append((ear.of(name)[0] - wall) * 1000)
        return name

    def by_service(self, api: Api, ear: Ear) -> str:
        """One by the service; its uuid."""
        wall, begun = time.time(), time.perf_counter()
        uuid = api.create()
        self.accepted.append((time.perf_counter() - begun) * 1000)
        api.until(uuid, "Running")
        self.ours.append((time.perf_counter() - begun) * 1000)
        self.started.append((ear.of(uuid)[0] - wall) * 1000)
        return uuid


def sequential(report: Report, quick: bool) -> None:
    """Create to Running, the image being there, one after the other, in turns with the same calls by hand."""
    rounds = 6 if quick else 40
    turns = Turns()
    with by_hand() as hand, running() as service, closing(Ear("start")) as ear:
        api = Api(service)
        anchor = (
            api.create()
        )  # keeps the project's network standing, as a user's other containers do
        api.until(anchor, "Running")
        keep, _ = hand.create()
        _same_wish(hand, runtime_name(anchor), keep)
        for number in range(rounds):
            # Who comes second finds a machine that still tidies up after the first: they take turns in that too.
            if number % 2:
                name = turns.by_hand(hand, ear)
                uuid = turns.by_service(api, ear)
            else:
                uuid = turns.by_service(api, ear)
                name = turns.by_hand(hand, ear)
            api.remove(uuid)
            hand.remove(name)
            say(
                f"  create {number + 1}/{rounds}: {turns.ours[-1]:.0f} ms, by hand {turns.floor[-1]:.0f} ms"
            )
    report.rows += [
        paired(
            "create -> Running seen by polling", Sample(values=turns.ours), Sample(values=turns.floor), at_most=1.25
        ),
        paired(
            "create -> started by the engine", Sample(values=turns.started), Sample(values=turns.floor_started)
        ),
        Row(name="create -> 202", ours=Sample(values=turns.accepted).text),
    ]  # fmt: skip


def _same_wish(hand: Hand, ours: str, theirs: str) -> None:
    """Makes sure that both sides ask the engine for the same."""

    def wish(name: str) -> dict[str, object]:
        config = dict(hand.inspect(name)["HostConfig"])
        config.pop("NetworkMode")
        return config

    if wish(ours) != wish(theirs):
        raise RuntimeError(f"not the same host config: {wish(ours)} and {wish(theirs)}")


def burst(report: Report, quick: bool) -> None:
    """Many creates through eight clients, until all run; by hand at the best of three concurrencies.

    Which is best is found first; only that one takes turns with the service, else the luckiest moment were the floor.
    """
    count, rounds = (16, 1) if quick else (60, 4)
    ours: list[float] = []
    floor: list[float] = []
    tried: dict[int, float] = {}
    with by_hand() as hand, running() as service:
        api = Api(service)
        anchor = api.create()
        api.until(anchor, "Running")
        hand.create()
        for conc in (2, 4, 8):
            tried[conc] = _burst_by_hand(hand, count, conc)
            say(f"  burst of {count} by hand, {conc} at once: {tried[conc]:.2f} s")
        best = min(tried, key=tried.__getitem__)
        for number in range(rounds):
            if number % 2:
                floor.append(_burst_by_hand(hand, count, best))
                ours.append(_burst(service, api, count))
            else:
                ours.append(_burst(service, api, count))
                floor.append(_burst_by_hand(hand, count, best))
            say(f"  burst {number + 1}/{rounds}: {ours[-1]:.2f} s, by hand {floor[-1]:.2f} s")
    report.rows.append(
        paired(
            f"burst of {count} creates, {CLIENTS} clients (by hand: {best} at once)",
            Sample(values=ours, unit="s"),
            Sample(values=floor, unit="s"),
            at_most=1.2,
        )
    )
    each = ", ".join(f"{conc} at once {seconds:.1f} s" for conc, seconds in tried.items())
    report.notes.append(
        f"burst: all {count} Running in each of {rounds} rounds, none twice. By hand, to find the best: {each}."
    )


def _burst_by_hand(hand: Hand, count: int, conc: int) -> float:
    with ThreadPoolExecutor(conc) as pool:
        begun = time.perf_counter()
        names = [name for name, _ in pool.map(lambda _: hand.create(), range(count))]
        seconds = time.perf_counter() - begun
    with ThreadPoolExecutor(4) as pool:
        list(pool.map(hand.remove, names))
    return seconds


def _burst(service: Service, api: Api, count: int) -> float:
    clients = [Api(service) for _ in range(CLIENTS)]
    shares = [count // CLIENTS + (n < count % CLIENTS) for n in range(CLIENTS)]

    def work(client: Api, share: int) -> list[str]:
        return [client.create() for _ in range(share)]

    with ThreadPoolExecutor(CLIENTS) as pool:
        begun = time.perf_counter()
        asked = {uuid for made in pool.map(work, clients, shares) for uuid in made}
        while True:
            rows = api.ask("GET", "/v1/containers?limit=1000")["containers"]
            statuses = Counter(row["status"] for row in rows if row["uuid"] in asked)
            if statuses["Error"]:
                raise RuntimeError(f"burst: {statuses}")
            if statuses["Running"] == count:
                break
            time.sleep(0.05)
        seconds = time.perf_counter() - begun
    _none_twice(asked)
    remove_all(clients, sorted(asked))
    return seconds


def remove_all(clients: list[Api], uuids: list[str]) -> None:
    """Deletes containers through several clients at once."""

    def work(number: int) -> None:
        for uuid in uuids[number :: len(clients)]:
            clients[number].remove(uuid)

    with ThreadPoolExecutor(len(clients)) as pool:
        list(pool.map(work, range(len(clients))))


def _none_twice(asked: set[str]) -> None:
    client = engine()
    found = Counter(
        row["Labels"][LABEL_UUID] for row in client.containers(filters={"label": LABEL_UUID})
    )
    client.close()
    wrong = {uuid: found[uuid] for uuid in asked if found[uuid] != 1}
    if wrong:
        raise RuntimeError(f"burst: not exactly once on the engine: {wrong}")
