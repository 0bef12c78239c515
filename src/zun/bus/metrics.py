"""What an operator's Prometheus may know of nudges and questions."""

from __future__ import annotations

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class BusMetrics:
    """Counters of one process, in `registry`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.nudges = Counter(
            "zun_bus_nudges", "Nudges of this process, by what became of them: sent, joined (to one that waited "
            "already) or dropped.", ["outcome"], registry=registry,
        )  # fmt: skip
        self.questions = Histogram(
            "zun_bus_question_seconds", "Time until a question of this process was answered, by question and outcome: "
            "answered, or why it was refused.", ["question", "outcome"], registry=registry, buckets=_SECONDS,
        )  # fmt: skip
        self.answered = Counter(
            "zun_bus_questions_answered", "Questions of others that this process answered, by question.",
            ["question"], registry=registry,
        )  # fmt: skip
        self._connected = Gauge(
            "zun_bus_connected", "Whether the message queue takes what this process sends.", registry=registry
        )  # fmt: skip

    def watch(self, connected: Callable[[], bool]) -> None:
        """Where the gauge asks."""
        self._connected.set_function(lambda: float(connected()))
