"""What the Docker drivers make of values and words, without any engine."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from zun.drivers import errors
from zun.drivers.docker.client import clean, sorted_error
from zun.drivers.docker.facts import from_inspect, observed, when
from zun.drivers.docker.host import disk_quota, inventory, numa
from zun.drivers.docker.logs import Tail
from zun.drivers.docker.plan import body
from zun.drivers.docker.registries import refused
from zun.drivers.docker.starts import Stale, start_error, why
from zun.drivers.image import Reference
from zun.drivers.runtime import HealthCheck, Plan
from zun.model.host import NumaCell
from zun.model.lifecycle import Observed

PLAN = Plan(uuid="u", project_id="p", host="h", generation="g", image="sha256:1")
OCI = "failed to create shim task: OCI runtime create failed: runc create failed: "
UNABLE = OCI + "unable to start container process: "


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0001-01-01T00:00:00Z", None),
        ("", None),
        (None, None),
        ("2026-01-02T03:04:05Z", datetime(2026, 1, 2, 3, 4, 5)),
        ("2026-01-02T03:04:05.123456789Z", datetime(2026, 1, 2, 3, 4, 5, 123456)),
        ("2026-01-02T03:04:05.5Z", datetime(2026, 1, 2, 3, 4, 5, 500000)),
        ("2026-01-02T05:04:05.1+02:00", datetime(2026, 1, 2, 3, 4, 5, 100000)),
    ],
)
def test_times(text: str | None, expected: datetime | None) -> None:
    assert when(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("open /var/lib/docker/x: no space", "open (path): no space"),
        ('stat "/srv/.secret"', 'stat "(path)"'),
        ("10.0.0.0/24 overlaps", "10.0.0.0/24 overlaps"),
        ("registry/name:tag", "registry/name:tag"),
        ("a" * 64, "a" * 12),
    ],
)
def test_what_users_may_not_see_is_left_out(text: str, expected: str) -> None:
    assert clean(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            UNABLE + 'exec: "/no/such": stat /no/such: no such file or directory: unknown',
            '"/no/such" cannot be run: no such file or directory',
        ),
        (
            UNABLE + 'exec: "x": executable file not found in $PATH: unknown',
            '"x" cannot be run: executable file not found in $PATH',
        ),
        (
            UNABLE + "sethostname: invalid argument: unknown",
            "sethostname: invalid argument: unknown",
        ),
        ("network zun-1 not found", "network zun-1 not found"),
    ],
)
def test_why_it_did_not_start(text: str, expected: str) -> None:
    assert why(text) == expected


#: Seen of Docker 20.10 that was killed when containerd had made the folder of a task and no task.
BUNDLE = "failed to start shim: mkdir (path): file exists: unknown"


@pytest.mark.parametrize(
    ("error", "code", "text", "kind"),
    [
        (errors.Rejected("x"), 127, UNABLE + 'exec: "x": not found', errors.Rejected),
        (errors.Unavailable("x"), 127, "some words", errors.Rejected),
        (errors.Unavailable("x"), 128, OCI + "sethostname", errors.Rejected),
        (errors.Unavailable("x"), 128, "iptables failed", errors.Unavailable),
        (errors.NotFound("x"), 128, "network zun-1 not found", errors.NotFound),
        (errors.Conflict("x"), 128, "Address already in use", errors.Conflict),
        # What the state says may be of an earlier start.
        (errors.Conflict("x"), 127, OCI, errors.Conflict),
        (errors.Unavailable("x"), 0, "", errors.Unavailable),
        (errors.Unavailable("cannot start: id already in use"), 0, "id already in use", Stale),
        (errors.Unavailable("x"), 0, "id already in use", errors.Unavailable),
        (errors.Unavailable("cannot start: " + BUNDLE), 0, BUNDLE, Stale),
        (errors.Unavailable("x"), 0, BUNDLE, errors.Unavailable),
    ],
)
def test_failed_starts_are_sorted(
    error: errors.DriverError, code: int, text: str, kind: type[errors.DriverError]
) -> None:
    assert type(start_error(error, {"State": {"ExitCode": code, "Error": text}})) is kind


def test_a_start_of_nothing_is_not_found() -> None:
    assert isinstance(start_error(errors.NotFound("x"), None), errors.NotFound)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("manifest for x:1 not found: manifest unknown: manifest unknown", errors.NotFound),
        (
            "pull access denied for x, repository does not exist or may require 'docker login'",
            errors.NotFound,
        ),
        ("Get http://h/v2/x: no basic auth credentials", errors.Rejected),
        ("Get http://h/v2/x: unauthorized: authentication required", errors.Rejected),
        ("toomanyrequests: You have reached your pull rate limit.", errors.Unavailable),
        ("no matching manifest for linux/arm64 in the manifest list entries", errors.Lacking),
        ("dial tcp 127.0.0.1:1: connect: connection refused", errors.Unavailable),
        ("unexpected EOF", errors.Unavailable),
    ],
)
def test_failed_pulls_are_sorted(text: str, kind: type[errors.DriverError]) -> None:
    reference = Reference(domain="h.org", path="x", tag="1", digest=None)
    for status_error in (errors.Unavailable("x"), None):
        error = refused("pull", reference, status_error, text)
        assert type(error) is kind
    assert "h.org/x:1" in refused("pull", reference, None, text).public


def test_a_plan_s_body() -> None:
    made = body(
        Plan(
            uuid="u",
            project_id="p",
            host="h",
            generation="g",
            image="sha256:1",
            cpu=0.1,
            memory=5,
            disk=3,
            pids_limit=7,
            runtime="kata",
            restart_policy="on-failure",
            restart_retries=2,
            healthcheck=HealthCheck(test="true", interval=3, timeout=2, retries=1),
        )
    )
    assert made["Healthcheck"] == {
        "Test": ["CMD-SHELL", "true"],
        "Interval": 3_000_000_000,
        "Timeout": 2_000_000_000,
        "Retries": 1,
    }
    config = made["HostConfig"]
    assert config["NanoCpus"] == 100_000_000
    assert config["Memory"] == config["MemorySwap"] == 5 * 1024**2
    assert config["StorageOpt"] == {"size": "3G"}
    assert config["PidsLimit"] == 7
    assert config["Runtime"] == "kata"
    assert config["RestartPolicy"] == {"Name": "on-failure", "MaximumRetryCount": 2}
    assert config["Init"] is False


def test_a_bare_plan_s_body_sets_no_limits_and_no_log_driver() -> None:
    config = body(PLAN)["HostConfig"]
    assert set(config) == {"NetworkMode", "RestartPolicy", "Init", "Privileged", "SecurityOpt"}
    assert config["NetworkMode"] == "none"


@pytest.mark.parametrize(
    ("word", "expected"),
    [
        *((o.value, o) for o in Observed),
        ("configured", Observed.CREATED),
        ("stopped", Observed.EXITED),
    ],
)
def test_states(word: str, expected: Observed) -> None:
    assert observed(word) is expected


def inspected(**state: Any) -> dict[str, Any]:
    return {
        "Id": "i",
        "State": {"Status": "created", "ExitCode": 0, "Error": "", **state},
        "Config": {"Hostname": "", "Cmd": None, "Entrypoint": None, "Labels": None},
        "NetworkSettings": {"Networks": None},
    }


def test_an_exit_code_is_told_once_it_has_ended() -> None:
    for word, code in (
        ("created", None),
        ("running", None),
        ("restarting", None),
        ("exited", 3),
        ("dead", 3),
    ):
        assert from_inspect("u", inspected(Status=word, ExitCode=3)).exit_code == code


@pytest.mark.parametrize(
    ("driver", "backing", "mounts", "expected"),
    [
        ("overlay2", "extfs", "rw,prjquota", False),
        ("overlay2", "xfs", "rw,prjquota", True),
        ("overlay2", "xfs", "rw,pquota", True),
        ("overlay2", "xfs", "rw,noquota", False),
        ("overlayfs", "xfs", "rw,prjquota", False),
        ("btrfs", "", "rw", True),
        ("zfs", "", "rw", True),
        ("vfs", "xfs", "rw,prjquota", False),
    ],
)
def test_who_can_limit_a_disk(
    tmp_path: Path, driver: str, backing: str, mounts: str, expected: bool
) -> None:
    table = tmp_path / "mountinfo"
    table.write_text(
        "1 0 8:1 / / rw - ext4 /dev/sda1 rw\n"
        f"2 1 8:2 / /var/lib/docker rw,relatime shared:1 - xfs /dev/sdb1 {mounts}\n"
        "3 1 8:3 / /var/lib/docker2 rw - xfs /dev/sdc1 rw,prjquota\n"
    )
    info = {
        "Driver": driver,
        "DriverStatus": [["Backing Filesystem", backing]],
        "DockerRootDir": "/var/lib/docker",
    }
    assert disk_quota(info, table) is expected


def test_an_inventory_of_a_host_whose_disk_cannot_be_seen() -> None:
    has = inventory(
        {
            "NCPU": 2,
            "MemTotal": 3 * 1024**3,
            "DockerRootDir": "/no/such/place",
            "Architecture": "x86_64",
            "OSType": "linux",
            "OperatingSystem": "o",
            "KernelVersion": "k",
            "Labels": ["ssd=yes", "bare"],
        }
    )
    assert (has.mem_total, has.disk_total) == (3072, 0)
    assert has.labels == {"ssd": "yes", "bare": ""}


def _node(folder: Path, number: int, cpus: str, kib: int) -> None:
    node = folder / f"node{number}"
    node.mkdir()
    (node / "cpulist").write_text(f"{cpus}\n")
    (node / "meminfo").write_text(
        f"Node {number} MemTotal: {kib} kB\nNode {number} MemFree: 1 kB\n"
    )


def test_numa_cells_are_the_kernels(tmp_path: Path) -> None:
    _node(tmp_path, 0, "0-1,4", 2048)
    _node(tmp_path, 10, "2-3", 1024)
    assert numa(5, tmp_path) == [
        NumaCell(id=0, cpus=[0, 1, 4], memory=2),
        NumaCell(id=10, cpus=[2, 3], memory=1),
    ]
    assert numa(6, tmp_path) == (), "the engine is on another machine"
    assert numa(5, tmp_path / "none") == ()
    (tmp_path / "node0" / "cpulist").write_text("x")
    assert numa(5, tmp_path) == ()


def test_a_full_disk_is_this_host_s_lack() -> None:
    full = sorted_error("create the container", 500, "mkdir /var/lib/x: no space left on device")
    assert isinstance(full, errors.Lacking)
    assert full.elsewhere
    assert not full.retryable
    assert not sorted_error("create the container", 500, "whatever").elsewhere


@pytest.mark.parametrize("limit", [0, 1, 4, 5, 9, 10, 100])
def test_a_tail_keeps_the_last_bytes(limit: int) -> None:
    tail = Tail(limit)
    for piece in (b"ab", b"cdef", b"", b"g", b"hij"):
        tail.put(piece)
    assert tail.value() == (b"abcdefghij"[-limit:] if limit else b"")
