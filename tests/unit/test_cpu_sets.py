"""CPUs of one's own, from the request to the engine; what a host offers where it gives them away."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.envs import env
from tests.support.house import Fakes, caller, quick_settings
from tests.support.neighbourhood import Neighbourhood, neighbourhood

from zun.compute.agent import AgentSettings, host_of
from zun.compute.pressure import io_load
from zun.drivers.fake.runtime import INVENTORY
from zun.model.host import NumaCell
from zun.model.lifecycle import Action, Status
from zun.service.errors import Conflict, Invalid
from zun.store.database import Database

CELLS = [NumaCell(id=0, cpus=[0, 1, 2, 3], memory=8), NumaCell(id=1, cpus=[4, 5, 6, 7], memory=8)]


@pytest.fixture
def street(folder: Path) -> Iterator[Neighbourhood]:
    """One host of eight CPUs, two of which float."""
    quick = quick_settings()
    agent = replace(quick.agent, pinning=True, floating_cpus=frozenset({0, 4}))
    work = replace(quick.work, floating_cpus=(0, 4))
    with neighbourhood(folder, 0, replace(quick, agent=agent, work=work)) as street:
        street.add("host-1", Fakes(inventory=replace(INVENTORY, numa=CELLS)))
        street.begin("host-1")
        street.conduct()
        yield street


def test_they_are_its_own_and_near_to_one_another(street: Neighbourhood) -> None:
    runtime = street.hosts["host-1"].fakes.runtime
    own = [street.create(cpu=3.0, cpu_policy="dedicated") for _ in range(2)]
    sets = []
    for uuid in own:
        row = street.settled(uuid)
        assert row is not None
        assert row.status is Status.RUNNING, row.status_reason
        sets.append(list(runtime.plan_of(uuid).cpuset))
    assert sorted(sets) == [[1, 2, 3], [5, 6, 7]]
    shared = street.create(cpu=0.5)
    assert street.settled(shared) is not None
    assert list(runtime.plan_of(shared).cpuset) == [0, 4]
    more = street.settled(street.create(cpu=1.0, cpu_policy="dedicated"))
    assert more is not None
    assert "1 short of CPUs of its own" in (more.status_reason or "")
    host = street.host("host-1")
    assert (host.pinned, host.pinnable) == ([1, 2, 3, 5, 6, 7], [1, 2, 3, 5, 6, 7])
    first = street.row(own[0])
    assert first is not None
    street.services.containers.delete(caller(), first, force=False, stop=True)
    assert street.settled(own[0]) is None
    assert len(street.host("host-1").pinned or ()) == 3
    again = street.settled(street.create(cpu=3.0, cpu_policy="dedicated"))
    assert again is not None
    assert again.status is Status.RUNNING


def test_a_rebuild_keeps_them(street: Neighbourhood) -> None:
    uuid = street.create(cpu=2.0, cpu_policy="dedicated")
    row = street.settled(uuid)
    assert row is not None
    runtime = street.hosts["host-1"].fakes.runtime
    before = list(runtime.plan_of(uuid).cpuset)
    street.services.containers.act(caller(), row, Action.REBUILD)
    assert street.settled(uuid) is not None
    assert list(runtime.plan_of(uuid).cpuset) == before


def test_their_number_is_whole_and_stays(street: Neighbourhood) -> None:
    for cpu in (0.5, 1.5):
        with pytest.raises(Invalid, match="cpu: "):
            street.create(cpu=cpu, cpu_policy="dedicated")
    row = street.settled(street.create(cpu=1.0, cpu_policy="dedicated"))
    assert row is not None
    with pytest.raises(Conflict, match="CPUs of its own"):
        street.services.containers.resize(caller(), row, {"cpu": 2.0})
    street.services.containers.resize(caller(), row, {"memory": 64})
    after = street.settled(row.uuid)
    assert after is not None
    assert after.memory == 64


def test_what_a_host_offers_where_it_gives_cpus_away(db: Database, fakes: Fakes) -> None:
    settings = AgentSettings(
        pinning=True, floating_cpus=frozenset({0, 9}), cpu_ratio=4.0, reserved_cpus=1.0
    )
    one = host_of(env(db, fakes), settings, replace(INVENTORY, numa=CELLS))
    assert one.pinnable == [1, 2, 3, 4, 5, 6, 7]
    assert one.cpus == 3.0, "one that floats, four times, less what is kept back"
    assert one.enable_cpu_pinning
    plain = host_of(env(db, fakes), AgentSettings(cpu_ratio=2.0), INVENTORY)
    assert (plain.pinnable, plain.cpus, plain.enable_cpu_pinning) == (None, 16.0, False)
    unknown = host_of(env(db, fakes), settings, replace(INVENTORY, numa=()))
    assert unknown.pinnable == [1, 2, 3, 4, 5, 6, 7], "counted, where the kernel tells of no cells"


def test_waiting_for_disks_is_the_kernels_figure(tmp_path: Path) -> None:
    file = tmp_path / "io"
    file.write_text(
        "some avg10=1.00 avg60=25.50 avg300=0.00 total=1\nfull avg10=0 avg60=9 total=1\n"
    )
    assert io_load(file) == pytest.approx(0.255)
    assert 0.0 <= io_load(tmp_path / "none") <= 1.0
    file.write_text("nonsense")
    assert 0.0 <= io_load(file) <= 1.0
