"""Hosts that are known to be down are not asked."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.support.house import Fakes, Rig, make

from zun.bus.local import LocalBus
from zun.service.errors import Unavailable
from zun.service.questions import Questions
from zun.service.settings import ServiceSettings
from zun.store import hosts
from zun.work.clock import utcnow

HOST = "host-1"
DOWN_AFTER = timedelta(seconds=60)


class Asked(LocalBus):
    """Remembers what it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.questions: list[str] = []

    def ask(self, host: str, question: str, arguments: Mapping[str, Any], seconds: float) -> Any:
        self.questions.append(question)
        return "answer"


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """A host that has registered, and beats no more."""
    made = make(tmp_path, Fakes())
    made.house.agent.start()
    assert made.house.agent.stop(30)
    yield made
    made.db.close()


@pytest.fixture
def bus() -> Asked:
    return Asked()


def questions(rig: Rig, bus: Asked, later: timedelta) -> Questions:
    now: datetime = utcnow() + later
    return Questions(rig.db, bus, ServiceSettings(down_after=DOWN_AFTER), lambda: now)


def test_a_host_that_beats_is_asked(rig: Rig, bus: Asked) -> None:
    assert questions(rig, bus, timedelta(0)).ask_host(HOST, "top", {}) == "answer"
    assert bus.questions == ["top"]


def test_a_silent_one_is_not(rig: Rig, bus: Asked) -> None:
    with pytest.raises(Unavailable, match="has not been heard of for"):
        questions(rig, bus, DOWN_AFTER).ask_host(HOST, "top", {})
    assert bus.questions == []


def test_one_that_was_declared_down_is_not_though_it_beats(rig: Rig, bus: Asked) -> None:
    with rig.db.write() as conn:
        hosts.change_service(conn, HOST, hosts.BINARY, utcnow(), forced_down=True)
    with pytest.raises(Unavailable, match="declared down"):
        questions(rig, bus, timedelta(0)).ask_host(HOST, "top", {})
    assert bus.questions == []


def test_one_whose_service_was_deleted_may_still_be_there(rig: Rig, bus: Asked) -> None:
    with rig.db.write() as conn:
        hosts.delete_service(conn, HOST, hosts.BINARY)
    assert questions(rig, bus, DOWN_AFTER).ask_host(HOST, "top", {}) == "answer"


def test_one_nobody_knows_is_the_bus_s_business(rig: Rig, bus: Asked) -> None:
    assert questions(rig, bus, timedelta(0)).ask_host("elsewhere", "top", {}) == "answer"
