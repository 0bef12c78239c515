"""SQL on limits of projects and on what they use."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from zun.model.quota import MILLI, RESOURCES, UNLIMITED, Amounts, Limits, milli
from zun.store.rows import put
from zun.store.schema import capsules, containers, project_usage, quota_classes, quotas

#: The one class whose limits count for projects without limits of their own (contract 8).
DEFAULT_CLASS = "default"

#: Above every sum, and within every database's integers.
_ENDLESS = 2**62

_NOTHING = {resource: 0 for resource in RESOURCES}
_COLUMNS = [project_usage.c[resource] for resource in RESOURCES]
_OF_PROJECT: sa.BindParameter[str] = sa.bindparam("of_project", type_=sa.String)
_MINE = project_usage.c.project_id == _OF_PROJECT
_PLUS = {r: project_usage.c[r] + sa.bindparam(f"more_{r}", type_=sa.BigInteger) for r in RESOURCES}

# Every create runs these: said once, with values beside them, so that they are compiled once.
_STAND = sa.union_all(
    sa.select(sa.literal_column("0").label("rank"), quota_classes.c.resource, quota_classes.c.hard_limit)
    .where(quota_classes.c.class_name == DEFAULT_CLASS),
    sa.select(sa.literal_column("1"), quotas.c.resource, quotas.c.hard_limit)
    .where(quotas.c.project_id == _OF_PROJECT),
    sa.select(sa.literal_column("2"), sa.literal_column("'usage'"), sa.literal_column("0")).where(_MINE),
)  # fmt: skip
_COUNT = project_usage.update().where(_MINE).values(_PLUS)
_TAKE = _COUNT.where(
    *(_PLUS[r] <= sa.bindparam(f"most_{r}", type_=sa.BigInteger) for r in RESOURCES)
)
_EXISTS = sa.select(project_usage.c.project_id).where(_MINE)


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
    return _stand(conn, project_id, configured)[0]


def _stand(conn: Connection, project_id: str, configured: Limits) -> tuple[Limits, bool]:
    """The effective limits of a project, and whether it has a row of usage."""
    rows = sorted(conn.execute(_STAND, {"of_project": project_id}).all())
    limits = dict(configured)
    limits.update((resource, limit) for rank, resource, limit in rows if rank < 2)
    return limits, any(rank == 2 for rank, _, _ in rows)


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


def take(
    conn: Connection, project_id: str, wanted: Amounts, configured: Limits, *, enforced: bool = True
) -> Limits | None:
    """Counts `wanted` if all of it stays within the effective limits, by one conditional update.

    None if it did, else the limits that stood against it. Only what is wanted more of is compared: a project above
    a limit that was lowered may still do what needs none of that resource. Not `enforced`: nothing is compared.
    """
    limits, counted = _stand(conn, project_id, configured)
    if not counted:
        _begin(conn, project_id)
    most = {r: _most(r, wanted, limits) if enforced else _ENDLESS for r in RESOURCES}
    values = _more(project_id, wanted) | {f"most_{r}": most[r] for r in RESOURCES}
    return None if conn.execute(_TAKE, values).rowcount == 1 else limits


def _most(resource: str, wanted: Amounts, limits: Limits) -> int:
    limit = limits[resource]
    if limit == UNLIMITED or getattr(wanted, resource) <= 0:
        return _ENDLESS
    return limit * MILLI if resource == "cpu" else limit


def count(conn: Connection, project_id: str, change: Amounts) -> None:
    """Counts a change that no limit forbids: what is given back, or was promised before."""
    if change == Amounts():
        return
    values = _more(project_id, change)
    if conn.execute(_EXISTS, {"of_project": project_id}).first() is None:
        _begin(conn, project_id)
    conn.execute(_COUNT, values)


def _begin(conn: Connection, project_id: str) -> None:
    # Looked for before: a new project is rare, and an update that finds no row would lock a gap in MariaDB.
    put(conn, project_usage, {"project_id": project_id}, _NOTHING, keep=True)


def _more(project_id: str, change: Amounts) -> dict[str, Any]:
    return {"of_project": project_id, **{f"more_{r}": getattr(change, r) for r in RESOURCES}}


def drift(conn: Connection) -> Mapping[str, tuple[Amounts, Amounts]]:
    """Projects whose usage is not what their rows sum up to: project -> (recorded, counted anew).

    Empty unless something is wrong; for tests and for whoever looks for a fault. Reads every container and capsule.
    A member of a capsule counts as a container; what it takes is counted with the capsule.
    """
    member = containers.c.capsule_uuid.is_not(None)
    sizes = [containers.c.cpu, containers.c.memory, containers.c.disk]
    alone = [sa.case((member, 0), else_=column) for column in sizes]
    query = sa.union_all(
        sa.select(containers.c.project_id, sa.literal_column("1"), *alone),
        sa.select(
            capsules.c.project_id, sa.literal_column("0"), capsules.c.cpu, capsules.c.memory, capsules.c.disk
        ),
    )  # fmt: skip
    counted: dict[str, Amounts] = {}
    for project_id, number, cpu, memory, disk in conn.execute(query):
        sum_ = counted.get(project_id, Amounts())
        counted[project_id] = Amounts(
            containers=sum_.containers + number,
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
