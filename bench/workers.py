"""Benchmark 7: the API as a cloud has it: two workers of a WSGI server, as we ship it, on MariaDB.

The floor is Falcon under the same server on the same database: one statement by the driver, an answer of the same size.
"""

from __future__ import annotations

import json
import os
import signal
from base64 import b64encode
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from tests.support import workbench
from tests.support.house import eventually
from tests.support.parts import Part, Parts, ask, parts
from tests.support.plans import analyze
from tests.support.service import free_port
from tests.support.wsgi import gunicorn, uwsgi

from bench import floor, load
from bench.figures import Report, Row, Sample, number
from bench.footprint import memory
from bench.house import COMMAND, CPU, IMAGE, MEMORY, say
from bench.reads import ROWS, compared, insert, row
from zun.api.middleware.http_basic import read_identities
from zun.cmd import credentials
from zun.store.database import Database

#: What starts a server: port, configuration file, application.
SERVERS: Mapping[str, Callable[[int, Path, str], list[str]]] = {
    "gunicorn": lambda port, file, app: gunicorn(port, file, app=app),
    "uWSGI": lambda port, file, app: uwsgi(port, file, app=app),
}
OURS, FLOOR = "zun.wsgi.api:application", "bench.floor:application"
_ROOT = Path(__file__).parents[1]
_FLOOR_TABLE = (
    "CREATE TABLE floor (id BIGINT AUTO_INCREMENT PRIMARY KEY, uuid CHAR(36) UNIQUE, body TEXT)"
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Asked:
    """One kind of request: its path, and its body if it is a POST; and the statement of the floor."""

    name: str
    path: str
    statement: str
    values: list[Any]
    body: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """A running server and its workers."""

    part: Part
    workers: tuple[int, ...]

    @property
    def port(self) -> int:
        """Where it listens."""
        return int(self.part.url.rpartition(":")[2])


def workers(report: Report, quick: bool) -> None:
    """Both servers we ship files for."""
    with workbench.directory() as folder, workbench.broker() as rabbitmq:
        mariadb = workbench.module("mariadb").MariaDB(
            folder / "mariadb", durable=True, address="127.0.0.1", port=free_port()
        )
        mariadb.start()
        try:
            url = mariadb.create("zun", "zun", "secret")
            options = {
                "DEFAULT": {"transport_url": rabbitmq.url},
                "database": {"connection": url},
                "quota": {"driver": "DbQuotaDriver", **dict.fromkeys(("containers", "cpu", "memory", "disk"), 10**8)},
            }  # fmt: skip
            with parts(folder, options) as made:
                credentials.ensure(folder / "state")
                asked = _fill(folder, url)
                for name in SERVERS:
                    _measure(report, name, made, url, asked, mariadb.pid, quick)
        finally:
            mariadb.stop()


def _fill(folder: Path, url: str) -> list[Asked]:
    """Ten thousand containers of the administrator's project; what is to be asked."""
    admin = read_identities(folder / "state" / "identities.yaml")["admin"]
    rows = [row(n, admin.project_id, admin.user_id) for n in range(ROWS)]
    database = Database(url)
    insert(database, rows)
    analyze(database.engine)
    with database.engine.begin() as conn:
        conn.execute(sa.text(_FLOOR_TABLE))
    database.close()
    one = rows[ROWS // 2].uuid
    wish = {"image": IMAGE, "command": list(COMMAND), "cpu": CPU, "memory": str(MEMORY)}
    return [
        Asked(
            name=f"list of 1,000 of {ROWS:,}", path="/v1/containers?limit=1000",
            statement="SELECT * FROM containers WHERE project_id = %s ORDER BY id LIMIT 1000",
            values=[admin.project_id],
        ),
        Asked(
            name="GET one", path=f"/v1/containers/{one}",
            statement="SELECT * FROM containers WHERE uuid = %s", values=[one],
        ),
        Asked(
            name="create -> 202", path="/v1/containers?run=true", body=json.dumps(wish),
            statement="INSERT INTO floor (uuid, body) VALUES (UUID(), %s)", values=[json.dumps(wish)],
        ),
    ]  # fmt: skip


def _headers(folder: Path) -> dict[str, str]:
    password = (folder / "state" / "password").read_text().strip()
    return {
        "Authorization": "Basic " + b64encode(f"admin:{password}".encode()).decode(),
        "OpenStack-API-Version": "container 1.40",
        "Content-Type": "application/json",
    }


def _measure(
    report: Report, name: str, made: Parts, url: str, asked: list[Asked], database: int, quick: bool
) -> None:
    rounds, seconds = (2, 2) if quick else (5, 5)
    headers = _headers(made.folder)
    with _Both(name, made, url, asked, headers) as both:
        for index, each in enumerate(asked):
            ours, bare, spent = [], [], []
            for turn in range(rounds):
                bare.append(both.floor(f"/{index}", headers, seconds, each.body))
                before = load.cpu_ms(database)
                ours.append(both.ours(each.path, headers, seconds, each.body))
                spent.append((load.cpu_ms(database) - before) / ours[-1].count)
                say(
                    f"  {name}: {each.name}: {ours[-1].rate:.0f}/s, bare {bare[-1].rate:.0f}/s ({turn + 1}/{rounds})"
                )
            compared(report, f"{name}: {each.name}", ours, bare)
            report.notes.append(
                f"{name}: {each.name}: MariaDB used {Sample(values=spent).text} of processor time an answer."
            )
        both.weigh(report, name)


class _Both:
    """Ours and the floor under one kind of server, both running between `enter` and `exit`."""

    def __init__(
        self, name: str, made: Parts, url: str, asked: list[Asked], headers: Mapping[str, str]
    ) -> None:
        self._name, self._made = name, made
        self._url, self._asked, self._headers = url, asked, headers

    def __enter__(self) -> _Both:
        self._ours = self._start("ours", OURS)
        self._floor = self._start("floor", FLOOR, **{floor.VARIABLE: str(self._tell())})
        return self

    def __exit__(self, *_: object) -> None:
        for served in (self._ours, self._floor):
            served.part.send(signal.SIGTERM)

    def _start(self, kind: str, app: str, **env: str) -> Served:
        port = free_port()
        name = f"{self._name}-{kind}"
        file = self._made.config(name, metrics={"port": free_port()})
        part = self._made.add(
            SERVERS[self._name](port, file, app), name, f"http://127.0.0.1:{port}",
            PYTHONPATH=f"{_ROOT}:{os.environ.get('PYTHONPATH', '')}", **env,
        ).start()  # fmt: skip
        children: tuple[int, ...] = eventually(lambda: _children(part.pid), "there are workers")
        served = Served(part=part, workers=children)
        if app == OURS:  # a worker begins with its first request
            eventually(lambda: _all_have_begun(served), f"both workers have begun; see {part.log}")
        return served

    def _tell(self) -> Path:
        """The floor's own file: our answers are its."""
        paths = {}
        for index, each in enumerate(self._asked):
            method, body = ("POST", json.loads(each.body)) if each.body else ("GET", None)
            headers = {key.replace("-", "_"): value for key, value in self._headers.items()}
            status, answer = ask(self._ours.part.url, method, each.path, body, **headers)
            assert status == (202 if each.body else 200), answer
            file = self._made.folder / f"{self._name}-{index}"
            file.write_text(json.dumps(answer, separators=(",", ":")))
            paths[f"/{index}"] = {
                "statement": each.statement, "values": each.values, "file": str(file), "status": status,
            }  # fmt: skip
        told = self._made.folder / f"{self._name}-floor.json"
        told.write_text(json.dumps({"url": self._url, "paths": paths}))
        return told

    def ours(self, path: str, headers: Mapping[str, str], seconds: int, body: str) -> load.Load:
        """Load on ours."""
        return load.put(self._ours.port, path, headers, seconds, *self._ours.workers, body=body)

    def floor(self, path: str, headers: Mapping[str, str], seconds: int, body: str) -> load.Load:
        """Load on the floor."""
        return load.put(self._floor.port, path, headers, seconds, *self._floor.workers, body=body)

    def weigh(self, report: Report, name: str) -> None:
        """What a worker has in memory after all of it."""
        ours, bare = (
            Sample(values=[memory(pid)[1] for pid in served.workers], unit="MiB")
            for served in (self._ours, self._floor)
        )
        report.rows.append(
            Row(
                name=f"{name}: memory of a worker (PSS)", ours=f"{number(ours.median)} MiB",
                floor=f"{number(bare.median)} MiB", ratio=ours.median / bare.median,
            )
        )  # fmt: skip


def _children(pid: int) -> tuple[int, ...]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return tuple(map(int, found)) if len(found) == 2 else ()


def _all_have_begun(served: Served) -> bool:
    """Asks both workers at once; whether both have begun, as they tell their log."""
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda _: served.part.healthy, range(32)))
    said = served.part.log.read_text(errors="replace")
    return all(f"process {pid}" in said for pid in served.workers)
