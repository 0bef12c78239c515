"""Use of projects is exact: with many at once, through failures, and when a row goes by any way."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.support.house import (
    OTHER_PROJECT,
    PROJECT,
    Fakes,
    Rig,
    caller,
    make,
    quick_settings,
    running,
)

from zun import conf
from zun.cmd import wiring
from zun.drivers.errors import Rejected
from zun.drivers.fake import FakeRuntime
from zun.drivers.fake.runtime import CAPABILITIES, INVENTORY
from zun.drivers.fake.script import Fail
from zun.model.container import Draft
from zun.model.lifecycle import Action
from zun.model.quota import Amounts, amounts_of, milli
from zun.service.errors import OverQuota
from zun.service.quotas import reserve
from zun.service.settings import QuotaSettings
from zun.store import quotas, removal, schema

pytestmark = pytest.mark.databases

LIMITED = QuotaSettings(containers=17, cpu=-1, memory=-1, disk=-1)
BUSYBOX = Draft(image="busybox")
UNLIMITED = {"containers": -1, "cpu": -1, "memory": -1, "disk": -1}


def _used(rig: Rig, project: str = PROJECT) -> Amounts:
    with rig.db.read() as conn:
        assert quotas.drift(conn) == {}
        return quotas.used(conn, project)


@pytest.fixture
def still(folder: Path) -> Iterator[Rig]:
    """A house in which nothing works: what is accepted stays as it is."""
    rig = make(folder, Fakes(), quick_settings(quota=LIMITED))
    yield rig
    rig.db.close()


def test_200_parallel_creates_at_a_limit_give_exactly_as_many(still: Rig) -> None:
    def create(number: int) -> Any:
        try:
            return still.create(replace(BUSYBOX, cpu=0.1, memory=number + 4))
        except OverQuota as exc:
            return exc.slug

    with ThreadPoolExecutor(32) as pool:
        made = list(pool.map(create, range(200)))
    refused = Counter(answer for answer in made if isinstance(answer, str))
    assert refused == {"over-quota": 183}
    used = _used(still)
    assert (used.containers, used.cpu) == (17, 1700)

    def delete(container: Any) -> None:
        still.house.services.containers.delete(caller(), container, force=True, stop=False)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(delete, [c for c in made if not isinstance(c, str)]))
    assert _used(still) == Amounts()


def test_a_working_house_gives_everything_back(folder: Path) -> None:
    with running(folder, settings=quick_settings(quota=LIMITED)) as rig:
        rig.fakes.runtime.script("create", Fail(Rejected("no")))  # one of them ends in Error
        made = [rig.create() for _ in range(6)]
        rows = [rig.settled(one.uuid) for one in made]
        assert {row.status for row in rows if row} == {"Running", "Error"}
        assert _used(rig).containers == 6  # whatever the status
        for row in rows:
            assert row is not None
            rig.house.services.containers.delete(caller(), row, force=True, stop=False)
        for one in made:
            assert rig.settled(one.uuid) is None
        assert _used(rig) == Amounts()


def test_what_two_remove_is_given_back_once(still: Rig) -> None:
    one, other = still.create(), still.create()
    with still.db.write() as conn:
        assert removal.remove_container(conn, one.uuid)
        assert not removal.remove_container(conn, one.uuid)
    assert _used(still) == amounts_of(other)


def test_a_refused_transaction_counts_nothing(still: Rig) -> None:
    with pytest.raises(RuntimeError), still.db.write() as conn:
        reserve(conn, PROJECT, Amounts(containers=1, memory=5), LIMITED)
        raise RuntimeError
    assert _used(still) == Amounts()


def test_a_change_of_size_counts_the_difference(still: Rig) -> None:
    settings = QuotaSettings(containers=-1, cpu=2, memory=100, disk=-1)
    with still.db.write() as conn:
        reserve(conn, PROJECT, Amounts(cpu=1500, memory=100), settings)
        reserve(conn, PROJECT, Amounts(cpu=500, memory=-40), settings)
        with pytest.raises(
            OverQuota, match=r"cpu: requested 0.001 vCPU, used 2 vCPU, limit 2 vCPU\.$"
        ):
            reserve(conn, PROJECT, Amounts(cpu=1, memory=40), settings)
        assert quotas.used(conn, PROJECT) == Amounts(cpu=2000, memory=60)


def test_the_noop_driver_limits_nothing_and_counts(folder: Path) -> None:
    settings = quick_settings(quota=QuotaSettings(containers=0, enforced=False))
    rig = make(folder, Fakes(), settings)
    service = rig.house.services.quotas
    service.update(PROJECT, {"containers": 0})
    service.update_class("default", {"containers": 0})
    rig.create()
    assert service.limits(PROJECT) == service.defaults() == UNLIMITED
    assert service.usages(PROJECT)["containers"] == (-1, 1)
    rig.db.close()


def test_drift_is_found(still: Rig) -> None:
    still.create()
    with still.db.write() as conn:
        right = quotas.used(conn, PROJECT)
        quotas.count(conn, PROJECT, Amounts(disk=3))
        quotas.count(conn, OTHER_PROJECT, Amounts(containers=1))
        assert quotas.drift(conn) == {
            PROJECT: (replace(right, disk=3), right),
            OTHER_PROJECT: (Amounts(containers=1), Amounts()),
        }


@pytest.mark.parametrize(
    ("cpu", "counted"), [(0.1, 100), (16.0, 16000), (0.30000000000000004, 300), (0.0004, 0)]
)
def test_cpus_are_counted_in_thousandths(cpu: float, counted: int) -> None:
    assert milli(cpu) == counted


def test_the_configuration_reaches_the_use_cases(tmp_path: Path) -> None:
    assert wiring.settings_of(conf.load([])).service.quota == QuotaSettings()
    path = tmp_path / "zun.conf"
    path.write_text(
        "[quota]\ncontainers = 1\ncpu = -1\nmemory = 3\ndisk = 4\ndriver = NoopQuotaDriver\n"
    )
    said = wiring.settings_of(conf.load([path])).service.quota
    assert said == QuotaSettings(containers=1, cpu=-1, memory=3, disk=4, enforced=False)
    path.write_text("[quota]\ncpu = -2\n")
    with pytest.raises(conf.ConfigError, match="cpu"):
        conf.load([path])


# ---- disk (contract 13.2-11): who names none gets the default where the host can limit disk


def _rig(path: Path, *, limits_disk: bool, disk: int = 100) -> Any:
    fakes = Fakes()
    fakes.runtime = FakeRuntime(
        networks=fakes.networks,
        capabilities=replace(CAPABILITIES, disk_quota=limits_disk),
        inventory=replace(INVENTORY, disk_quota_supported=limits_disk, disk_total=1000),
    )
    quota = QuotaSettings(containers=-1, cpu=-1, memory=-1, disk=disk)
    return running(path, fakes, settings=quick_settings(quota=quota))


def test_defect_11_omitted_disk_counts_where_a_host_can_limit_it(folder: Path) -> None:
    with _rig(folder, limits_disk=True, disk=25) as rig:
        made = [rig.create(BUSYBOX) for _ in range(2)]
        with pytest.raises(OverQuota, match="disk: requested 10 GiB, used 20 GiB, limit 25 GiB"):
            rig.create(BUSYBOX)
        rig.create(replace(BUSYBOX, disk=5))
        assert [row.disk for row in map(rig.settled, [m.uuid for m in made]) if row] == [10, 10]
        assert _used(rig).disk == 25


def test_defect_11_omitted_disk_is_nothing_where_none_can_limit_it(folder: Path) -> None:
    with _rig(folder, limits_disk=False, disk=0) as rig:
        row = rig.settled(rig.create(BUSYBOX).uuid)
        assert row is not None and (row.status, row.disk) == ("Created", 0)
        assert _used(rig).disk == 0


@pytest.mark.parametrize(
    ("counted_for", "placed_on", "disk"), [(True, False, 0), (False, True, 10)]
)
def test_placing_corrects_the_count(
    folder: Path, counted_for: bool, placed_on: bool, disk: int
) -> None:
    """The host that it comes to is not like the hosts that were known when it was accepted."""
    with _rig(folder, limits_disk=placed_on) as rig:
        with rig.db.write() as conn:
            conn.execute(schema.hosts.update().values(limits_disk=counted_for))
        made = rig.create(BUSYBOX)
        row = rig.settled(made.uuid)
        assert row is not None and (made.disk, row.disk) == (10 if counted_for else 0, disk)
        assert _used(rig).disk == disk
        rig.house.services.containers.delete(caller(), row, force=True, stop=False)
        assert rig.settled(made.uuid) is None
        assert _used(rig) == Amounts()


def test_a_rebuild_counts_nothing_anew(folder: Path) -> None:
    with _rig(folder, limits_disk=True) as rig:
        row = rig.settled(rig.create().uuid)
        before = _used(rig)
        rig.house.services.containers.act(caller(), row, Action.REBUILD)
        rig.settled(row.uuid)
        assert _used(rig) == before
