"""Benchmark 6: placements a second with ten thousand hosts in MariaDB: real conductors, real claims, a durable server.

A request asks a dozen filters. The floor is the same two commits a placement needs, made by one process with nothing
around them: what the database alone allows.

    python -m bench.placements worker URL NAME FILE    one conductor, until nothing waits: what the benchmark starts
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from prometheus_client import CollectorRegistry
from tests.support.databases import MARIADB, POSTGRESQL

from bench.counters import Counters, Span
from bench.databases import NAMES, started
from bench.figures import Report, Row, Sample, number, paired
from bench.house import say
from zun.bus.local import LocalBus
from zun.cmd import wiring
from zun.conductor.conductor import ConductorSettings
from zun.conf.conductor import OPTS
from zun.model.container import Container
from zun.model.host import Inventory
from zun.model.lifecycle import Action, Status
from zun.model.names import new_uuid
from zun.model.operation import CONDUCTOR_QUEUE, Operation, OperationState
from zun.store import claims, containers, hosts, migrate, operations, schema
from zun.store.database import Database
from zun.work.clock import utcnow
from zun.work.metrics import WorkMetrics
from zun.work.runner import RunnerSettings

HOSTS = 10_000
WANTED, WANTED_P99 = 300.0, 100.0  # placements a second of one conductor; ms of one placement
WANTED_THREE = 2.0  # times the rate of one
#: Containers placed before the clock runs, so that nobody has to read all hosts within it.
_AHEAD = 24

#: The URL of an empty database to use instead of a private, durable MariaDB.
URL = os.environ.get("ZUN_BENCH_DATABASE", "")
#: The `src` of another checkout, whose conductors work in turns with those of this one.
BEFORE = os.environ.get("ZUN_BENCH_BEFORE")


class Timed(WorkMetrics):
    """Metrics that keep every single time of the step `place`, in seconds."""

    def __init__(self) -> None:
        super().__init__(CollectorRegistry())
        self.times: list[float] = []
        self.steps = self  # type: ignore[assignment]

    def labels(self, step: str, outcome: str) -> Timed:
        """As of a histogram."""
        del step, outcome
        return self

    def observe(self, seconds: float) -> None:
        """One placement."""
        self.times.append(seconds)


def placements(report: Report, quick: bool) -> None:
    """Fills a database; then one conductor, three, and the floor, in turns."""
    rounds, count = (2, 400) if quick else (5, 1500)
    trees = {"": None} if BEFORE is None else {"": None, "before": BEFORE}
    results: dict[tuple[str, int], list[_Result]] = {}
    floors: list[float] = []
    with tempfile.TemporaryDirectory(prefix="zun-bench-") as made, ExitStack() as stack:
        folder = Path(made)
        folder.chmod(0o755)
        url = URL or stack.enter_context(started(MARIADB, folder))
        db = Database(url)
        stack.callback(db.close)
        migrate.upgrade(db)
        say(f"{HOSTS:,} hosts ...")
        _add_hosts(db, HOSTS)
        counters = None if db.engine.dialect.name not in ("mysql", "mariadb") else Counters(db)
        placed = 0
        for turn in range(rounds):
            floors.append(_floor(db, count // 3))
            for names in (("one",), ("a", "b", "c")):
                for tree, path in trees.items():
                    one = _run(db, url, folder, names, count, path, counters)
                    results.setdefault((tree, len(names)), []).append(one)
                    placed += count + _AHEAD
                    say(
                        f"  {turn + 1}/{rounds}: {len(names)} {tree}: {one.text}; floor {floors[-1]:.0f}/s"
                    )
        _check(db, placed)
        _show(
            report,
            "SQLite" if db.is_sqlite else NAMES[MARIADB if counters else POSTGRESQL],
            results,
            floors,
        )


def _show(
    report: Report,
    name: str,
    results: Mapping[tuple[str, int], list[_Result]],
    floors: Sequence[float],
) -> None:
    floor = Sample(values=floors, unit="/s")
    ones, threes = results["", 1], results["", 3]
    one, three = (Sample(values=[r.rate for r in each], unit="/s") for each in (ones, threes))
    slow, slow_three = (
        Sample(values=[t for r in each for t in r.times]) for each in (ones, threes)
    )
    p99 = slow.quantile(0.99)
    rates = paired(f"placements/s, one conductor, {HOSTS:,} hosts, {name}", one, floor)
    report.rows += [
        replace(rates, wanted=f">= {WANTED:.0f}/s", good=one.median >= WANTED),
        Row(
            name="one placement, p50 and p99", ours=f"{number(slow.median)} ms, {number(p99)} ms",
            wanted=f"p99 <= {WANTED_P99:.0f} ms", good=p99 <= WANTED_P99,
        ),
        paired("placements/s, three conductors : one", three, one, at_least=WANTED_THREE),
        Row(name="one placement of three conductors, p50 and p99",
            ours=f"{number(slow_three.median)} ms, {number(slow_three.quantile(0.99))} ms"),
    ]  # fmt: skip
    for conductors, word in ((1, "one conductor"), (3, "three conductors")):
        if ("before", conductors) in results:
            before = Sample(values=[r.rate for r in results["before", conductors]], unit="/s")
            now = one if conductors == 1 else three
            report.rows.append(paired(f"placements/s, {word} : as before", now, before))
    for (tree, conductors), each in results.items():
        report.notes.append(
            f"placements, {conductors} conductor(s){' as before' if tree else ''}: {_Result.costs(each)}; "
            f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} processors"
        )
    for conductors, each in ((1, ones), (3, threes)):
        if all(r.span is not None for r in each):
            cost = statistics.median((r.cpu + r.span.cpu) / r.rate for r in each if r.span)
            report.notes.append(
                f"placements, {conductors} conductor(s): {cost * 1000:.2f} ms of processor time each, conductors and "
                f"server together: {os.cpu_count()} processors can't do more than {(os.cpu_count() or 1) / cost:,.0f}/s"
            )
    report.notes.append(
        "placements: the floor is two commits a placement (claim the operation, record its place) in one process"
    )


class _Result:
    """What some conductors did together: placements a second, each one's ms, processors used, round trips each."""

    def __init__(self, rate: float, times: Sequence[float], cpu: float, span: Span | None) -> None:
        self.rate = rate
        self.times = [t * 1000 for t in times]
        self.cpu = cpu
        self.span = span

    @property
    def text(self) -> str:
        """In one line."""
        p99 = Sample(values=self.times).quantile(0.99)
        return f"{self.rate:.0f}/s, p99 {p99:.0f} ms; {self.costs([self])}"

    @staticmethod
    def costs(several: Sequence[_Result]) -> str:
        """What these took, in words."""
        said = f"conductors use {statistics.median(r.cpu for r in several):.2f} processors"
        spans = [(r.span, len(r.times)) for r in several if r.span is not None]
        if not spans:
            return said
        placed = sum(count for _, count in spans)

        def each(what: str) -> float:
            return sum(span.counts[what] for span, _ in spans) / placed

        return (
            f"{said}, the server {statistics.median(span.cpu for span, _ in spans):.2f}; a placement takes "
            f"{sum(span.trips for span, _ in spans) / placed:.1f} round trips ({each('Com_admin_commands'):.1f} pings, "
            f"{each('Com_select'):.1f} SELECT, {each('Com_update'):.1f} UPDATE, {each('Com_insert'):.1f} INSERT, "
            f"{each('Com_commit'):.1f} COMMIT, {each('Com_rollback'):.1f} ROLLBACK), "
            f"{each('Innodb_row_lock_waits'):.2f} waits for a row"
        )


