"""Benchmark 9: what the indexes for the orders of the list of containers cost a create and a change, by database.

Databases with 100,000 containers, each on a durable server of its own: one has all indexes, one lacks those that
serve an order alone, one only those of `updated_at`, which every change moves.
"""

from __future__ import annotations

import random
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from tests.support import databases
from tests.support.house import Fakes, Rig, caller, make, quick_settings
from tests.support.plans import analyze

from bench.databases import NAMES, started, taken
from bench.figures import Report, paired
from bench.house import say
from bench.reads import row
from bench.rows import insert
from zun.model.container import Container, Draft
from zun.model.lifecycle import Status
from zun.store import containers
from zun.store.schema import containers as table

ROWS, PROJECTS = 100_000, 100
_ORDERS = ("uuid", "cpu", "disk", "hostname", "runtime", "image_driver", "updated_at", "started_at")
_BEGAN = datetime(2026, 1, 1)


def indexes(report: Report, quick: bool) -> None:
    """Milliseconds with all indexes and without some, in turns."""
    rounds = 10 if quick else 100
    for kind in databases.KINDS:
        with ExitStack() as stack:
            every, bare, still = (
                stack.enter_context(_side(kind, lacking)) for lacking in ((), _ORDERS, ("updated_at",))
            )  # fmt: skip
            works: list[tuple[str, Callable[[], object], Callable[[], object]]] = [
                ("a create accepted, no indexes of orders alone", every.create, bare.create),
                ("a change of status, no indexes of orders alone", every.change, bare.change),
                ("a change of status, none of updated_at", every.change, still.change),
            ]
            for name, ours, floor in works:
                pair = taken(lambda _, work=ours: work(), lambda _, work=floor: work(), rounds, 10)
                report.rows.append(paired(f"{NAMES[kind]}: {name}", *pair))
                say(f"  {NAMES[kind]}: {name}: {report.rows[-1].ratio:.2f}")


class _Side:
    """One database, and the service on it."""

    def __init__(self, rig: Rig, uuids: Sequence[str]) -> None:
        self._rig, self._uuids = rig, uuids
        self._chance = random.Random(4711)

    def create(self) -> None:
        """A create accepted, of one of many projects."""
        project = f"{self._chance.randrange(PROJECTS):032}"
        self._rig.create(Draft(image="busybox", run=True), caller(project))

    def change(self) -> None:
        """What settles an operation: the status of any container, and when that was."""
        uuid, status = self._chance.choice(self._uuids), self._chance.choice(_STATUSES)
        now = _BEGAN + timedelta(seconds=self._chance.uniform(0, 1e7))

        def work(conn: Connection) -> bool:
            return containers.update(conn, uuid, now, status=status)

        assert self._rig.db.run(work)


_STATUSES = (Status.RUNNING, Status.STOPPED, Status.PAUSED)


@contextmanager
def _side(kind: str, lacking: Sequence[str]) -> Iterator[_Side]:
    """A full database without the indexes of these orders."""
    with tempfile.TemporaryDirectory(prefix="zun-bench-") as made:
        folder = Path(made)
        folder.chmod(0o755)
        with started(kind, folder) as url:
            if kind != databases.SQLITE:
                databases.put_elsewhere(folder, url)
            rig = make(folder, Fakes(), quick_settings())
            say(
                f"  {NAMES[kind]}: {ROWS:,} rows, without the indexes of {', '.join(lacking) or 'none'} ..."
            )
            with rig.db.engine.begin() as conn:
                for column in lacking:
                    for index in _of(column):
                        index.drop(conn)
            chance = random.Random(42)
            rows = [_row(chance, number) for number in range(ROWS)]
            insert(rig.db, table, rows)
            if kind != databases.SQLITE:
                analyze(rig.db.engine)  # as the servers do by themselves, a while after
            yield _Side(rig, [one.uuid for one in rows])
            rig.db.close()


def _of(column: str) -> list[sa.Index]:
    """The indexes of this order, within a project and over all."""
    names = {f"ix_containers_{column}_id", f"ix_containers_project_id_{column}_id"}
    names.add(f"ix_containers_project_id_{column}")
    return [index for index in table.indexes if index.name in names]


def _row(chance: random.Random, number: int) -> Container:
    """One of a cloud's: of any project, age and size."""
    made = _BEGAN + timedelta(seconds=chance.uniform(0, 1e7))
    return replace(
        row(number, f"{chance.randrange(PROJECTS):032}", f"u{chance.randrange(1000)}"),
        cpu=chance.choice((0.5, 1.0, 2.0, 4.0)), disk=chance.choice((0, 10, 20)), host=f"host-{chance.randrange(500)}",
        status=chance.choice(_STATUSES), runtime=chance.choice((None, "runc")), created_at=made, started_at=made,
        updated_at=made + timedelta(seconds=chance.uniform(0, 1e6)),
    )  # fmt: skip
