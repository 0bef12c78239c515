"""SQL on containers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from zun.model.container import SORT_KEYS, Container, Listed
from zun.model.lifecycle import IN_TRANSIT, TRANSITIONS, Action, Status
from zun.store import keyset, labels
from zun.store.rows import columns_of, hold_row, names_of, values_of
from zun.store.schema import Json, JsonAsIs, containers, operations

_COLUMNS = columns_of(containers, Container)
_NAMES = names_of(_COLUMNS)
# Not null, of course; said so that a planner knows how few these are.
_OPEN = (operations.c.open_key == containers.c.uuid) & operations.c.open_key.is_not(None)
_SELECT = sa.select(*_COLUMNS, operations.c.action, operations.c.begun).select_from(
    containers.outerjoin(operations, _OPEN)
)
_BY_UUID = _SELECT.where(containers.c.uuid == sa.bindparam("uuid"))
_UPDATE = containers.update().where(containers.c.uuid == sa.bindparam("of_uuid"))
_DERIVED = frozenset({"id", "open_action", "open_begun"})
#: Containers of users; members of a capsule are not among them (contract 4.5).
_ALONE = containers.c.capsule_uuid.is_(None)


def _value(row: Any) -> Container:
    *plain, action, begun = row
    values = dict(zip(_NAMES, plain, strict=True))
    values["status"] = Status(values["status"])
    if values["lost_status"] is not None:
        values["lost_status"] = Status(values["lost_status"])
    return Container(
        **values, open_action=Action(action) if action else None, open_begun=bool(begun)
    )


def _shown(name: str) -> sa.ColumnElement[Any]:
    """What a list selects for a field of `Listed`."""
    column = containers.c[name.removeprefix("shown_")]
    if not isinstance(column.type, Json):
        return column
    texts = [sa.type_coerce(column, sa.Text)]
    if name.startswith("shown_"):
        texts.append(sa.type_coerce(containers.c[f"image_{column.name}"], sa.Text))
    empty = "[]" if name in _LISTS else "{}"
    return sa.type_coerce(sa.func.coalesce(*texts, sa.literal_column(f"'{empty}'")), JsonAsIs)


_LISTS = frozenset({"shown_command", "shown_entrypoint", "ports", "security_groups"})
_SHOWN = sa.select(
    *(_shown(name) for name in Listed._fields if not name.startswith("open_")),
    operations.c.action,
    operations.c.begun,
).select_from(containers.outerjoin(operations, _OPEN))
_STATUS_AT = Listed._fields.index("status")
_STATUSES = {status.value: status for status in Status}


def _listed(row: Any) -> Listed:
    *plain, action, begun = row
    plain[_STATUS_AT] = _STATUSES[plain[_STATUS_AT]]
    return Listed._make((*plain, Action(action) if action else None, bool(begun)))


def insert(conn: Connection, container: Container) -> None:
    """Adds the row."""
    # Values beside the statement, not in it: the same statement is compiled once, and taken apart never again.
    conn.execute(containers.insert(), values_of(containers, container, but=_DERIVED))
    labels.insert(conn, container.uuid, container.labels)


def get(conn: Connection, uuid: str) -> Container | None:
    """The container of this uuid, or None."""
    row = conn.execute(_BY_UUID, {"uuid": uuid}).first()
    return None if row is None else _value(row)


def hold(conn: Connection, uuid: str) -> Container | None:
    """As `get`, and nobody else writes to the row before this transaction ends."""
    hold_row(conn, containers, uuid)
    return get(conn, uuid)


def find(conn: Connection, name: str, project_id: str | None, most: int = 2) -> list[Container]:
    """Containers of exactly this name, in the project (None = in all), at most `most`; no members of capsules."""
    query = _SELECT.where(containers.c.name == name, _ALONE).order_by(containers.c.id).limit(most)
    if project_id is not None:
        query = query.where(containers.c.project_id == project_id)
    return [_value(row) for row in conn.execute(query)]


def name_taken(
    conn: Connection, name: str, project_id: str | None, besides: str | None = None
) -> bool:
    """Whether a container has this name, whatever its case, in the project (None = in all). Contract 3.4.

    `besides`: the uuid of one that may.
    """
    query = sa.select(containers.c.id).where(
        sa.func.lower(containers.c.name) == name.lower(), containers.c.uuid != (besides or "")
    )
    if project_id is not None:
        query = query.where(containers.c.project_id == project_id)
    return conn.execute(query.limit(1)).first() is not None


def page(
    conn: Connection,
    *,
    project_id: str | None,
    filters: Mapping[str, Any],
    limit: int,
    after: Container | Listed | None,
    sort_key: str,
    descending: bool,
) -> list[Listed]:
    """One page by keyset: the rows that follow `after` in the order of (`sort_key`, id); no members of capsules."""
    assert sort_key in SORT_KEYS
    query = _SHOWN.where(_ALONE)
    if project_id is not None:
        query = query.where(containers.c.project_id == project_id)
    for key, wanted in filters.items():
        query = query.where(_matches(key, wanted))
    query = keyset.page(
        query,
        containers.c[sort_key],
        containers.c.id,
        after=None if after is None else (getattr(after, sort_key), after.id),
        descending=descending,
        limit=limit,
    )
    return [_listed(row) for row in conn.execute(query).all()]


def _matches(key: str, wanted: Any) -> Any:
    if key == "status" and isinstance(wanted, tuple):
        return containers.c.status.in_(wanted)
    if key == "name_prefix":
        # Names are ASCII and compared by bytes: a range of the index, on every database.
        return (containers.c.name >= wanted) & (containers.c.name < wanted + "\x7f")
    if key == "labels":
        return sa.and_(*(labels.matches(containers.c.uuid, *label) for label in wanted))
    if key != "task_state":
        return containers.c[key] == wanted
    actions = [a for a, t in TRANSITIONS.items() if t.task == wanted]
    return sa.and_(
        operations.c.action.in_(actions),
        operations.c.begun | (operations.c.action != Action.CREATE),
    )


def update(conn: Connection, uuid: str, now: datetime, **changes: Any) -> bool:
    """Sets columns; whether the row is there."""
    done = conn.execute(_UPDATE, {"of_uuid": uuid, "updated_at": now, **changes})
    return done.rowcount == 1


def update_if_idle(
    conn: Connection, uuid: str, host: str, recorded: Status, now: datetime, **changes: Any
) -> bool:
    """Sets columns of a row that is on `host`, has the status `recorded` and no open operation; whether it did."""
    # Before: a condition on another table is not looked at again after a wait for the row.
    hold_row(conn, containers, uuid)
    open_op = sa.exists().where(operations.c.open_key == uuid)
    done = conn.execute(
        containers.update()
        .where(
            containers.c.uuid == uuid,
            containers.c.host == host,
            containers.c.status == recorded,
            ~open_op,
        )
        .values(updated_at=now, **changes)
    )
    return done.rowcount == 1


def delete(conn: Connection, uuid: str) -> bool:
    """Removes the row; whether it was there. All that goes with a container: `store.removal`."""
    labels.delete(conn, uuid)
    return conn.execute(containers.delete().where(containers.c.uuid == uuid)).rowcount == 1


def on_host(conn: Connection, host: str) -> Sequence[Container]:
    """All containers placed on `host`."""
    query = _SELECT.where(containers.c.host == host).order_by(containers.c.id)
    return [_value(row) for row in conn.execute(query)]


def members_of(conn: Connection, capsule_uuids: Sequence[str]) -> dict[str, list[Container]]:
    """The members of capsules by the capsule's uuid, in the order in which they start."""
    members: dict[str, list[Container]] = {uuid: [] for uuid in capsule_uuids}
    for start in range(0, len(capsule_uuids), 500):
        part = capsule_uuids[start : start + 500]
        query = _SELECT.where(containers.c.capsule_uuid.in_(part))
        for row in conn.execute(query.order_by(containers.c.capsule_order)):
            member = _value(row)
            members[member.capsule_uuid or ""].append(member)
    return members