def _run(
    db: Database, url: str, folder: Path, names: Sequence[str], count: int, tree: str | None,
    counters: Counters | None,
) -> _Result:  # fmt: skip
    files = {name: folder / f"{name}.json" for name in names}
    environment = {**os.environ, "PYTHONPATH": tree} if tree else dict(os.environ)
    workers = [
        subprocess.Popen([sys.executable, "-m", "bench.placements", "worker", url, name, str(file)],
                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment)
        for name, file in files.items()
    ]  # fmt: skip
    try:
        for each in workers:
            assert each.stdout is not None
            assert each.stdout.readline() == b"ready\n"
        _add_containers(db, _AHEAD)
        _until_none_waits(db)
        _add_containers(db, count)
        begun = time.time()
        if counters is not None:
            counters.since()
        _tell(workers, b"go\n")
        ended = _until_none_waits(db)
        span = None if counters is None else counters.since()
        _tell(workers, b"stop\n")
        for each in workers:
            assert each.wait(60) == 0
    finally:
        for each in workers:
            each.kill()
            each.communicate()
    results = [json.loads(file.read_text()) for file in files.values()]
    times = [t for r in results for t in r["times"]]
    # Some are placed before `go` came.
    assert count - 50 < len(times) <= count, f"{len(times)} of {count} placed"
    return _Result(
        count / (ended - begun), times, sum(r["cpu"] for r in results) / (ended - begun), span
    )


