"""SQL on whom containers are tied to, and where those are."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from zun.model.placement import ALONE, NO_TIES, GroupPolicy, Neighbours, Tie, Ties
from zun.store.rows import put, slices
from zun.store.schema import containers, placement_groups, placement_ties

_OF_ME = sa.select(placement_ties.c.container_uuid, placement_ties.c.kind).where(
    placement_ties.c.target == sa.bindparam("uuid"),
    placement_ties.c.kind.in_([Tie.SAME_HOST, Tie.DIFFERENT_HOST]),
)

#: In one order, so that of two that name each other none waits for ever.
_HOLD = (
    sa.select(containers.c.id)
    .where(containers.c.uuid.in_(sa.bindparam("uuids", expanding=True)))
    .order_by(containers.c.uuid)
    .with_for_update()
)


def policy_of(conn: Connection, project_id: str, name: str) -> GroupPolicy | None:
    """The policy of a group, or None if there is none of that name."""
    found = conn.execute(_group(project_id, name)).scalar()
    return None if found is None else GroupPolicy(found)


def _group(project_id: str, name: str) -> sa.Select[Any]:
    return sa.select(placement_groups.c.policy).where(
        placement_groups.c.project_id == project_id, placement_groups.c.name == name
    )


def insert(conn: Connection, uuid: str, project_id: str, ties: Ties) -> GroupPolicy | None:
    """Records the ties of a new container; the policy its group has, which may be another's choice."""
    policy = None
    if ties.group is not None:
        assert ties.policy is not None
        key = {"project_id": project_id, "name": ties.group}
        put(conn, placement_groups, key, {"policy": ties.policy}, keep=True)
        # Held, so that the group can't go with its last member before this one is in it.
        query = _group(project_id, ties.group).with_for_update()
        policy = GroupPolicy(conn.execute(query).scalar_one())
    rows = [
        *([(Tie.GROUP, ties.group)] if ties.group is not None else []),
        *((Tie.SAME_HOST, other) for other in ties.same_host),
        *((Tie.DIFFERENT_HOST, other) for other in ties.different_host),
    ]
    if rows:
        conn.execute(
            placement_ties.insert(),
            [
                {"container_uuid": uuid, "project_id": project_id, "kind": kind, "target": target}
                for kind, target in rows
            ],
        )
    return policy


def delete(conn: Connection, uuid: str, project_id: str) -> None:
    """Removes a container's ties, those of others to it, and its group with its last member."""
    group = conn.execute(
        sa.select(placement_ties.c.target).where(
            placement_ties.c.container_uuid == uuid, placement_ties.c.kind == Tie.GROUP
        )
    ).scalar()
    if group is not None:
        conn.execute(_group(project_id, group).with_for_update())
    conn.execute(placement_ties.delete().where(placement_ties.c.container_uuid == uuid))
    conn.execute(
        placement_ties.delete().where(
            placement_ties.c.target == uuid,
            placement_ties.c.kind.in_([Tie.SAME_HOST, Tie.DIFFERENT_HOST]),
        )
    )
    if group is None:
        return
    # Locking, so that MariaDB reads what is there now and not when the transaction began.
    members = _members(project_id, group).with_for_update(read=True)
    if conn.execute(members).first() is None:
        conn.execute(
            placement_groups.delete().where(
                placement_groups.c.project_id == project_id, placement_groups.c.name == group
            )
        )


def _members(project_id: str, group: str) -> sa.Select[Any]:
    return sa.select(placement_ties.c.container_uuid).where(
        placement_ties.c.target == group,
        placement_ties.c.kind == Tie.GROUP,
        placement_ties.c.project_id == project_id,
    )


def neighbours(conn: Connection, uuid: str, project_id: str, ties: Ties) -> Neighbours:
    """The hosts of all that a container about to be placed is tied to, from either side.

    Must be the first in its transaction. Until that ends it holds the container's row, the rows of those it names, and
    its group's: of two that are tied and placed at once the later one sees where the earlier one went. Who names this
    one waits for its row, and need not be held.
    """
    if conn.dialect.name != "sqlite":  # which has one writer at a time anyway
        held = sorted({uuid, *ties.same_host, *ties.different_host})
        conn.execute(_HOLD, {"uuids": held}).all()
    policy: GroupPolicy | None = None
    if ties.group is not None:
        query = _group(project_id, ties.group).with_for_update()
        policy = GroupPolicy(conn.execute(query).scalar_one())
    of_me = conn.execute(_OF_ME, {"uuid": uuid}).all()
    if ties == NO_TIES and not of_me:
        return ALONE
    same = {*ties.same_host, *(by for by, kind in of_me if kind == Tie.SAME_HOST)}
    other = {*ties.different_host, *(by for by, kind in of_me if kind == Tie.DIFFERENT_HOST)}
    near, away = set(_hosts(conn, same)), set(_hosts(conn, other))
    liked: Counter[str] = Counter()
    disliked: Counter[str] = Counter()
    if ties.group is not None:
        members = set(conn.execute(_members(project_id, ties.group)).scalars()) - {uuid}
        there = _hosts(conn, members)
        match policy:
            case GroupPolicy.AFFINITY:
                near |= set(there)
            case GroupPolicy.ANTI_AFFINITY:
                away |= set(there)
            case GroupPolicy.SOFT_AFFINITY:
                liked.update(there)
            case GroupPolicy.SOFT_ANTI_AFFINITY:
                disliked.update(there)
    return Neighbours(
        near=frozenset(near) or None, away=frozenset(away), liked=liked, disliked=disliked
    )


def _hosts(conn: Connection, uuids: Iterable[str]) -> list[str]:
    """Where they are, once for each; who has no place yet is absent."""
    wanted = list(uuids)
    found: list[str] = []
    for part in slices(wanted):
        query = sa.select(containers.c.host).where(
            containers.c.uuid.in_(part), containers.c.host.is_not(None)
        )
        found += conn.execute(query).scalars()
    return found
