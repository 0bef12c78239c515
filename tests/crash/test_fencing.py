"""An old life that wakes up: its epoch is over, what it writes changes nothing, what it does is not doubled."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.crash.test_nudges import nothing_is_left
from tests.support.house import PATIENCE, Fakes, Rig, caller, make, quick_settings

from zun.drivers.deadline import Deadline
from zun.drivers.fake import Block
from zun.model.container import Draft, MountRequest
from zun.model.lifecycle import Action, Observed, Status
from zun.model.operation import Operation
from zun.store import operations

#: Each driver call of a create, of which an old life may be in the middle.
CALLS = [
    ("volumes", "ensure"), ("networks", "ensure_network"), ("images", "ensure"), ("runtime", "create"),
    ("runtime", "start"), ("runtime", "inspect"),
]  # fmt: skip


class TwoLives:
    """The same host twice, on one database and one engine; the old one works on one operation only."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.fakes = Fakes()
        settings = quick_settings()
        runner = replace(settings.agent.runner, workers=1)
        self.old = make(
            path, self.fakes, replace(settings, agent=replace(settings.agent, runner=runner))
        )
        self.new: Rig | None = None
        self.go = threading.Event()
        self.entered = threading.Event()

    def block(self, driver: str, verb: str) -> None:
        """The next call of this verb stays until `go`; it is the old life's."""
        getattr(self.fakes, driver).script(verb, Block(self.go, entered=self.entered))

    def begin_anew(self) -> Rig:
        """The new life."""
        self.new = make(self.path, self.fakes)
        self.new.house.start()
        assert self.new.house.agent.epoch == self.old.house.agent.epoch + 1
        return self.new

    def wake_up(self) -> None:
        """Lets the old life go on, and end."""
        self.go.set()
        assert self.old.house.conductor.stop(PATIENCE)
        runner = self.old.house.agent._runner
        assert runner is not None
        assert runner.stop(PATIENCE)


@pytest.fixture
def lives(tmp_path: Path) -> Iterator[TwoLives]:
    lives = TwoLives(tmp_path)
    lives.old.house.start()
    try:
        yield lives
    finally:
        lives.go.set()
        for rig in (lives.old, lives.new):
            if rig is not None:
                rig.house.stop(PATIENCE)


def wish() -> Draft:
    return Draft(
        image="busybox",
        run=True,
        mounts=[MountRequest(type="bind", source="", destination="/probe")],
    )


def journal(rig: Rig, uuid: str) -> list[Any]:
    """All that is recorded of a container."""
    with rig.db.read() as conn:
        ops: list[Operation] = list(operations.of_container(conn, uuid))
        return [rig.row(uuid), ops, [operations.events_of(conn, o.uuid) for o in ops]]


@pytest.mark.parametrize(("driver", "verb"), CALLS)
def test_a_late_write_changes_nothing(lives: TwoLives, driver: str, verb: str) -> None:
    lives.block(driver, verb)
    uuid = lives.old.create(wish()).uuid
    assert lives.entered.wait(PATIENCE)
    new = lives.begin_anew()
    row = new.settled(uuid)
    assert row is not None
    assert row.status is Status.RUNNING
    before = journal(new, uuid)

    lives.wake_up()

    assert journal(new, uuid) == before
    assert lives.fakes.runtime.uuids() == (uuid,)
    plan = lives.fakes.runtime.plan_of(uuid)
    assert plan.generation == before[1][-1].uuid


@pytest.mark.parametrize(("driver", "verb"), CALLS)
def test_a_late_effect_on_what_is_deleted_is_taken_away(
    lives: TwoLives, driver: str, verb: str
) -> None:
    lives.block(driver, verb)
    uuid = lives.old.create(wish()).uuid
    assert lives.entered.wait(PATIENCE)
    new = lives.begin_anew()
    row = new.settled(uuid)
    assert row is not None
    new.house.services.containers.delete(caller(), row, force=True, stop=False)
    assert new.settled(uuid) is None

    lives.wake_up()

    nothing_is_left(new)


@pytest.mark.parametrize(
    ("action", "verb", "status"),
    [(Action.STOP, "stop", Status.STOPPED), (Action.REBUILD, "remove", Status.RUNNING),
     (Action.PAUSE, "pause", Status.PAUSED), (Action.KILL, "signal", Status.STOPPED)],
)  # fmt: skip
def test_a_late_write_of_another_action_changes_nothing(
    lives: TwoLives, action: Action, verb: str, status: Status
) -> None:
    uuid = lives.old.create(wish()).uuid
    row = lives.old.settled(uuid)
    assert row is not None
    lives.block("runtime", verb)
    lives.old.house.services.containers.act(caller(), row, action)
    assert lives.entered.wait(PATIENCE)
    new = lives.begin_anew()
    row = new.settled(uuid)
    assert row is not None
    assert row.status is status
    records = journal(new, uuid)

    lives.wake_up()

    # What it did to the engine so late is seen there, as what anybody does to it; the journal has no trace of it.
    assert journal(new, uuid)[1:] == records[1:]
    with new.db.read() as conn:
        assert operations.open_of(conn, uuid) is None


@pytest.mark.parametrize("verb", ["stop", "remove"])
def test_a_late_effect_on_an_older_container_spares_the_newer_one(
    lives: TwoLives, verb: str
) -> None:
    """The old life wakes in the middle of a rebuild; the new life has put another container in its place."""
    uuid = lives.old.create(wish()).uuid
    row = lives.old.settled(uuid)
    assert row is not None
    lives.block("runtime", verb)
    lives.old.house.services.containers.act(caller(), row, Action.REBUILD)
    assert lives.entered.wait(PATIENCE)
    new = lives.begin_anew()
    after = new.settled(uuid)
    assert after is not None
    assert after.container_id != row.container_id

    lives.wake_up()

    seen = lives.fakes.runtime.inspect(uuid, Deadline(PATIENCE))
    assert (seen.runtime_id, seen.observed) == (after.container_id, Observed.RUNNING)


def test_a_lease_that_is_lost_while_its_step_goes_on(tmp_path: Path) -> None:
    """The process itself was away for longer than its lease: it takes back its own work, and does it once at a time."""
    fakes, go, entered = Fakes(), threading.Event(), threading.Event()
    settings = quick_settings()
    rig = make(tmp_path, fakes, settings)
    rig.house.start()
    try:
        fakes.runtime.script("create", Block(go, entered=entered))
        uuid = rig.create(wish()).uuid
        assert entered.wait(PATIENCE)
        with rig.db.write() as conn:
            held = operations.open_of(conn, uuid)
            assert held is not None
            freed = operations.take_back(conn, rig.house.agent._env.clock().replace(year=9999))
            assert [o.uuid for o in freed] == [held.uuid]
        polls = fakes.runtime.called("create", uuid)
        rig.house.agent._bus.nudge(held.queue)
        go.set()
        row = rig.settled(uuid)
        assert row is not None
        assert row.status is Status.RUNNING
        assert polls == 1
        assert fakes.runtime.called("create", uuid) <= 2
        assert fakes.runtime.called("start", uuid) == 1
    finally:
        go.set()
        rig.house.stop(PATIENCE)
