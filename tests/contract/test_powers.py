"""The optional powers of a runtime that change or look into one that exists, on the fake and on the real engine."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from tests.support.lab import Lab, soon
from tests.support.rawstreams import put_files, tar_of

from zun.drivers import errors
from zun.drivers.docker import measure
from zun.drivers.fake import FakeRuntime
from zun.drivers.runtime import (
    Attachment,
    CanCommit,
    CanConnect,
    CanMeasure,
    CanTop,
    CanUpdate,
    Limits,
)
from zun.model import names
from zun.model.lifecycle import Observed

MIB = 1024 * 1024


@pytest.mark.parametrize("power", [CanTop, CanMeasure, CanUpdate, CanConnect, CanCommit])
def test_the_power_is_there(lab: Lab, power: type) -> None:
    assert isinstance(lab.runtime, power)


# -- top, measure ----------------------------------------------------------------------------------------------------


def test_top_shows_the_processes(lab: Lab) -> None:
    uuid = lab.running(["sleep", "77777"])
    found = lab.runtime.top(uuid, "", soon())
    assert "PID" in found.titles
    (row,) = found.rows
    assert row[-1] == "sleep 77777"
    chosen = lab.runtime.top(uuid, "-o pid,cmd", soon())
    assert [t for t in chosen.titles if t in ("PID", "CMD")] == ["PID", "CMD"]


def test_top_refuses_arguments_that_ps_does_not_take(lab: Lab) -> None:
    uuid = lab.running()
    with pytest.raises(errors.Rejected):
        lab.runtime.top(uuid, "--no-such-argument", soon())


def test_measure_counts_up(lab: Lab) -> None:
    uuid = lab.running(memory=64)
    first = lab.runtime.measure(uuid, soon())
    second = lab.runtime.measure(uuid, soon())
    assert second.at > first.at
    assert second.cpu >= first.cpu >= 0
    assert 0 < first.memory <= first.memory_limit == 64 * MIB
    assert min(first.received, first.sent, first.read, first.written) >= 0


@pytest.mark.engine
def test_measure_sees_a_busy_cpu_and_the_network(docker_lab: Lab) -> None:
    one = docker_lab.network(41)
    busy = docker_lab.running(
        ["sh", "-c", "while :; do :; done"], cpu=0.5, attachments=docker_lab.attachments((one, 5))
    )
    ping = ["ping", "-c", "2", "-i", "0.3", "-s", "1000", "10.213.41.1"]
    before = docker_lab.runtime.measure(busy, soon())
    docker_lab.runtime.execute(busy, ping, 1000, soon())
    after = docker_lab.runtime.measure(busy, soon())
    assert after.sent - before.sent >= 2000
    assert after.received - before.received >= 2000
    assert 0 < (after.cpu - before.cpu) / (after.at - before.at) < 0.8


@pytest.mark.engine
def test_measure_agrees_with_the_engine(docker_lab: Lab) -> None:
    """The other way, for an engine whose files can't be read from here."""
    uuid = docker_lab.running(["sh", "-c", "head -c 1000000 /dev/zero; sleep 1000"], memory=64)
    assert docker_lab.engine is not None
    read = docker_lab.runtime.measure(uuid, soon())
    asked = measure._asked(docker_lab.engine, names.runtime_name(uuid), soon())
    assert asked.memory_limit == read.memory_limit
    assert abs(asked.memory - read.memory) < 4 * MIB
    assert abs(asked.cpu - read.cpu) < 1.0
    assert asked.at >= read.at


def test_top_and_measure_need_one_that_runs(lab: Lab) -> None:
    verbs: list[Callable[[str], object]] = [
        lambda uuid: lab.runtime.top(uuid, "", soon()),
        lambda uuid: lab.runtime.measure(uuid, soon()),
    ]
    for verb in verbs:
        with pytest.raises(errors.Conflict):
            verb(lab.created())
        with pytest.raises(errors.NotFound):
            verb(names.new_uuid())


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


NET = (
    "Inter-| Receive | Transmit\n face |bytes ...\n"
    "    lo:  9 1 0 0 0 0 0 0  9 1 0 0 0 0 0 0\n"
    "  eth0: 70 1 0 0 0 0 0 0 80 1 0 0 0 0 0 0\n"
)


