"""What the fakes can do beyond the contracts: misbehave as they are told."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.support.lab import PATIENCE, Lab, soon

from zun.drivers import errors
from zun.drivers.deadline import Deadline
from zun.drivers.fake import Act, Block, Fail, FakeRuntime, LoseReply
from zun.drivers.runtime import Hint, Plan
from zun.model import names
from zun.model.lifecycle import Observed


@pytest.fixture
def fake() -> FakeRuntime:
    return FakeRuntime()


def plan(**changes: str) -> Plan:
    settings = {
        "uuid": names.new_uuid(),
        "project_id": "p",
        "host": "h",
        "generation": "g",
        "image": "i",
        **changes,
    }
    return Plan(**settings)  # type: ignore[arg-type]


def test_fails_then_blocks_then_loses_the_reply(fake: FakeRuntime) -> None:
    event, entered, wanted = threading.Event(), threading.Event(), plan()
    fake.script(
        "create",
        Fail(errors.Unavailable("x"), times=2),
        Block(event, then=LoseReply(), entered=entered),
    )
    for _ in range(2):
        with pytest.raises(errors.Unavailable):
            fake.create(wanted, soon())
    with ThreadPoolExecutor(1) as pool:
        third = pool.submit(fake.create, wanted, soon())
        assert entered.wait(PATIENCE)
        assert fake.inspect(wanted.uuid, soon()).observed is Observed.MISSING
        event.set()
        with pytest.raises(errors.TimedOut):
            third.result(PATIENCE)
    assert fake.create(wanted, soon()) == fake.inspect(wanted.uuid, soon())
    assert fake.called("create", wanted.uuid) == 4
    assert [c.verb for c in fake.calls].count("inspect") == 2


def test_a_block_ends_with_the_deadline_without_effect(fake: FakeRuntime) -> None:
    fake.script("create", Block(threading.Event()))
    wanted = plan()
    with pytest.raises(errors.TimedOut):
        fake.create(wanted, Deadline(0.01))
    assert fake.inspect(wanted.uuid, soon()).observed is Observed.MISSING


def test_acts_around_the_effect(fake: FakeRuntime) -> None:
    wanted, seen = plan(), []

    def look() -> None:
        seen.append(fake.inspect(wanted.uuid, soon()).observed)

    fake.script("create", Act(before=look, after=look))
    fake.create(wanted, soon())
    assert seen == [Observed.MISSING, Observed.CREATED]


def test_what_happens_behind_our_back_is_hinted(fake: FakeRuntime) -> None:
    wanted = plan()
    uuid = wanted.uuid
    hints = fake.events()
    assert next(hints).gap
    fake.create(wanted, soon())
    fake.start(uuid, soon())
    fake.pause_behind(uuid)
    fake.set_health(uuid, "unhealthy")
    fake.die(uuid, 9, oom_killed=True)
    facts = fake.inspect(uuid, soon())
    assert (facts.observed, facts.exit_code, facts.oom_killed) == (Observed.EXITED, 9, True)
    fake.vanish(uuid)
    fake.gap()
    fake.close()
    assert list(hints) == [Hint(uuid=uuid)] * 6 + [Hint(uuid=None, gap=True)]


def test_a_restart_policy_is_followed(fake: FakeRuntime) -> None:
    wanted = plan(restart_policy="on-failure")
    fake.create(wanted, soon())
    fake.start(wanted.uuid, soon())
    fake.die(wanted.uuid, 1)
    assert fake.inspect(wanted.uuid, soon()).observed is Observed.RUNNING
    fake.die(wanted.uuid, 0)
    assert fake.inspect(wanted.uuid, soon()).observed is Observed.EXITED


def test_fakes_that_ask_one_another_do_not_lock_up(fake_lab: Lab) -> None:
    spec = fake_lab.network(1)

    def runs(_: int) -> None:
        uuid = fake_lab.running(attachments=fake_lab.attachments((spec, 5)))
        with pytest.raises(errors.Conflict):
            fake_lab.networks.remove_network(spec.uuid, soon())
        fake_lab.look(uuid)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(runs, range(100)))