def limited(conn: Connection, host: str) -> Sequence[tuple[str, datetime, int]]:
    """Of `host`'s running containers that may run only so long: uuid, start, and for how many seconds."""
    query = sa.select(
        containers.c.uuid, containers.c.started_at, containers.c.max_run_time
    ).where(
        containers.c.host == host,
        containers.c.max_run_time.is_not(None),
        containers.c.status == Status.RUNNING,
        containers.c.started_at.is_not(None),
    )  # fmt: skip
    return [(uuid, started, most) for uuid, started, most in conn.execute(query)]


def missing(conn: Connection, uuids: Sequence[str]) -> set[str]:
    """Those of `uuids` that have no row (asked in slices, so any number may be given)."""
    unknown = set(uuids)
    for start in range(0, len(uuids), 500):
        part = uuids[start : start + 500]
        query = sa.select(containers.c.uuid).where(containers.c.uuid.in_(part))
        unknown -= {row[0] for row in conn.execute(query)}
    return unknown


def still_told(conn: Connection, host: str, most: int) -> Sequence[Container]:
    """Idle containers on `host` whose status says how they are: no longer true of a host that is down."""
    query = (
        _SELECT.where(
            containers.c.host == host,
            containers.c.status.not_in([Status.UNKNOWN, *IN_TRANSIT, Status.ERROR]),
            operations.c.id.is_(None),
        )
        .order_by(containers.c.id)
        .limit(most)
    )
    return [_value(row) for row in conn.execute(query)]


def movable_on(conn: Connection, host: str) -> Sequence[Container]:
    """The idle containers on `host` that may be made anew elsewhere, and that run, or did when it fell silent."""
    alive = [Status.RUNNING, Status.RESTARTING]
    query = _SELECT.where(
        containers.c.host == host,
        containers.c.movable.is_(True),
        sa.or_(
            containers.c.status.in_(alive),
            (containers.c.status == Status.UNKNOWN) & containers.c.lost_status.in_(alive),
        ),
        operations.c.id.is_(None),
    ).order_by(containers.c.id)
    return [_value(row) for row in conn.execute(query)]


def elsewhere(conn: Connection, uuids: Sequence[str], host: str) -> set[str]:
    """Those of `uuids` that are, or are on their way to be, another host's than `host` (asked in slices)."""
    found: set[str] = set()
    leaving = (operations.c.action == Action.RECREATE) & (containers.c.host == host)
    for start in range(0, len(uuids), 500):
        query = (
            sa.select(containers.c.uuid)
            .select_from(containers.outerjoin(operations, _OPEN))
            .where(
                containers.c.uuid.in_(uuids[start : start + 500]),
                sa.or_(containers.c.host != host, leaving),
            )
        )
        found |= set(conn.execute(query).scalars())
    return found


def count_by_status(conn: Connection) -> dict[str, int]:
    """How many containers have each status."""
    query = sa.select(containers.c.status, sa.func.count()).group_by(containers.c.status)
    return {status: number for status, number in conn.execute(query)}