def _tell(workers: Sequence[subprocess.Popen[bytes]], line: bytes) -> None:
    for each in workers:
        assert each.stdin is not None
        each.stdin.write(line)
        each.stdin.flush()


def worker(url: str, name: str, file: Path) -> None:
    """One conductor, at work until the second line on stdin; what it did since the first is written to `file`."""
    db, metrics = Database(url), Timed()
    settings = wiring.Settings(
        conductor=ConductorSettings(
            round=3600, runner=RunnerSettings(workers=_at_once(), poll=0.05)
        )
    )
    ground = wiring.Ground(db=db, bus=LocalBus(), settings=settings)
    conductor = wiring.build_conductor(ground, name, metrics=metrics)
    conductor.start()
    print("ready", flush=True)
    sys.stdin.readline()
    cpu, ahead = time.process_time(), len(metrics.times)
    sys.stdin.readline()
    used = time.process_time() - cpu
    assert conductor.stop(60)
    file.write_text(json.dumps({"times": metrics.times[ahead:], "cpu": used}))
    db.close()


def _at_once() -> int:
    """How many operations a conductor works on at once if nobody says otherwise; 4 in releases without the option."""
    return next((int(opt.default) for opt in OPTS if opt.name == "max_in_flight"), 4)


def _until_none_waits(db: Database) -> float:
    """When (s, wall) the queue of the conductors was empty."""
    pause, until = threading.Event(), time.monotonic() + 600
    while _waiting(db):
        assert time.monotonic() < until
        pause.wait(0.02)
    return time.time()


def _waiting(db: Database) -> bool:
    query = sa.select(schema.operations.c.id).where(schema.operations.c.queue == CONDUCTOR_QUEUE)
    with db.read() as conn:
        return conn.execute(query.limit(1)).first() is not None


def _floor(db: Database, count: int) -> float:
    """Two commits a placement, and the statements that change anything in them; a second."""
    _add_containers(db, count)
    with db.read() as conn:
        waiting = operations.claimable(conn, CONDUCTOR_QUEUE, utcnow(), count)
    until, begun = utcnow() + timedelta(minutes=10), time.monotonic()
    for index, operation in enumerate(waiting):
        with db.write() as conn:
            mine = operations.claim(conn, operation, "floor", 1, until, False)
            assert mine is not None
        with db.write() as conn:
            claim = claims.Claim(
                container_uuid=operation.container_uuid, host=f"host-{index % HOSTS:05}", cpu=1.0,
                memory=512, disk=0,
            )  # fmt: skip
            assert claims.claim(conn, claim)
            assert operations.change(conn, mine, queue="host:x", state=OperationState.PENDING)
            containers.update(conn, operation.container_uuid, utcnow(), host=claim.host)
    seconds = time.monotonic() - begun
    with db.write() as conn:
        for operation in waiting:
            claims.release(conn, operation.container_uuid)
            conn.execute(schema.operations.delete().where(schema.operations.c.id == operation.id))
    return count / seconds


