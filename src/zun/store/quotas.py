"""SQL on limits of projects and on what they use."""

from __future__ import annotations

from collections.abc import Mapping

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from zun.model.quota import MILLI, RESOURCES, UNLIMITED, Amounts, Limits, milli
from zun.store.rows import put
from zun.store.schema import containers, project_usage, quota_classes, quotas

#: The one class whose limits count for projects without limits of their own (contract 8).
DEFAULT_CLASS = "default"

_NOTHING = {resource: 0 for resource in RESOURCES}
_COLUMNS = [project_usage.c[resource] for resource in RESOURCES]


# ---- limits


def of_project(conn: Connection, project_id: str) -> Limits:
    """The limits set for a project; a resource without one is absent."""
    query = sa.select(quotas.c.resource, quotas.c.hard_limit)
    return _limits(conn, query.where(quotas.c.project_id == project_id))


def of_class(conn: Connection, class_name: str) -> Limits:
    """The limits set for a class; a resource without one is absent."""
    query = sa.select(quota_classes.c.resource, quota_classes.c.hard_limit)
    return _limits(conn, query.where(quota_classes.c.class_name == class_name))


def _limits(conn: Connection, query: sa.Select[tuple[str, int]]) -> Limits:
    return {row.resource: row.hard_limit for row in conn.execute(query)}


def effective(conn: Connection, project_id: str, configured: Limits) -> Limits:
    """What holds for a project: its own limit, else that of the class `default`, else the configured one."""
    return {**configured, **of_class(conn, DEFAULT_CLASS), **of_project(conn, project_id)}


def set_project(conn: Connection, project_id: str, limits: Limits) -> None:
    """Sets limits of a project; repeated, nothing changes (defect 13.2-38)."""
    for resource, limit in limits.items():
        put(
            conn,
            quotas,
            {"project_id": project_id, "resource": resource},
            {"hard_limit": limit},
        )


def set_class(conn: Connection, class_name: str, limits: Limits) -> None:
    """Sets limits of a class; repeated, nothing changes."""
    for resource, limit in limits.items():
        put(
            conn,
            quota_classes,
            {"class_name": class_name, "resource": resource},
            {"hard_limit": limit},
        )


def forget_project(conn: Connection, project_id: str) -> None:
    """Removes all limits of a project; those of the class `default` hold for it again."""
    conn.execute(quotas.delete().where(quotas.c.project_id == project_id))


# ---- usage


def used(conn: Connection, project_id: str) -> Amounts:
    """What a project uses."""
    query = sa.select(*_COLUMNS).where(project_usage.c.project_id == project_id)
    row = conn.execute(query).first()
    return Amounts() if row is None else Amounts(**row._mapping)


def take(conn: Connection, project_id: str, wanted: Amounts, limits: Limits) -> bool:
    """Counts `wanted` if all of it stays within `limits`, by one conditional update; whether it did.

    Only what is wanted more of is compared: a project above a limit that was lowered may still do what
    needs none of that resource.
    """
    _ensure(conn, project_id)
    query = project_usage.update().where(project_usage.c.project_id == project_id)
    for resource in RESOURCES:
        more, limit = getattr(wanted, resource), limits[resource]
        if more > 0 and limit != UNLIMITED:
            most = limit * MILLI if resource == "cpu" else limit
            query = query.where(project_usage.c[resource] + more <= most)
    return conn.execute(query.values(_plus(wanted))).rowcount == 1


def count(conn: Connection, project_id: str, change: Amounts) -> None:
    """Counts a change that no limit forbids: what is given back, or was promised before."""
    if change != Amounts():
        _ensure(conn, project_id)
        mine = project_usage.c.project_id == project_id
        conn.execute(project_usage.update().where(mine).values(_plus(change)))


def _ensure(conn: Connection, project_id: str) -> None:
    # Looked for first: a new project is rare, and an update that finds no row would lock a gap in MariaDB.
    mine = project_usage.c.project_id == project_id
    if conn.execute(sa.select(project_usage.c.project_id).where(mine)).first() is None:
        put(conn, project_usage, {"project_id": project_id}, _NOTHING, keep=True)


def _plus(change: Amounts) -> Mapping[str, sa.ColumnElement[int]]:
    return {r: project_usage.c[r] + getattr(change, r) for r in RESOURCES}


def drift(conn: Connection) -> Mapping[str, tuple[Amounts, Amounts]]:
    """Projects whose usage is not what their rows sum up to: project -> (recorded, counted anew).

    Empty unless something is wrong; for tests and for whoever looks for a fault. Reads every container.
    """
    counted: dict[str, Amounts] = {}
    query = sa.select(
        containers.c.project_id, containers.c.cpu, containers.c.memory, containers.c.disk
    )
    for project_id, cpu, memory, disk in conn.execute(query):
        sum_ = counted.get(project_id, Amounts())
        counted[project_id] = Amounts(
            containers=sum_.containers + 1,
            cpu=sum_.cpu + milli(cpu),
            memory=sum_.memory + memory,
            disk=sum_.disk + disk,
        )
    rows = conn.execute(sa.select(project_usage.c.project_id, *_COLUMNS))
    recorded = {row[0]: Amounts(**dict(zip(RESOURCES, row[1:], strict=True))) for row in rows}
    pairs = {
        project: (recorded.get(project, Amounts()), counted.get(project, Amounts()))
        for project in recorded.keys() | counted.keys()
    }
    return {project: pair for project, pair in pairs.items() if pair[0] != pair[1]}
