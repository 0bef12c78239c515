"""Nudges that never wait, whatever becomes of them."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest
from prometheus_client import CollectorRegistry
from tests.support.house import PATIENCE, eventually

from zun.bus.metrics import BusMetrics
from zun.bus.publisher import PROBE, Publisher


class Queue:
    """A message queue that can be down, or hang."""

    def __init__(self) -> None:
        self.down = False
        self.go_on = threading.Event()
        self.go_on.set()
        self.sent: list[str] = []

    def send(self, queue: str) -> None:
        assert self.go_on.wait(PATIENCE)
        if self.down:
            raise ConnectionError("nobody there")
        self.sent.append(queue)

    @property
    def nudges(self) -> list[str]:
        return [queue for queue in self.sent if queue != PROBE]


@pytest.fixture
def queue() -> Queue:
    return Queue()


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def publisher(queue: Queue, registry: CollectorRegistry) -> Iterator[Publisher]:
    made = Publisher(queue.send, BusMetrics(registry), retry=0.02, quiet=0.05, stuck=0.2)
    yield made
    queue.go_on.set()
    made.stop(PATIENCE)


def figure(registry: CollectorRegistry, outcome: str) -> float:
    return registry.get_sample_value("zun_bus_nudges_total", {"outcome": outcome}) or 0


def test_what_is_nudged_is_sent(publisher: Publisher, queue: Queue) -> None:
    publisher.start()
    eventually(lambda: publisher.connected)
    publisher.nudge("@a")
    publisher.nudge("@b")
    eventually(lambda: set(queue.nudges) == {"@a", "@b"})


def test_nudges_of_one_queue_that_wait_are_one(
    publisher: Publisher, queue: Queue, registry: CollectorRegistry
) -> None:
    for _ in range(10):
        publisher.nudge("@a")
    publisher.start()
    eventually(lambda: queue.nudges)
    assert queue.nudges == ["@a"]
    assert figure(registry, "joined") == 9


def test_more_than_may_wait_are_dropped_and_counted(
    publisher: Publisher, queue: Queue, registry: CollectorRegistry
) -> None:
    for number in range(1500):
        publisher.nudge(f"host:{number}")
    assert figure(registry, "dropped") == 500
    publisher.start()
    eventually(lambda: len(queue.nudges) == 1000)


def test_a_failure_is_seen_and_its_end_too(
    publisher: Publisher, queue: Queue, registry: CollectorRegistry
) -> None:
    assert not publisher.connected
    publisher.start()
    eventually(lambda: publisher.connected)
    queue.down = True
    eventually(lambda: not publisher.connected, "a sign of life fails")
    assert "nobody there" in publisher.failure
    assert registry.get_sample_value("zun_bus_connected") == 0
    publisher.nudge("@a")
    queue.down = False
    eventually(lambda: publisher.connected)
    eventually(lambda: queue.nudges == ["@a"], "what waited is sent")
    assert publisher.failure == ""


def test_a_failure_that_another_saw_counts(publisher: Publisher, queue: Queue) -> None:
    publisher.start()
    eventually(lambda: publisher.connected)
    queue.go_on.clear()
    publisher.failed("seen elsewhere")
    assert not publisher.connected
    assert publisher.failure == "seen elsewhere"


def test_a_queue_that_hangs_is_not_connected(publisher: Publisher, queue: Queue) -> None:
    publisher.start()
    eventually(lambda: publisher.connected)
    queue.go_on.clear()
    eventually(lambda: not publisher.connected, "a message is stuck")
    publisher.nudge("@a")
    queue.go_on.set()
    eventually(lambda: publisher.connected and queue.nudges == ["@a"])


def test_the_end_sends_what_waits(publisher: Publisher, queue: Queue) -> None:
    publisher.start()
    eventually(lambda: publisher.connected)
    queue.go_on.clear()
    publisher.nudge("@a")
    publisher.nudge("@b")
    queue.go_on.set()
    publisher.stop(PATIENCE)
    assert set(queue.nudges) == {"@a", "@b"}