def test_a_sample_of_unified_control_groups(tmp_path: Path) -> None:
    proc, groups = tmp_path / "proc", tmp_path / "cgroup"
    _write(proc / "7/cgroup", "0::/system.slice/docker-abc.scope\n")
    _write(proc / "7/net/dev", NET)
    _write(proc / "meminfo", "MemFree: 1 kB\nMemTotal: 1000 kB\n")
    place = groups / "system.slice/docker-abc.scope"
    _write(place / "cpu.stat", "usage_usec 2500000\nuser_usec 1\n")
    _write(place / "memory.current", "5000\n")
    _write(place / "memory.stat", "anon 10\ninactive_file 1000\n")
    _write(place / "memory.max", "max\n")
    _write(place / "io.stat", "8:0 rbytes=11 wbytes=22 rios=1\n8:16 rbytes=1 wbytes=2\n")
    seen = measure.read(7, "abc", proc, groups)
    assert (seen.cpu, seen.memory, seen.memory_limit) == (2.5, 4000, 1_024_000)
    assert (seen.received, seen.sent, seen.read, seen.written) == (70, 80, 12, 24)


def test_a_sample_of_separate_control_groups_mounted_together(tmp_path: Path) -> None:
    proc, groups = tmp_path / "proc", tmp_path / "cgroup"
    _write(
        proc / "7/cgroup", "3:cpu,cpuacct:/docker/abc\n2:memory:/docker/abc\n1:blkio:/docker/abc\n"
    )
    _write(proc / "7/net/dev", NET)
    _write(proc / "meminfo", "MemTotal: 1000 kB\n")
    _write(groups / "cpu,cpuacct/docker/abc/cpuacct.usage", "1500000000\n")
    _write(groups / "memory/docker/abc/memory.usage_in_bytes", "5000\n")
    _write(groups / "memory/docker/abc/memory.stat", "total_inactive_file 500\n")
    _write(groups / "memory/docker/abc/memory.limit_in_bytes", "6000\n")
    (groups / "blkio/docker/abc").mkdir(parents=True)
    seen = measure.read(7, "abc", proc, groups)
    assert (seen.cpu, seen.memory, seen.memory_limit) == (1.5, 4500, 6000)
    assert (seen.read, seen.written) == (0, 0)


def test_a_process_that_is_another_s_is_not_measured(tmp_path: Path) -> None:
    _write(tmp_path / "7/cgroup", "0::/docker/other\n")
    with pytest.raises(LookupError):
        measure.read(7, "abc", tmp_path, tmp_path)


# -- update ----------------------------------------------------------------------------------------------------------


def limits(lab: Lab, uuid: str) -> tuple[float, int]:
    """CPUs and MiB as the runtime has them now."""
    if isinstance(lab.runtime, FakeRuntime):
        now = lab.runtime.limits_of(uuid)
        return now.cpu, now.memory
    config = lab.raw(uuid)["HostConfig"]
    assert config["Memory"] == config["MemorySwap"]
    return config["NanoCpus"] / 1e9, config["Memory"] // MIB


def test_limits_change_up_and_down_and_twice(lab: Lab) -> None:
    for uuid in (lab.created(cpu=0.5, memory=64), lab.running(cpu=0.5, memory=64)):
        for cpu, memory in ((1.0, 128), (1.0, 128), (0.25, 32)):
            lab.runtime.update(uuid, Limits(cpu=cpu, memory=memory), soon())
            assert limits(lab, uuid) == (cpu, memory)
    assert lab.look(uuid).observed is Observed.RUNNING


@pytest.mark.parametrize("bad", [Limits(cpu=1.0, memory=1), Limits(cpu=100_000.0, memory=64)])
def test_limits_out_of_range_are_refused_and_nothing_changes(lab: Lab, bad: Limits) -> None:
    uuid = lab.running(cpu=0.5, memory=64)
    with pytest.raises(errors.Rejected):
        lab.runtime.update(uuid, bad, soon())
    assert limits(lab, uuid) == (0.5, 64)


def test_limits_of_nothing_are_not_found(lab: Lab) -> None:
    with pytest.raises(errors.NotFound):
        lab.runtime.update(names.new_uuid(), Limits(cpu=1.0, memory=64), soon())


@pytest.mark.engine
def test_less_memory_than_is_in_use_is_refused(docker_lab: Lab) -> None:
    """The kernel says no, and all is as it was."""
    script = (
        "x=$(head -c 30000000 /dev/zero | tr '\\0' a); touch /tmp/ready; while :; do sleep 1; done"
    )
    uuid = docker_lab.running(["sh", "-c", script], memory=128)
    wait = "until test -e /tmp/ready; do sleep 0.05; done"
    docker_lab.runtime.execute(uuid, ["sh", "-c", wait], 100, soon())
    with pytest.raises(errors.Rejected):
        docker_lab.runtime.update(uuid, Limits(cpu=1.0, memory=8), soon())
    assert docker_lab.raw(uuid)["HostConfig"]["Memory"] == 128 * MIB


