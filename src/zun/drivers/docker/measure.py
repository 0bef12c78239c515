"""What a container uses: from the kernel's own files, for the engine takes a second to say it.

The agent runs beside the engine, so the control groups and the network counters of a container's first process can be
read here. Where they can't (an engine in a virtual machine), the engine is asked.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zun.drivers import errors
from zun.drivers.deadline import Deadline
from zun.drivers.docker.client import Engine, answered
from zun.drivers.runtime import Processes, Sample

PROC = Path("/proc")
CGROUPS = Path("/sys/fs/cgroup")
_NANO = 1e-9
_MICRO = 1e-6


def top(engine: Engine, name: str, arguments: str, deadline: Deadline) -> Processes:
    """See `CanTop`."""
    try:
        with engine.call("list the container's processes", deadline) as client:
            found = client.top(name, arguments or None)
    except errors.Unavailable as e:
        if not arguments or not answered(e):
            raise
        raise errors.Rejected(e.public) from e  # said by ps, of its arguments
    return Processes(titles=found["Titles"], rows=found["Processes"] or [])


def sample(engine: Engine, name: str, deadline: Deadline) -> Sample:
    """See `CanMeasure`."""
    with engine.call("look at the container", deadline) as client:
        raw = client.inspect_container(name)
    state = raw["State"]
    if not state.get("Running") or not state.get("Pid"):
        raise errors.Conflict("the container is not running")
    # A number that went to another process meanwhile must not be read for the container's.
    try:
        return read(int(state["Pid"]), raw["Id"])
    except (OSError, LookupError, ValueError):
        return _asked(engine, name, deadline)


def read(pid: int, ident: str, proc: Path = PROC, cgroups: Path = CGROUPS) -> Sample:
    """A sample from the kernel's files. OSError, LookupError or ValueError: they can't be read, or are another's."""
    groups = _groups((proc / str(pid) / "cgroup").read_text())
    if not any(ident in path for path in groups.values()):
        raise LookupError("the process is not the container's")
    received, sent = _network((proc / str(pid) / "net" / "dev").read_text())
    used = _v1(groups, cgroups) if "memory" in groups else _v2(cgroups / groups[""].lstrip("/"))
    total = _total(proc)
    return Sample(
        at=time.monotonic(),
        cpu=used["cpu"],
        memory=int(used["memory"]),
        memory_limit=min(int(used["limit"]) or total, total),
        received=received,
        sent=sent,
        read=int(used["read"]),
        written=int(used["written"]),
    )


def _groups(text: str) -> dict[str, str]:
    """Controller -> path; "" is the unified hierarchy."""
    groups: dict[str, str] = {}
    for line in text.splitlines():
        _, controllers, path = line.split(":", 2)
        groups |= dict.fromkeys(controllers.split(","), path)
    return groups


def _v1(groups: Mapping[str, str], root: Path) -> dict[str, float]:
    def place(controller: str) -> Path:
        mounted = root / controller
        if not mounted.exists():  # mounted together, as "cpu,cpuacct"
            mounted = next(p for p in root.iterdir() if controller in p.name.split(","))
        return mounted / groups[controller].lstrip("/")

    memory = place("memory")
    detail = _pairs((memory / "memory.stat").read_text())
    block = _block_v1(place("blkio"))
    return {
        "cpu": int((place("cpuacct") / "cpuacct.usage").read_text()) * _NANO,
        "memory": max(
            int((memory / "memory.usage_in_bytes").read_text())
            - detail.get("total_inactive_file", 0),
            0,
        ),
        "limit": int((memory / "memory.limit_in_bytes").read_text()),
        **block,
    }


def _block_v1(place: Path) -> dict[str, float]:
    for name in ("blkio.throttle.io_service_bytes_recursive", "blkio.throttle.io_service_bytes"):
        if (place / name).exists():
            words = [line.split() for line in (place / name).read_text().splitlines()]
            return {
                "read": sum(int(w[2]) for w in words if w[1:2] == ["Read"]),
                "written": sum(int(w[2]) for w in words if w[1:2] == ["Write"]),
            }
    return {"read": 0, "written": 0}


def _v2(place: Path) -> dict[str, float]:
    detail = _pairs((place / "memory.stat").read_text())
    limit = (place / "memory.max").read_text().strip()
    read = written = 0
    if (place / "io.stat").exists():
        for line in (place / "io.stat").read_text().splitlines():
            counts = dict(word.partition("=")[::2] for word in line.split()[1:])
            read += int(counts.get("rbytes", 0))
            written += int(counts.get("wbytes", 0))
    return {
        "cpu": _pairs((place / "cpu.stat").read_text())["usage_usec"] * _MICRO,
        "memory": max(
            int((place / "memory.current").read_text()) - detail.get("inactive_file", 0), 0
        ),
        "limit": 0 if limit == "max" else int(limit),
        "read": read,
        "written": written,
    }


def _pairs(text: str) -> dict[str, int]:
    return {key: int(value) for key, value in (line.split()[:2] for line in text.splitlines())}


def _network(text: str) -> tuple[int, int]:
    """Bytes received and sent, by all interfaces but the loopback."""
    received = sent = 0
    for line in text.splitlines()[2:]:
        name, _, counts = line.partition(":")
        if name.strip() != "lo":
            numbers = counts.split()
            received += int(numbers[0])
            sent += int(numbers[8])
    return received, sent


def _total(proc: Path) -> int:
    line = next(
        line for line in (proc / "meminfo").read_text().splitlines() if line.startswith("MemTotal:")
    )
    return int(line.split()[1]) * 1024


def _asked(engine: Engine, name: str, deadline: Deadline) -> Sample:
    params = {"stream": "0", "one-shot": "1"}
    with (
        engine.call("measure the container", deadline) as client,
        client.open("GET", f"/containers/{name}/stats", params=params) as stream,
    ):
        raw: dict[str, Any] = json.loads(b"".join(stream.chunks()))
    memory = raw.get("memory_stats") or {}
    detail = memory.get("stats") or {}
    cache = detail.get("total_inactive_file", detail.get("inactive_file", 0))
    networks = (raw.get("networks") or {}).values()
    block = (raw.get("blkio_stats") or {}).get("io_service_bytes_recursive") or ()
    return Sample(
        at=time.monotonic(),
        cpu=raw["cpu_stats"]["cpu_usage"]["total_usage"] * _NANO,
        memory=max(memory.get("usage", 0) - cache, 0),
        memory_limit=memory.get("limit", 0),
        received=sum(n["rx_bytes"] for n in networks),
        sent=sum(n["tx_bytes"] for n in networks),
        read=sum(b["value"] for b in block if b["op"].lower() == "read"),
        written=sum(b["value"] for b in block if b["op"].lower() == "write"),
    )
