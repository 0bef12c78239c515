"""What an operator's Prometheus may know of long-lived answers."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30)


class StreamMetrics:
    """Counters of one process, in `registry`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.open = Gauge(
            "zun_streams_open", "Long-lived answers under way, by kind.", ["kind"], registry=registry
        )  # fmt: skip
        self.ended = Counter(
            "zun_streams_ended", "Long-lived answers that ended, by kind and how.", ["kind", "how"],
            registry=registry,
        )  # fmt: skip
        self.bytes = Counter(
            "zun_stream_bytes", "Bytes of long-lived answers handed to clients, by kind.", ["kind"],
            registry=registry,
        )  # fmt: skip
        self.lag = Histogram(
            "zun_event_lag_seconds", "From when an event was written, by its own time, until it was handed out.",
            registry=registry, buckets=_SECONDS,
        )  # fmt: skip
        self.reads = Counter(
            "zun_event_reads", "Queries for new events: one reader serves all who follow.", registry=registry
        )  # fmt: skip
