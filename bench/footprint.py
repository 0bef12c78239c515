"""Benchmark 5: what the service weighs, and how long it takes to stand."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

from tests.support.service import Service

from bench.creates import remove_all
from bench.figures import Report, Row, Sample, number
from bench.house import Api, running, say

#: What the service stands on; their import is its floor, and not ours to shorten.
LIBRARIES = "bcrypt, docker, falcon, jsonschema_rs, orjson, oslo_config.cfg, oslo_log.log, oslo_policy.policy"
LIBRARIES += ", prometheus_client, ruamel.yaml, sqlalchemy, waitress"


def memory(pid: int) -> tuple[float, float]:
    """RSS and PSS of a process, MiB."""
    told = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    sizes = {line.split(":")[0]: int(line.split()[1]) for line in told[1:]}
    return sizes["Rss"] / 1024, sizes["Pss"] / 1024


def footprint(report: Report, quick: bool) -> None:
    """Time from the start of the process to health, in turns with its floors; then memory."""
    rounds, count = (2, 10) if quick else (7, 50)
    bare: list[float] = []
    libraries: list[float] = []
    code: list[float] = []
    standing: list[float] = []
    weights: list[tuple[float, float]] = []
    with running() as service:
        for turn in range(rounds):
            bare.append(_python("pass"))
            libraries.append(_python(f"import {LIBRARIES}"))
            code.append(_python("import zun.cmd.standalone"))
            service.stop()
            standing.append(_started(service))
            time.sleep(0.5)
            weights.append(memory(service.pid))
            say(f"  start {turn + 1}/{rounds}: healthy after {standing[-1]:.0f} ms")
        grown = _with_containers(service, count)
    nothing = _weight_of("pass")
    imported = _weight_of(f"import {LIBRARIES}")
    report.rows += [
        Row(
            name="process start -> healthy", ours=Sample(values=standing).text,
            floor=f"{Sample(values=libraries).text} (import of its libraries)",
            ratio=Sample(values=standing).median / Sample(values=libraries).median,
        ),
        _weight("memory, idle", weights[-1], imported, "its libraries alone"),
        _weight(f"memory, {count} containers", grown, imported, "its libraries alone"),
    ]  # fmt: skip
    report.notes += [
        f"start: `python -c pass` takes {Sample(values=bare).text}, importing all of zun-standalone "
        f"{Sample(values=code).text}; the rest is database, engine and first listing.",
        f"memory: `python -c pass` is RSS {number(nothing[0])} MiB, PSS {number(nothing[1])} MiB.",
    ]


def _weight(name: str, ours: tuple[float, float], floor: tuple[float, float], what: str) -> Row:
    return Row(
        name=name, ours=f"RSS {number(ours[0])} MiB, PSS {number(ours[1])} MiB",
        floor=f"RSS {number(floor[0])} MiB, PSS {number(floor[1])} MiB ({what})", ratio=ours[1] / floor[1],
    )  # fmt: skip


def _python(code: str) -> float:
    begun = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)
    return (time.perf_counter() - begun) * 1000


def _weight_of(code: str) -> tuple[float, float]:
    process = subprocess.Popen(
        [sys.executable, "-c", f"{code}\nprint(flush=True)\ninput()"],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    process.stdout.readline()
    found = memory(process.pid)
    process.communicate(b"\n")
    return found


def _started(service: Service) -> float:
    begun = time.perf_counter()
    service.start(wait=False)
    while not service.healthy:
        if service.dead:
            raise RuntimeError(service.log.read_text()[-2000:])
        time.sleep(0.005)
    return (time.perf_counter() - begun) * 1000


def _with_containers(service: Service, count: int) -> tuple[float, float]:
    api = Api(service)
    made = [api.create() for _ in range(count)]
    for uuid in made:
        api.until(uuid, "Running")
    time.sleep(1)
    weight = memory(service.pid)
    remove_all([Api(service) for _ in range(4)], made)
    return weight
