"""What an operator's Prometheus may know of the journal's work."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900)


_MOMENTS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)


class DatabaseMetrics:
    """A watcher of the database: see `zun.store.database.Watcher`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._writes = Histogram(
            "zun_database_write_seconds", "Time a write transaction took, its commit included.",
            registry=registry, buckets=_MOMENTS,
        )  # fmt: skip
        self._longest = Gauge(
            "zun_database_longest_write_seconds", "The longest of them since the process started.",
            registry=registry, multiprocess_mode="max",
        )  # fmt: skip
        self._again = Counter(
            "zun_database_tries_again",
            "Write transactions begun anew: Contended (a deadlock, a conflict), Unavailable, TooSlow, CommitUnknown.",
            ["why"], registry=registry,
        )  # fmt: skip
        self._most = 0.0
        for why in ("Contended", "Unavailable", "TooSlow", "CommitUnknown"):
            self._again.labels(why)

    def wrote(self, seconds: float) -> None:
        """A write transaction was committed."""
        self._writes.observe(seconds)
        if seconds > self._most:  # of two at once the longer may be lost; the histogram has both
            self._most = seconds
            self._longest.set(seconds)

    def again(self, why: str) -> None:
        """A write transaction is tried once more."""
        self._again.labels(why).inc()


class WorkMetrics:
    """Counters of one process, in `registry`."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.registry = registry
        self.operations = Counter(
            "zun_operations", "Operations that ended, by action and outcome.",
            ["action", "outcome"], registry=registry,
        )  # fmt: skip
        self.steps = Histogram(
            "zun_step_seconds", "Time one attempt at a step took, by step and outcome.",
            ["step", "outcome"], registry=registry, buckets=_SECONDS,
        )  # fmt: skip
        self.taken_back = Counter(
            "zun_operations_taken_back", "Operations freed because their claimant was gone.",
            registry=registry,
        )  # fmt: skip
        self.in_flight = Gauge(
            "zun_operations_in_flight", "Operations this process is working on, by queue.",
            ["queue"], registry=registry,
        )  # fmt: skip
        self._engine(registry)
        self._hosts(registry)

    def _engine(self, registry: CollectorRegistry) -> None:
        self.observed = Counter(
            "zun_observed_changes", "Changes of status the engine showed without an operation.",
            ["status"], registry=registry,
        )  # fmt: skip
        self.gaps = Counter(
            "zun_event_stream_gaps", "Times the engine's event stream began anew; each is followed by a listing.",
            registry=registry,
        )  # fmt: skip
        self.relisted = Counter(
            "zun_engine_unlisted", "Containers the engine had and did not list, until it was made to.",
            registry=registry,
        )  # fmt: skip
        self.leftovers = Counter(
            "zun_leftovers_removed", "Things of ours on the engine that no record knew of, by kind.",
            ["kind"], registry=registry,
        )  # fmt: skip

    def _hosts(self, registry: CollectorRegistry) -> None:
        self.rejections = Counter(
            "zun_placement_rejections", "Hosts a filter turned away where no host fitted, by its words.",
            ["filter"], registry=registry,
        )  # fmt: skip
        self.replaced = Counter(
            "zun_placements_refused", "Containers placed anew because their host refused them.",
            registry=registry,
        )  # fmt: skip
        self.hosts_lost = Counter(
            "zun_hosts_lost", "Times a host fell silent and was taken for down.", registry=registry
        )
        self.hosts_fenced = Counter(
            "zun_hosts_fenced", "Times a host was forbidden everything until it has cleaned up.",
            registry=registry,
        )  # fmt: skip
        self.moves = Counter(
            "zun_containers_moved", "Containers that were begun to be made anew on another host, by why.",
            ["why"], registry=registry,
        )  # fmt: skip
        self.drift = Counter(
            "zun_claims_drift", "Times what a host's row said is used was not the sum of its claims.",
            ["resource"], registry=registry,
        )  # fmt: skip
        self.isolated = Counter(
            "zun_containers_isolated", "Containers an agent stopped because it was out of touch for too long.",
            registry=registry,
        )  # fmt: skip
