"""What was measured, and the one table it is printed in."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """Figures of one thing, measured again and again, in `unit`."""

    values: Sequence[float]
    unit: str = "ms"

    @property
    def median(self) -> float:
        """The middle."""
        return statistics.median(self.values)

    def quantile(self, share: float) -> float:
        """The value that `share` of all stay at or below (the nearest rank, never interpolated)."""
        ordered = sorted(self.values)
        return ordered[
            min(len(ordered) - 1, max(0, -(-int(share * 1000) * len(ordered) // 1000) - 1))
        ]

    @property
    def text(self) -> str:
        """Median, and the middle half in brackets."""
        if len(self.values) == 1:
            return f"{number(self.values[0])} {self.unit}"
        low, high = self.quantile(0.25), self.quantile(0.75)
        return f"{number(self.median)} {self.unit} ({number(low)}-{number(high)})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """One line of the table. `ratio` is ours to the floor's; `wanted` says what it, or the figure, should be."""

    name: str
    ours: str
    floor: str = ""
    ratio: float | None = None
    spread: tuple[float, float] | None = None
    wanted: str = ""
    good: bool | None = None

    def cells(self) -> tuple[str, ...]:
        """As text, a cell a column."""
        ratio = "" if self.ratio is None else f"{self.ratio:.2f}"
        if self.spread is not None:
            ratio += f" ({self.spread[0]:.2f}-{self.spread[1]:.2f})"
        verdict = {True: "met", False: "MISSED", None: ""}[self.good]
        return self.name, self.ours, self.floor, ratio, self.wanted, verdict


HEAD = ("what", "ours", "floor", "ratio", "target", "")


@dataclass(slots=True, kw_only=True)
class Report:
    """The rows of one run, and remarks on how they were got."""

    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def table(self) -> str:
        """All rows as one Markdown table."""
        lines = [HEAD, *(row.cells() for row in self.rows)]
        widths = [max(len(line[column]) for line in lines) for column in range(len(HEAD))]
        padded = [
            "| " + " | ".join(cell.ljust(w) for cell, w in zip(line, widths, strict=True)) + " |"
            for line in lines
        ]
        padded.insert(1, "|" + "|".join("-" * (w + 2) for w in widths) + "|")
        return "\n".join(padded)


def paired(name: str, ours: Sample, floor: Sample, **verdict: float) -> Row:
    """A row of two samples taken in turns: the ratio of their medians, and the spread of the ratios pair by pair.

    `at_most` or `at_least` is the target of the ratio.
    """
    ratio = ours.median / floor.median
    pairs = Sample(values=[a / b for a, b in zip(ours.values, floor.values, strict=False)], unit="")
    spread = (pairs.quantile(0.25), pairs.quantile(0.75)) if len(pairs.values) > 1 else None
    most, least = verdict.get("at_most"), verdict.get("at_least")
    wanted, good = "", None
    if most is not None:
        wanted, good = f"<= {most:.2f}", ratio <= most
    elif least is not None:
        wanted, good = f">= {least:.2f}", ratio >= least
    return Row(
        name=name, ours=ours.text, floor=floor.text, ratio=ratio, spread=spread, wanted=wanted, good=good
    )  # fmt: skip


def number(value: float) -> str:
    """Three digits that say something."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"
