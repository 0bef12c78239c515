"""Limits are the kernel's, not words in a row: read from the cgroup, and tried."""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.scenario.conftest import Lab, Labs

pytestmark = pytest.mark.engine

V2 = Path("/sys/fs/cgroup/cgroup.controllers").exists()


@pytest.fixture(scope="module")
def tight(labs: Labs) -> Lab:
    """A service whose operator chose shares, and few processes a container."""
    return labs({"compute": {"cpu_mode": "shares", "pids_limit": 20}})


def inside(lab: Lab, uuid: str, v1: str, v2: str) -> str:
    """What the cgroup says, as the container itself sees it."""
    code, text = lab.execute(uuid, f"cat /sys/fs/cgroup/{v2 if V2 else v1}")
    assert code == 0, text
    return text.strip()


def test_cpu_is_a_hard_cap(lab: Lab) -> None:
    uuid = lab.running(cpu=0.5)["uuid"]
    config = lab.raw(uuid)["HostConfig"]
    quota = config.get("NanoCpus") or config["CpuQuota"] * 10**9 // config["CpuPeriod"]
    assert quota == 500_000_000
    if V2:
        given, period = inside(lab, uuid, "", "cpu.max").split()
    else:
        given = inside(lab, uuid, "cpu/cpu.cfs_quota_us", "")
        period = inside(lab, uuid, "cpu/cpu.cfs_period_us", "")
    assert int(given) / int(period) == 0.5


def test_cpu_by_shares_where_the_operator_wants_it(tight: Lab) -> None:
    uuid = tight.running(cpu=0.5)["uuid"]
    config = tight.raw(uuid)["HostConfig"]
    assert config["CpuShares"] == 512
    assert not config.get("NanoCpus")
    assert not config.get("CpuQuota")


def test_memory_is_a_hard_limit_without_a_way_out_through_swap(lab: Lab) -> None:
    uuid = lab.running(memory=48)["uuid"]
    config = lab.raw(uuid)["HostConfig"]
    assert config["Memory"] == config["MemorySwap"] == 48 * 2**20
    limit = inside(lab, uuid, "memory/memory.limit_in_bytes", "memory.max")
    assert int(limit) == 48 * 2**20


def test_processes_are_bounded_by_default(lab: Lab) -> None:
    uuid = lab.running()["uuid"]
    assert lab.raw(uuid)["HostConfig"]["PidsLimit"] == 512
    assert inside(lab, uuid, "pids/pids.max", "pids.max") == "512"


def test_a_fork_bomb_is_bounded(tight: Lab) -> None:
    bomb = "i=0; while [ $i -lt 200 ]; do sleep 1000 & i=$((i+1)); done; echo all of them; wait"
    uuid = tight.create(["sh", "-c", bomb])
    tight.shows(uuid, lambda s: s["status"] in ("Running", "Stopped") and tight.logs(uuid))
    said = tight.logs(uuid)
    assert "can't fork" in said
    assert "all of them" not in said
    if tight.raw(uuid)["State"]["Running"]:
        assert len(tight.engine.top(f"zun-{uuid}")["Processes"]) <= 20
    tight.delete(uuid)


def test_no_new_privileges(lab: Lab) -> None:
    uuid = lab.running()["uuid"]
    assert "no-new-privileges" in str(lab.raw(uuid)["HostConfig"]["SecurityOpt"])
    assert lab.execute(uuid, "grep NoNewPrivs /proc/self/status")[1].split() == ["NoNewPrivs:", "1"]


def test_nothing_of_the_host_is_given_away(lab: Lab) -> None:
    uuid = lab.running()["uuid"]
    config = lab.raw(uuid)["HostConfig"]
    assert config["Privileged"] is False
    assert not config["Binds"]
    assert not config["CapAdd"]
    assert not config["Devices"]
    assert config["PidMode"] == ""
    assert config["NetworkMode"] not in ("host", "bridge", "default")


def test_disk_is_limited_or_refused_with_a_reason(lab: Lab) -> None:
    uuid = lab.create(disk=2)
    shown = lab.service.until(uuid, "Running", "Error")
    if shown["status"] == "Running":  # this engine can
        assert lab.raw(uuid)["HostConfig"]["StorageOpt"] == {"size": "2G"}
        return
    assert shown["status_reason"] == (
        "There are not enough hosts available (1 host: 1 unable to limit disk)."
    )
    assert shown["host"] is None
    assert not lab.on_engine(uuid)


def test_more_than_the_host_has_is_an_error_that_says_of_what(lab: Lab) -> None:
    cpus = lab.engine.info()["NCPU"]
    if cpus >= 16:
        return  # the most the API lets anybody ask for
    uuid = lab.create(cpu=cpus + 1)
    # However much may be promised of all CPUs together: no single container gets more than there are.
    reason = lab.service.until(uuid, "Error")["status_reason"]
    assert reason == "There are not enough hosts available (1 host: 1 short of CPU)."
