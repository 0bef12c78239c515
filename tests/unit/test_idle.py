"""What an agent that has nothing to do asks of the database: a cloud has hundreds of them."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
import sqlalchemy as sa
from tests.support import databases
from tests.support.house import Rig, quick_settings
from tests.unit.conftest import Start

from zun.compute import timekeeper
from zun.model.container import Draft
from zun.store.database import Database

NEVER = 1e6  # seconds


@contextmanager
def statements(db: Database) -> Iterator[list[str]]:
    """What this thread executes in the block, without what begins and ends transactions."""
    seen: list[str] = []
    me = threading.get_ident()

    def saw(_conn: Any, _cursor: Any, text: str, *_: Any) -> None:
        if threading.get_ident() == me and text.split()[0] not in ("BEGIN", "COMMIT"):
            seen.append(text)

    sa.event.listen(db.engine, "before_cursor_execute", saw)
    try:
        yield seen
    finally:
        sa.event.remove(db.engine, "before_cursor_execute", saw)


@pytest.fixture
def rig(start: Start) -> Rig:
    """A house whose heart beats when it is told to."""
    quick = quick_settings()
    return start(settings=replace(quick, agent=replace(quick.agent, heartbeat=NEVER)))


@pytest.mark.databases
def test_a_beat_is_one_statement_and_the_time_of_the_database(rig: Rig, kind: str) -> None:
    with statements(rig.db) as seen:
        for _ in range(5):
            rig.house.agent._beat_once()
    updates = [text for text in seen if text.startswith("UPDATE services")]
    assert len(updates) == 5
    assert len(seen) == (5 if kind == databases.SQLITE else 10), seen


def test_nobody_whose_time_is_limited_is_looked_for_seldom(rig: Rig) -> None:
    rig.until(rig.create().uuid, "Running")
    with statements(rig.db) as seen:
        assert rig.house.agent._timekeeper._round() == timekeeper.SELDOM
    assert len(seen) == 1
    rig.until(rig.create(Draft(image="busybox", run=True, max_run_time=30)).uuid, "Running")
    assert 0 < rig.house.agent._timekeeper._round() <= 30


def test_whoever_starts_a_job_wakes_the_timekeeper(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(timekeeper, "SELDOM", NEVER)
    rig = start()
    service = rig.house.services.containers
    job = rig.create(Draft(image="busybox", run=True, max_run_time=1))
    rig.until(job.uuid, "Stopped")
    row = rig.settled(job.uuid)
    assert row is not None
    # Somebody starts it by hand, on the engine: no operation ends then.
    rig.fakes.runtime.start_behind(job.uuid)
    rig.until(job.uuid, "Running")
    rig.until(job.uuid, "Stopped")
    row = rig.settled(job.uuid)
    assert row is not None
    assert [action.action for action in service.actions(row)] == ["stop", "stop", "create"]


def test_what_is_due_and_busy_is_looked_at_again_soon(rig: Rig) -> None:
    job = rig.until(rig.create(Draft(image="busybox", run=True, max_run_time=3600)).uuid, "Running")
    with rig.db.write() as conn:
        conn.execute(
            sa.text("UPDATE containers SET max_run_time = 0 WHERE uuid = :uuid"), {"uuid": job.uuid}
        )
    assert rig.house.agent._timekeeper._round() <= timekeeper._AGAIN
    assert rig.settled(job.uuid).status == "Stopped"  # type: ignore[union-attr]
