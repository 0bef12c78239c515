"""Benchmark 4: lists of a thousand out of ten thousand rows, and one of them, beside a handler that does nothing."""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from tests.support.house import eventually
from tests.support.service import Service, free_port

from bench import load
from bench.figures import Report, Row, Sample, paired
from bench.house import Api, running, say
from zun.api.middleware.http_basic import read_identities
from zun.model.container import Container
from zun.model.lifecycle import Status
from zun.model.names import new_uuid
from zun.store import containers
from zun.store.database import Database
from zun.work.clock import utcnow

ROWS = 10_000
THREADS = 16  # [api] threads, as it is by default
WANTED = 0.5


def row(number: int, project: str, user: str) -> Container:
    """A container as a user has it: placed (elsewhere, so that no agent looks for it), running, with an address."""
    network, now = new_uuid(), utcnow()
    address = f"10.1.{number // 250}.{number % 250 + 2}"
    shown: dict[str, Any] = {
        "addr": address, "version": 4, "port": new_uuid(), "subnet_id": new_uuid(),
        "preserve_on_delete": False,
    }  # fmt: skip
    return Container(
        uuid=new_uuid(), name=f"web-{number}", project_id=project, user_id=user, image="docker.io/library/nginx:1.27",
        image_driver="docker", status=Status.RUNNING, command=["nginx", "-g", "daemon off;"],
        image_command=["nginx", "-g", "daemon off;"], image_entrypoint=["/docker-entrypoint.sh"],
        image_digest="sha256:" + "0" * 64, cpu=1.0, memory=512, disk=0,
        environment={"WORKERS": "4", "STAGE": "production"}, labels={"tier": "front", "team": "blue"},
        workdir="/srv", hostname=f"web-{number}", restart_policy={"Name": "always", "MaximumRetryCount": "0"},
        ports=[80], exposed_ports=["80/tcp"], addresses={network: [shown]}, availability_zone="nova",
        host="elsewhere", container_id=new_uuid().replace("-", "") * 2, started_at=now - timedelta(hours=number % 90),
        created_at=now - timedelta(hours=number % 90, minutes=1), updated_at=now,
    )  # fmt: skip


def fill(service: Service) -> str:
    """Ten thousand rows of the administrator's own project; the uuid of one."""
    admin = read_identities(service.state / "identities.yaml")["admin"]
    database = Database(f"sqlite:///{service.state / 'zun.sqlite'}")
    made = [row(number, admin.project_id, admin.user_id) for number in range(ROWS)]
    insert(database, made)
    database.close()
    return made[ROWS // 2].uuid


def insert(database: Database, rows: Sequence[Container]) -> None:
    """Adds containers, in pieces: a transaction that takes too long is refused."""
    for start in range(0, len(rows), 500):
        with database.write() as conn:
            for each in rows[start : start + 500]:
                containers.insert(conn, each)


@contextmanager
def bare(bodies: list[bytes]) -> Iterator[tuple[int, int]]:
    """The handler that does nothing, in a process of its own; its port and process."""
    port = free_port()
    with tempfile.TemporaryDirectory(prefix="zun-bench-") as folder:
        files = []
        for index, body in enumerate(bodies):
            files.append(Path(folder) / str(index))
            files[-1].write_bytes(body)
        process = subprocess.Popen(
            [sys.executable, "-m", "bench.bare", str(port), str(THREADS), *map(str, files)]
        )
        try:
            eventually(lambda: _answers(port), "the bare handler answers")
            yield port, process.pid
        finally:
            process.terminate()
            process.wait(10)


def _answers(port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/0", timeout=10) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False


def reads(report: Report, quick: bool) -> None:
    """Rates in turns."""
    rounds, seconds = (2, 2) if quick else (5, 5)
    with running(api={"threads": THREADS}) as service:
        one = fill(service)
        api = Api(service)
        paths = {
            f"GET a list of 1,000 of {ROWS:,}": "/v1/containers?limit=1000",
            "GET one": f"/v1/containers/{one}",
        }
        bodies = [api.raw("GET", path)[1] for path in paths.values()]
        with bare(bodies) as (port, pid):
            for index, (name, path) in enumerate(paths.items()):
                ours, floor = [], []
                for turn in range(rounds):
                    floor.append(load.put(port, f"/{index}", api.headers, seconds, pid))
                    ours.append(load.put(service.port, path, api.headers, seconds, service.pid))
                    say(
                        f"  {name}: {ours[-1].rate:.0f}/s, bare {floor[-1].rate:.0f}/s ({turn + 1}/{rounds})"
                    )
                compared(
                    report, f"{name} ({len(bodies[index]) / 1000:,.0f} kB)", ours, floor, WANTED
                )
        alone = [_timed(api, paths[next(iter(paths))]) for _ in range(30)]
        report.notes.append(
            f"reads: one list of 1,000 for a single client takes {Sample(values=alone).text}."
        )


def _timed(api: Api, path: str) -> float:
    begun = time.perf_counter()
    api.raw("GET", path)
    return (time.perf_counter() - begun) * 1000


def compared(
    report: Report,
    name: str,
    ours: Sequence[load.Load],
    floor: Sequence[load.Load],
    wanted: float | None = None,
) -> None:
    """Rows of what two servers bore in turns: rate (`wanted`: its least ratio), processor time and p99."""
    rate = Sample(values=[one.rate for one in ours], unit="/s")
    bare_rate = Sample(values=[one.rate for one in floor], unit="/s")
    pairs = [a.rate / b.rate for a, b in zip(ours, floor, strict=True)]
    ratio = rate.median / bare_rate.median
    slow, bare_slow = Sample(values=[o.p99 for o in ours]), Sample(values=[f.p99 for f in floor])
    report.rows += [
        Row(
            name=name, ours=rate.text, floor=bare_rate.text, ratio=ratio, spread=(min(pairs), max(pairs)),
            wanted="" if wanted is None else f">= {wanted:.2f}", good=None if wanted is None else ratio >= wanted,
        ),
        paired(
            f"{name.partition(' (')[0]}, processor time an answer",
            Sample(values=[o.cpu for o in ours]), Sample(values=[f.cpu for f in floor]),
        ),
        Row(
            name=f"{name.partition(' (')[0]}, p99", ours=slow.text, floor=bare_slow.text,
            ratio=slow.median / bare_slow.median,
        ),
    ]  # fmt: skip