def _add_hosts(db: Database, count: int) -> None:
    inventory = Inventory(
        cpus=32, mem_total=131_072, disk_total=2000, architecture="x86_64", os_type="linux", os="Debian",
        kernel_version="6.1", runtimes=("io.containerd.runc.v2", "runc"), image_drivers=("docker",),
    )  # fmt: skip
    now = utcnow()
    host_rows: list[dict[str, Any]] = []
    service_rows: list[dict[str, Any]] = []
    for n in range(count):
        labels = {"disk": "ssd" if n % 4 else "hdd", "rack": str(n % 40)}
        host_rows.append({
            "uuid": new_uuid(), "hostname": f"host-{n:05}", "inventory": {**asdict(inventory), "labels": labels},
            "cpus": 512.0, "memory": 196_000, "disk": 2000, "cpu_used": 0.0, "mem_used": 0, "disk_used": 0,
            "total_containers": 0, "enable_cpu_pinning": False, "limits_disk": False, "epoch": 1, "created_at": now,
        })  # fmt: skip
        service_rows.append({
            "host": f"host-{n:05}", "binary": hosts.BINARY, "disabled": n % 50 == 0, "forced_down": False,
            # They beat for ever: what beats cost is another benchmark's question.
            "last_seen_up": now + timedelta(hours=1), "report_count": 1,
            "availability_zone": f"zone-{n % 3}", "created_at": now,
        })  # fmt: skip
    with db.write() as conn:
        conn.execute(schema.hosts.insert(), host_rows)
        conn.execute(schema.services.insert(), service_rows)


_ASKED: Mapping[str, Any] = {
    "hints": {"label:disk": "ssd", "architecture": "amd64"}, "host": None, "disk_given": False,
}  # fmt: skip


def _add_containers(db: Database, count: int) -> None:
    now = utcnow()
    with db.write() as conn:
        for n in range(count):
            one = Container(
                uuid=new_uuid(), name=f"c-{n}", project_id="p", user_id="u", image="nginx", image_driver="docker",
                status=Status.CREATING, cpu=1.0, memory=512, runtime="runc", availability_zone=f"zone-{n % 3}",
                placement=_ASKED, created_at=now,
            )  # fmt: skip
            containers.insert(conn, one)
            operations.open_(conn, Operation(
                uuid=new_uuid(), action=Action.CREATE, container_uuid=one.uuid, project_id="p", user_id="u",
                request_id="req-bench", queue=CONDUCTOR_QUEUE, state=OperationState.PENDING,
                steps=["place", "ports", "image", "runtime_create"], prior_status=Status.CREATING,
                deadline=now + timedelta(hours=1), created_at=now,
            ))  # fmt: skip
            if n % 500 == 499:
                conn.execute(sa.text("SELECT 1"))


def _check(db: Database, placed: int) -> None:
    """Every placement has a claim on a host that was asked for, and no host has promised more than it has."""
    with db.read() as conn:
        every = {host.hostname: host for host in hosts.every(conn)}
        rows = conn.execute(
            sa.select(schema.containers.c.host, schema.containers.c.availability_zone)
        ).all()
        held = conn.execute(sa.select(sa.func.count()).select_from(schema.claims)).scalar_one()
    assert held == placed == sum(host.total_containers for host in every.values())
    for name, zone in rows:
        if name is not None and name in every and every[name].total_containers:
            host = every[name]
            assert host.availability_zone == zone
            assert host.inventory.labels["disk"] == "ssd"
            assert not host.disabled
            assert host.mem_used <= host.memory


if __name__ == "__main__":
    assert sys.argv[1] == "worker", __doc__
    worker(sys.argv[2], sys.argv[3], Path(sys.argv[4]))