# -- networks --------------------------------------------------------------------------------------------------------


def test_networks_come_and_go(lab: Lab) -> None:
    one, two = lab.network(51), lab.network(52)
    for uuid in (lab.created(attachments=lab.attachments((one, 5))),
                 lab.running(attachments=lab.attachments((one, 6)))):  # fmt: skip
        (first,) = lab.attachments((one, 5 if lab.look(uuid).observed is Observed.CREATED else 6))
        (second,) = lab.attachments((two, int(str(first.address_v4).rpartition(".")[2])))
        for _ in range(2):
            lab.runtime.connect(uuid, second, soon())
        both = {first.network: (first.address_v4,), second.network: (second.address_v4,)}
        assert lab.look(uuid).addresses == both
        for _ in range(2):
            lab.runtime.disconnect(uuid, first.network, soon())
        assert lab.look(uuid).addresses == {second.network: (second.address_v4,)}
        lab.runtime.start(uuid, soon())
        lab.runtime.stop(uuid, 0, soon())
        lab.runtime.start(uuid, soon())
        assert lab.look(uuid).addresses == {second.network: (second.address_v4,)}


def test_one_without_any_network_stays_so_until_it_gets_one(lab: Lab) -> None:
    """An engine would give back the network of its birth, which may be gone, at the next start."""
    one, two = lab.network(53), lab.network(54)
    for start in (lab.created, lab.running):
        uuid = start(attachments=lab.attachments((one, 5)))
        lab.runtime.disconnect(uuid, names.network_name(one.uuid), soon())
        lab.networks.remove_network(one.uuid, soon())
        lab.runtime.stop(uuid, 0, soon())
        lab.runtime.start(uuid, soon())
        assert lab.look(uuid).addresses == {}
        (other,) = lab.attachments((two, 9))
        lab.runtime.connect(uuid, other, soon())
        assert lab.look(uuid).addresses == {other.network: ("10.213.54.9",)}
        lab.runtime.remove(uuid, soon(), force=True)
        lab.networks.ensure_network(one, soon())


def test_an_address_that_is_taken_conflicts_at_connect(lab: Lab) -> None:
    one = lab.network(55)
    lab.running(attachments=lab.attachments((one, 5)))
    (taken,) = lab.attachments((one, 5))
    uuid = lab.running()
    with pytest.raises(errors.Conflict):
        lab.runtime.connect(uuid, taken, soon())
    assert lab.look(uuid).addresses == {}
    lab.runtime.stop(uuid, 0, soon())
    lab.runtime.start(uuid, soon())
    assert lab.look(uuid).addresses == {}


def test_networks_of_nothing(lab: Lab) -> None:
    one = lab.network(56)
    (attachment,) = lab.attachments((one, 5))
    with pytest.raises(errors.NotFound):
        lab.runtime.connect(names.new_uuid(), attachment, soon())
    with pytest.raises(errors.NotFound):
        lab.runtime.connect(lab.running(), Attachment(network="zun-nosuch"), soon())
    lab.runtime.disconnect(names.new_uuid(), attachment.network, soon())
    lab.runtime.disconnect(lab.running(), attachment.network, soon())


# -- commit ----------------------------------------------------------------------------------------------------------


def test_commit_makes_an_image_and_leaves_the_container_running(lab: Lab) -> None:
    uuid = lab.running()
    repository = f"zun-test-commit/{names.new_uuid()}"
    try:
        first = lab.runtime.commit(uuid, repository, "v1", soon())
        assert first.image_id.startswith("sha256:")
        assert first.size > 0
        put_files(lab.runtime, uuid, "/tmp", tar_of("new", b"x"))
        second = lab.runtime.commit(uuid, repository, "v1", soon())
        assert second.image_id != first.image_id
        assert lab.look(uuid).observed is Observed.RUNNING
        if lab.engine is not None:
            _check_image(lab, repository, first.image_id)
    finally:
        if lab.engine is not None:
            with lab.engine.call("clean up") as client:
                client.remove_image(f"{repository}:v1")


def _check_image(lab: Lab, repository: str, older: str) -> None:
    assert lab.engine is not None
    with lab.engine.call("look") as client:
        labels = client.inspect_image(f"{repository}:v1")["Config"]["Labels"]
        left = [row["Id"] for row in client.images(all=True)]
    told = {key for key in labels if key.startswith("org.openstack.zun.") and labels[key]}
    assert told == {names.LABEL_COMMITTED}
    assert older not in left


def test_commit_of_nothing_is_not_found(lab: Lab) -> None:
    with pytest.raises(errors.NotFound):
        lab.runtime.commit(names.new_uuid(), "zun-test-commit/x", "v1", soon())
