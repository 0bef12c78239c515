"""Rows for benchmarks that need many: made in memory, and written in pieces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
from tests.support.capsules import capsule
from tests.support.rows import host_image, operation, registry

from bench.reads import row
from zun.model.container import Container
from zun.model.lifecycle import Action, Status
from zun.store import labels, operations, schema
from zun.store.database import Database
from zun.store.rows import values_of
from zun.work.clock import utcnow

_AT_ONCE = 1000  # a transaction that takes too long is refused


def insert(db: Database, table: sa.Table, rows: Sequence[Any]) -> None:
    """Adds rows, as the store does one at a time."""
    for start in range(0, len(rows), _AT_ONCE):
        part = rows[start : start + _AT_ONCE]
        with db.write() as conn:
            conn.execute(table.insert(), [values_of(table, one, but=_DERIVED) for one in part])


_DERIVED = frozenset({"id"})


def write(db: Database, rows: dict[str, list[Any]], busy: Sequence[Container]) -> None:
    """Fills the tables of these names; containers with their labels, and those of `busy` are being stopped."""
    for name, some in rows.items():
        insert(db, schema.metadata.tables[name], some)
    some = rows["containers"]
    for start in range(0, len(some), _AT_ONCE):
        with db.write() as conn:
            for one in some[start : start + _AT_ONCE]:
                labels.insert(conn, one.uuid, one.labels)
    with db.write() as conn:
        for one in busy:
            stop = operation(
                action=Action.STOP, container_uuid=one.uuid, project_id=one.project_id, begun=True,
                prior_status=Status.RUNNING, steps=(), deadline=utcnow() + timedelta(days=1),
            )  # fmt: skip
            operations.open_(conn, stop)


def of_lists(count: int, rare: int, project: str, user: str) -> dict[str, list[Any]]:
    """`count` rows of each list that has pages, all alike but `rare` of them, whose values say so."""
    made: dict[str, list[Any]] = {name: [] for name in _MAKERS}
    for index in range(count):
        when = utcnow() - timedelta(seconds=index * 7919 % count)
        few = index % (count // rare) == 0
        for name, maker in _MAKERS.items():
            made[name].append(maker(index, few, project_id=project, user_id=user, created_at=when))
    return made


def _container(index: int, few: bool, **shared: Any) -> Container:
    one = replace(row(index, shared["project_id"], shared["user_id"]), **shared)
    if not few:
        return one
    return replace(
        one, image="rare", user_id="rare", memory=640, host="rare", status=Status.PAUSED, auto_remove=True,
        name=f"rare-{index}", labels={**one.labels, "rare": "yes"},
    )  # fmt: skip


def _capsule(index: int, few: bool, **shared: Any) -> Any:
    return capsule(name=f"web-{index}", host=f"host-{index % 50}", **shared)


def _registry(index: int, few: bool, **shared: Any) -> Any:
    if few:
        shared["user_id"] = "rare"
    return registry(
        name=f"web-{index}", domain="rare" if few else "docker.io", username="rare" if few else "robot", **shared
    )  # fmt: skip


def _image(index: int, few: bool, **shared: Any) -> Any:
    return host_image(repo=f"web-{index}", host=f"host-{index % 50}", size=index, **shared)


_MAKERS = {
    "containers": _container, "capsules": _capsule, "registries": _registry, "images": _image
}  # fmt: skip
