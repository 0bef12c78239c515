"""A storm can be had again, spares no kind of target, and leaves nothing broken."""

from __future__ import annotations

import threading
from typing import Any

from tests.chaos.storm import Storm, blows


class _Thing:
    def __init__(self, name: str, *ways: str) -> None:
        self.name, self.ways = name, ways
        self.broken = self.healed = 0

    def harm(self, way: str) -> None:
        self.broken += 1

    def heal(self) -> None:
        self.healed += 1


THINGS = [_Thing(f"{kind}-{n}", "kill", "pause") for kind in ("api", "engine") for n in (1, 2)]
THINGS.append(_Thing("mariadb", "kill"))


def test_the_same_seed_gives_the_same_blows_and_each_kind_comes() -> None:
    first, again, other = (blows(seed, THINGS) for seed in (1, 1, 2))
    drawn = [first() for _ in range(30)]
    assert [again() for _ in range(30)] == drawn
    assert [other() for _ in range(30)] != drawn
    for at in range(0, 30, 3):
        kinds = {blow.target.split("-")[0] for blow in drawn[at : at + 3]}
        assert kinds == {"api", "engine", "mariadb"}


def test_after_a_storm_everything_was_healed() -> None:
    stopping = threading.Event()
    things = [_Thing(f"thing-{n}", "kill") for n in range(3)]
    tended: list[frozenset[str]] = []

    def tend(struck: Any) -> None:
        tended.append(frozenset(struck))
        if len(tended) > 3:
            stopping.set()

    Storm(1, things, tend, stopping, pace=0.01).blow()
    for thing in things:
        assert thing.healed >= 1
        assert thing.healed >= thing.broken
