"""What an operator's Prometheus may know of interactive sessions."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (1, 10, 60, 300, 900, 3600, 14400, 86400)


class ProxyMetrics:
    """Counters of one process, in `registry`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.open = Gauge(
            "zun_sessions_open", "Interactive sessions under way, by kind.", ["kind"], registry=registry
        )  # fmt: skip
        self.ended = Counter(
            "zun_sessions_ended", "Interactive sessions that ended, by kind and why.", ["kind", "why"],
            registry=registry,
        )  # fmt: skip
        self.refused = Counter(
            "zun_sessions_refused", "Requests for a session that were turned away, by status and why.",
            ["status", "why"], registry=registry,
        )  # fmt: skip
        self.bytes = Counter(
            "zun_session_bytes", "Bytes of interactive sessions, by direction: in is what was typed.",
            ["direction"], registry=registry,
        )  # fmt: skip
        self.seconds = Histogram(
            "zun_session_seconds", "How long interactive sessions took.", registry=registry, buckets=_SECONDS
        )  # fmt: skip
        self.waiting = Gauge(
            "zun_sessions_waiting", "Connections to the proxy that are not yet sessions.", registry=registry
        )  # fmt: skip
        self.evicted = Counter(
            "zun_sessions_evicted", "Connections dropped before they were sessions, by why.", ["why"],
            registry=registry,
        )  # fmt: skip
