"""Benchmark 6: what the store costs on SQLite, MariaDB and PostgreSQL, each beside its driver told the same by hand.

The servers are private ones, durable as in production: an answered commit is on the disk.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from tests.support import databases
from tests.support.house import PROJECT, Fakes, make, quick_settings
from tests.support.plans import analyze
from tests.support.rows import NOW, host

from bench import reads
from bench.figures import Report, Sample, paired
from zun.model.container import Draft
from zun.model.host import Claim
from zun.model.names import new_uuid
from zun.store import claims, containers, hosts
from zun.store.database import Database

ROWS = 10_000
NAMES = {
    databases.SQLITE: "SQLite",
    databases.MARIADB: "MariaDB",
    databases.POSTGRESQL: "PostgreSQL",
}

Statements = Sequence[tuple[str, Any]]


class Recorded:
    """The statements of one piece of work, to be done again by the driver alone."""

    def __init__(self, db: Database, work: Callable[[], object]) -> None:
        self.statements: list[tuple[str, Any]] = []
        self._db = db

        def saw(_conn: Any, _cursor: Any, text: str, parameters: Any, *_: Any) -> None:
            self.statements.append((text, parameters))

        sa.event.listen(db.engine, "before_cursor_execute", saw)
        work()
        sa.event.remove(db.engine, "before_cursor_execute", saw)
        if db.is_sqlite:
            self.statements = [
                s for s in self.statements if s[0] not in ("BEGIN IMMEDIATE", "COMMIT")
            ]
        self.connection = db.engine.raw_connection()

    def again(self, changed: dict[Any, Any] | None = None) -> None:
        """Does it in one transaction, reading all that is answered; `changed`: other values for some of the first."""
        cursor = self.connection.cursor()
        if self._db.is_sqlite:
            cursor.execute("BEGIN IMMEDIATE" if changed else "BEGIN")
        for text, parameters in self.statements:
            cursor.execute(text, _other(parameters, changed or {}))
            if cursor.description is not None:
                cursor.fetchall()
        cursor.close()
        (self.connection.commit if changed else self.connection.rollback)()


def _other(parameters: Any, changed: dict[Any, Any]) -> Any:
    if isinstance(parameters, dict):
        return {key: _other(value, changed) for key, value in parameters.items()}
    if isinstance(parameters, (list, tuple)):
        return type(parameters)(_other(value, changed) for value in parameters)
    return changed.get(parameters, parameters) if isinstance(parameters, str) else parameters


@contextmanager
def started(kind: str, folder: Path) -> Iterator[str]:
    """The URL of an empty database of this kind, on a server of its own that is durable."""
    if kind == databases.SQLITE:
        yield f"sqlite:///{folder / 'zun.sqlite'}"
        return
    name = {databases.MARIADB: "MariaDB", databases.POSTGRESQL: "PostgreSQL"}[kind]
    server = getattr(databases.workbench(kind), name)(folder / kind, durable=True)
    server.start()
    try:
        yield server.create("zun", "zun", "secret")
    finally:
        server.stop()


def stores(report: Report, quick: bool) -> None:
    """Four pieces of work on three databases."""
    for kind in databases.KINDS:
        with tempfile.TemporaryDirectory(prefix="zun-bench-") as made:
            folder = Path(made)
            folder.chmod(0o755)
            with started(kind, folder) as url:
                _measure(report, kind, folder, url, quick)


def _measure(report: Report, kind: str, folder: Path, url: str, quick: bool) -> None:
    if kind != databases.SQLITE:
        databases.put_elsewhere(folder, url)
    rig = make(folder, Fakes(), quick_settings())
    db, rounds = rig.db, 5 if quick else 40
    rows = [reads.row(number, PROJECT, "u") for number in range(ROWS)]
    reads.insert(db, rows)
    with db.write() as conn:
        hosts.register(conn, host(cpus=1e9, memory=2**30, disk=2**30), NOW)
    if kind != databases.SQLITE:
        analyze(db.engine)  # as the servers do by themselves, a while after
    name = NAMES[kind]
    listed = Recorded(db, lambda: _page(db))
    pair = taken(lambda _: _page(db), lambda _: listed.again(), rounds, 1)
    report.rows.append(paired(f"{name}: list of 1,000 of 10,000", *pair))
    uuid = rows[ROWS // 2].uuid
    one = Recorded(db, lambda: _get(db, uuid))
    pair = taken(lambda _: _get(db, uuid), lambda _: one.again(), rounds, 25)
    report.rows.append(paired(f"{name}: one by its uuid", *pair))
    draft = Draft(image="busybox", run=True, name="c")
    rig.create(draft)  # so that the project has its row of usage
    created = Recorded(db, lambda: rig.create(draft))
    pair = taken(
        lambda _: rig.create(draft), lambda _: created.again(_fresh(created.statements)), rounds, 5
    )
    report.rows.append(
        paired(f"{name}: a create accepted ({len(created.statements)} statements)", *pair)
    )
    claimed = Recorded(db, lambda: _claim(db, "first"))
    pair = taken(
        lambda _: _claim(db, new_uuid()), lambda _: claimed.again({"first": new_uuid()}), rounds, 5
    )
    report.rows.append(paired(f"{name}: a claim ({len(claimed.statements)} statements)", *pair))
    for recorded in (listed, one, created, claimed):
        recorded.connection.close()
    db.close()


def _fresh(statements: Statements) -> dict[Any, Any]:
    """New uuids for those of a create that was recorded: of the container, and of its operation."""
    [inserts] = [p for text, p in statements if text.startswith("INSERT INTO operations")]
    values = list(inserts.values()) if isinstance(inserts, dict) else list(inserts)
    return {value: new_uuid() for value in values if isinstance(value, str) and _is_uuid(value)}


def _is_uuid(text: str) -> bool:
    return len(text) == 36 and text.count("-") == 4


def _page(db: Database) -> None:
    with db.read() as conn:
        page = containers.page(
            conn, project_id=PROJECT, filters={}, limit=1000, after=None, sort_key="id", descending=False
        )  # fmt: skip
        assert len(page) == 1000


def _get(db: Database, uuid: str) -> None:
    with db.read() as conn:
        assert containers.get(conn, uuid) is not None


def _claim(db: Database, uuid: str) -> None:
    wanted = Claim(container_uuid=uuid, host="host-1", cpu=1.0, memory=1, disk=0)
    assert db.run(lambda conn: claims.claim(conn, wanted))


def taken(
    ours: Callable[[int], object], floor: Callable[[int], object], rounds: int, at_once: int
) -> tuple[Sample, Sample]:
    """Milliseconds of each, in turns; each value is the mean of `at_once` in a row."""
    times: tuple[list[float], list[float]] = ([], [])
    for turn in range(rounds):
        for values, work in zip(times, (ours, floor), strict=True):
            begun = time.perf_counter()
            for number in range(at_once):
                work(turn * at_once + number)
            values.append((time.perf_counter() - begun) * 1000 / at_once)
    return Sample(values=times[0]), Sample(values=times[1])
