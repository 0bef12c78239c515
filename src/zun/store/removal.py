"""Removing a container or a capsule: its row and everything that is kept because of it, in one place."""

from __future__ import annotations

from sqlalchemy.engine import Connection

from zun.model import capsule as capsule_model
from zun.model.quota import amounts_of
from zun.store import capsules, claims, containers, networks, operations, quotas, ties


def remove_container(conn: Connection, uuid: str) -> bool:
    """Removes the row, its claim, ports and closed operations, and gives its project back what it counted.

    Whether there was one: what two transactions remove is given back once.
    """
    container = containers.get(conn, uuid)
    claims.release(conn, uuid)
    networks.release_ports(conn, uuid)
    if container is not None:
        ties.delete(conn, uuid, container.project_id)
    removed = containers.delete(conn, uuid)
    if removed and container is not None:
        quotas.count(conn, container.project_id, -amounts_of(container))
    operations.forget_container(conn, uuid)
    return removed


def remove_capsule(conn: Connection, uuid: str) -> bool:
    """Removes the row and those of its members, its claim, ports and closed operations, and gives its project back
    what it counted. Whether there was one."""
    capsule = capsules.get(conn, uuid)
    claims.release(conn, uuid)
    networks.release_ports(conn, uuid)
    members = containers.members_of(conn, [uuid])[uuid]
    removed = capsules.delete(conn, uuid)
    for member in members:
        containers.delete(conn, member.uuid)
    if removed and capsule is not None:
        quotas.count(conn, capsule.project_id, -capsule_model.amounts_of(capsule, len(members)))
    operations.forget_container(conn, uuid)
    return removed
