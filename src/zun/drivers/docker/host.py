"""What a host has, from `docker info` and the kernel."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from zun.model.host import Inventory, NumaCell

log = logging.getLogger(__name__)

MIB = 1024**2
GIB = 1024**3
MOUNTS = Path("/proc/self/mountinfo")
NODES = Path("/sys/devices/system/node")
_ALWAYS = frozenset({"btrfs", "zfs", "devicemapper"})
_QUOTA_OPTIONS = frozenset({"pquota", "prjquota"})


def _mounts(table: str) -> Iterator[tuple[Path, frozenset[str]]]:
    """Mount points and the options of their file systems, from /proc/self/mountinfo."""
    for line in table.splitlines():
        before, _, after = line.partition(" - ")
        point = before.split()[4].encode().decode("unicode_escape")
        yield Path(point), frozenset(after.split()[-1].split(","))


def disk_quota(info: Mapping[str, Any], mounts: Path = MOUNTS) -> bool:
    """Whether the engine can limit a container's disk: by its storage driver, or on xfs with project quotas."""
    driver = info.get("Driver")
    if driver in _ALWAYS:
        return True
    status = dict(info.get("DriverStatus") or ())
    if driver != "overlay2" or status.get("Backing Filesystem") != "xfs":
        return False
    root = Path(info["DockerRootDir"])
    try:
        covering = [
            (len(point.parts), options)
            for point, options in _mounts(mounts.read_text())
            if root.is_relative_to(point)
        ]
    except OSError:
        return False
    # Of equal points the one mounted last covers the others, hence the stable sort.
    return bool(covering) and bool(sorted(covering, key=lambda c: c[0])[-1][1] & _QUOTA_OPTIONS)


def _disk_total(root: str) -> int:
    try:
        stat = os.statvfs(root)
    except OSError:
        log.warning(
            "the container engine's directory cannot be seen from here: the size of its disk is not known"
        )
        return 0
    return stat.f_blocks * stat.f_frsize // GIB


def _cpus(text: str) -> list[int]:
    """The CPUs of a list of the kernel's, such as "0-3,8"."""
    ranges = (part.partition("-") for part in text.strip().split(",") if part)
    return [cpu for first, _, last in ranges for cpu in range(int(first), int(last or first) + 1)]


def numa(cpus: int, nodes: Path = NODES) -> Sequence[NumaCell]:
    """The cells of this machine; none where the kernel tells of none, or the engine is on another machine."""
    cells = []
    try:
        for node in sorted(nodes.glob("node[0-9]*"), key=lambda path: int(path.name[4:])):
            memory = (node / "meminfo").read_text().partition("MemTotal:")[2].split()
            cells.append(
                NumaCell(
                    id=int(node.name[4:]),
                    cpus=_cpus((node / "cpulist").read_text()),
                    memory=int(memory[0]) // 1024,
                )
            )
    except (OSError, ValueError, IndexError):
        log.warning("the kernel's NUMA cells can't be read; they are not known")
        return ()
    return cells if sum(len(cell.cpus) for cell in cells) == cpus else ()


def inventory(info: Mapping[str, Any]) -> Inventory:
    """The inventory from the answer of `docker info`."""
    pairs = (label.partition("=") for label in info.get("Labels") or ())
    return Inventory(
        cpus=info["NCPU"],
        mem_total=info["MemTotal"] // MIB,
        disk_total=_disk_total(info["DockerRootDir"]),
        architecture=info["Architecture"],
        os_type=info["OSType"],
        os=info["OperatingSystem"],
        kernel_version=info["KernelVersion"],
        labels={key: value for key, _, value in pairs},
        runtimes=tuple(sorted(info.get("Runtimes") or ())),
        default_runtime=info.get("DefaultRuntime") or "runc",
        disk_quota_supported=disk_quota(info),
        numa=numa(info["NCPU"]),
    )
