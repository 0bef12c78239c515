"""Hosts that fall silent, are given up and come back, on fakes: time is the test's own."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.support.house import quick_settings
from tests.support.neighbourhood import Neighbourhood, neighbourhood

from zun.cmd import wiring
from zun.conductor.watch import WatchSettings
from zun.drivers.fake import Block
from zun.model.lifecycle import Status
from zun.store import standing
from zun.work.clock import utcnow

MOVABLE: dict[str, Any] = {
    "restart_policy": {"Name": "always", "MaximumRetryCount": "0"},
    "hints": {"on_host_failure": "recreate"},
}
LEASE, FENCE, RECREATE = 30.0, 60.0, 150.0


class Clock:
    """The time everybody is told."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return utcnow() + self.ahead

    def pass_(self, seconds: float) -> None:
        self.ahead += timedelta(seconds=seconds)


class Street(Neighbourhood):
    """Hosts whose agents beat when they are told to, and a conductor that looks when it is told to."""

    clock: Clock

    @property
    def ground(self) -> wiring.Ground:
        return replace(super().ground, clock=self.clock)

    def look(self) -> None:
        """One look of every conductor at the hosts."""
        for conductor in self.conductors:
            conductor.watch.look()

    def beat(self, name: str) -> None:
        """One beat of a host's agent."""
        agent = self.hosts[name].agent
        assert agent is not None
        agent._beat_once()

    def fall_silent(self, name: str, seconds: float) -> None:
        """Time passes in which all others beat."""
        self.clock.pass_(seconds)
        for other, one in self.hosts.items():
            if other != name and one.agent is not None:
                self.beat(other)


@contextmanager
def street(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Street]:
    """Three hosts at work and a conductor."""
    quick = quick_settings()
    settings = replace(
        quick,
        agent=replace(quick.agent, heartbeat=3600.0, lease=LEASE, fence_after=FENCE),
        conductor=replace(
            quick.conductor,
            watch=WatchSettings(round=3600.0, recreate_after=RECREATE, margin=20.0),
        ),
    )
    clock = Clock()
    # Servers have a clock of their own, which nobody can put forward.
    monkeypatch.setattr(standing, "now", lambda conn, local: local)

    class OfThisTest(Street):
        pass

    OfThisTest.clock = clock
    with neighbourhood(folder, 3, settings, kind=OfThisTest) as made:
        assert isinstance(made, Street)
        for name in made.hosts:
            made.begin(name)
        made.conduct()
        yield made


def placed(street: Street, **draft: Any) -> tuple[str, str]:
    """A running container and its host."""
    uuid = street.create(**draft)
    row = street.settled(uuid)
    assert row is not None
    assert row.status is Status.RUNNING, row.status_reason
    assert row.host is not None
    return uuid, row.host


def kill(street: Street, name: str) -> None:
    """The agent is gone, its engine goes on."""
    street.end(name)


def lose(street: Street, name: str) -> None:
    """The agent is gone, and a conductor has seen it."""
    kill(street, name)
    street.fall_silent(name, LEASE + 1)
    street.look()


def look_alone(street: Street) -> Callable[[], None]:
    """The look of a conductor whose queue nobody works on."""
    look = street.conductors[0].watch.look
    street.rest()
    return look


def running_copies(street: Street, uuid: str) -> list[str]:
    """The hosts on which a container runs."""
    return [name for name, one in street.hosts.items() if uuid in one.running]


def being_made_anew(street: Street, name: str, **held: Any) -> threading.Event:
    """A host is lost, and what it had is being made on another until the event is set; `held`: see `Block`."""
    go, entered = threading.Event(), threading.Event()
    for other, one in street.hosts.items():
        if other != name:
            one.fakes.runtime.script("create", Block(go, entered=entered, **held))
    lose(street, name)
    street.fall_silent(name, RECREATE)
    street.look()
    assert entered.wait(30)
    return go
