"""An engine whose networks hang while it answers: its host gets nothing, and what is there stays what it is."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from prometheus_client import CollectorRegistry
from tests.support.house import Rig, make, quick_settings, running

from zun.compute.agent import Agent
from zun.drivers.errors import TimedOut, Unavailable
from zun.drivers.fake import Fail
from zun.model.container import Draft
from zun.model.host import Service
from zun.model.lifecycle import Status

HANG = Fail(TimedOut("the networks did not answer in time"), 2)


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """A house that beats, and looks at its networks, when it is told to."""
    quick = quick_settings()
    settings = replace(quick, agent=replace(quick.agent, heartbeat=3600.0))
    with running(tmp_path, settings=settings, registry=CollectorRegistry()) as rig:
        yield rig


def service(rig: Rig) -> Service:
    ((found, up),) = rig.house.services.hosts.services()
    assert up
    return found


def look(rig: Rig, times: int = 2) -> Agent:
    agent = rig.house.agent
    for _ in range(times):
        agent.checkup.look()
    agent._beat_once()
    return agent


def ill(rig: Rig) -> float | None:
    return rig.house.metrics.registry.get_sample_value("zun_engine_ill", {"part": "networks"})


def test_a_host_whose_networks_hang_gets_nothing_until_they_answer(rig: Rig) -> None:
    there = rig.settled(rig.create().uuid)
    assert there is not None and there.status is Status.RUNNING
    rig.fakes.networks.script("list_networks", HANG)
    agent = look(rig)
    seen = service(rig)
    assert seen.disabled and seen.disabled_reason is not None
    assert seen.disabled_reason.startswith("AUTO: ") and "networks" in seen.disabled_reason
    assert ill(rig) == 1
    works, words = rig.house.services.health.report()["networks"]
    assert not works and "networks" in words
    refused = rig.settled(rig.create().uuid)
    assert refused is not None and refused.status is Status.ERROR
    assert "disabled" in str(refused.status_reason)
    assert rig.row(there.uuid) == there  # it runs, and nobody says anything else

    rig.house.services.hosts.enable("host-1", seen.binary)  # somebody who does not know
    agent._beat_once()
    assert service(rig).disabled

    look(rig, 1)
    assert (service(rig).disabled, service(rig).disabled_reason) == (False, None)
    assert ill(rig) == 0
    assert rig.house.services.health.report()["networks"] == (True, "answer")
    again = rig.settled(rig.create(Draft(image="busybox", run=True)).uuid)
    assert again is not None and again.status is Status.RUNNING


def test_one_that_hangs_once_is_only_slow(rig: Rig) -> None:
    rig.fakes.networks.script("list_networks", Fail(TimedOut("slow")))
    look(rig)
    rig.fakes.networks.script("list_networks", Fail(TimedOut("slow")))
    look(rig)
    assert not service(rig).disabled


def test_an_engine_that_does_not_answer_at_all_is_the_heart_s_business(rig: Rig) -> None:
    rig.fakes.networks.script("list_networks", Fail(Unavailable("gone"), 3))
    look(rig, 3)
    rig.fakes.networks.script("list_networks", HANG)
    rig.fakes.runtime.script("ping", Fail(Unavailable("gone")))
    look(rig)
    assert not service(rig).disabled
    assert ill(rig) == 0


def test_what_an_operator_has_disabled_stays_so(rig: Rig) -> None:
    hosts = rig.house.services.hosts
    hosts.disable("host-1", service(rig).binary, "new disks")
    rig.fakes.networks.script("list_networks", HANG)
    look(rig)
    assert service(rig).disabled_reason == "new disks"
    look(rig, 1)
    assert (service(rig).disabled, service(rig).disabled_reason) == (True, "new disks")


def test_an_agent_that_begins_well_takes_back_what_its_older_life_said(
    rig: Rig, tmp_path: Path
) -> None:
    rig.fakes.networks.script("list_networks", HANG)
    look(rig)
    rig.house.stop(60)
    again = make(tmp_path, rig.fakes, rig.house.ground.settings, registry=CollectorRegistry())
    rig.fakes.runtime.reopen()
    again.house.start()
    try:
        look(again, 0)
        assert service(again).disabled  # nobody has looked yet
        look(again, 1)
        assert not service(again).disabled
    finally:
        again.house.stop(60)
