"""What breaks, when and for how long: drawn from a seed, so that a storm can be had again."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Protocol


class Target(Protocol):
    """Something that can be broken and healed again. Both may be done to it in any state."""

    @property
    def name(self) -> str:
        """For the report."""

    @property
    def ways(self) -> Sequence[str]:
        """How it can be broken: `kill`, `pause`, `cut`, `fill`, `off`."""

    def harm(self, way: str) -> None:
        """Break it."""

    def heal(self) -> None:
        """Repair it, whatever was done to it. It need not work again at once."""


@dataclass(frozen=True, slots=True)
class Blow:
    """One thing done to one target for some seconds, `after` seconds of calm."""

    target: str
    way: str
    seconds: float
    after: float

    def __str__(self) -> str:
        return f"{self.way} {self.target} for {self.seconds:.1f} s"


#: Bounds of how long each lasts, in seconds.
_LASTS = {
    "kill": (0.0, 8.0), "pause": (2.0, 30.0), "cut": (2.0, 15.0), "fill": (3.0, 10.0),
    "off": (5.0, 20.0),
}  # fmt: skip
_CALM = (0.2, 4.0)


def blows(seed: int, targets: Sequence[Target]) -> Callable[[], Blow]:
    """The blows of a seed, one a call, for ever. Each kind of target is as likely, however many there are of it."""
    dice = Random(seed)
    kinds: dict[str, list[Target]] = {}
    for target in sorted(targets, key=lambda t: t.name):
        kinds.setdefault(target.name.split("-")[0], []).append(target)
    # Each kind comes once before any comes twice: a short storm, too, has seen them all.
    queue: list[str] = []

    def draw() -> Blow:
        if not queue:
            queue.extend(sorted(kinds))
            dice.shuffle(queue)
        target = dice.choice(kinds[queue.pop()])
        way = dice.choice(list(target.ways))
        return Blow(target.name, way, dice.uniform(*_LASTS[way]), dice.uniform(*_CALM))

    return draw


@dataclass
class Storm:
    """Blows on targets until it is told to stop; some overlap. Then everything is healed. `pace` scales all times."""

    seed: int
    targets: Sequence[Target]
    tend: Callable[[Collection[str]], None]
    stopping: threading.Event
    pace: float = 1.0
    struck: list[Blow] = field(default_factory=list)

    def blow(self) -> None:
        """Until `stopping`; raises what healing raises."""
        named = {target.name: target for target in self.targets}
        draw = blows(self.seed, self.targets)
        healers: list[threading.Thread] = []
        down: set[str] = set()
        try:
            while not self.stopping.is_set():
                blow = draw()
                self.tend(down)
                if self.stopping.wait(blow.after * self.pace) or blow.target in down:
                    continue
                down.add(blow.target)
                print(f"chaos: {blow}", flush=True)
                named[blow.target].harm(blow.way)
                self.struck.append(blow)
                healers.append(threading.Thread(target=self._heal, args=(blow, named, down)))
                healers[-1].start()
        finally:
            for healer in healers:
                healer.join()
            for target in self.targets:
                target.heal()

    def _heal(self, blow: Blow, named: dict[str, Target], down: set[str]) -> None:
        self.stopping.wait(blow.seconds * self.pace)
        named[blow.target].heal()
        down.discard(blow.target)
