"""SQL on containers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import sqlalchemy as sa
from sqlalchemy.engine import Connection
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

from zun.model.container import SORT_KEYS, Container, Listed
from zun.model.lifecycle import IN_TRANSIT, TRANSITIONS, Action, Status
from zun.model.operation import host_queue
from zun.store import keyset, labels
from zun.store.rows import columns_of, hold_row, names_of, slices, values_of
from zun.store.schema import Json, JsonAsIs, TimeAsShown, Words, containers, operations

_COLUMNS = columns_of(containers, Container)
_NAMES = names_of(_COLUMNS)
# Not null, of course; said so that a planner knows how few these are.
_OPEN = (operations.c.open_key == containers.c.uuid) & operations.c.open_key.is_not(None)
_SELECT = sa.select(*_COLUMNS, operations.c.action, operations.c.begun).select_from(
    containers.outerjoin(operations, _OPEN)
)
_BY_UUID = _SELECT.where(containers.c.uuid == sa.bindparam("uuid"))
_BY_UUIDS = _SELECT.where(containers.c.uuid.in_(sa.bindparam("uuids", expanding=True)))
_UPDATE = containers.update().where(containers.c.uuid == sa.bindparam("of_uuid"))
_DERIVED = frozenset({"id", "open_action", "open_begun"})


class _Alone(FunctionElement[bool]):
    """Containers of users; members of a capsule are not among them (contract 4.5)."""

    inherit_cache = True
    type = sa.Boolean()

    def self_group(self, against: Any = None) -> _Alone:
        """A comparison, also where there is no type for truth."""
        return self


@compiles(_Alone)
def _alone(element: _Alone, compiler: Any, **kwargs: Any) -> str:
    # In words that no index answers, for most rows are such.
    return "coalesce(containers.capsule_uuid, '') = ''"


@compiles(_Alone, "postgresql")
def _alone_counted(element: _Alone, compiler: Any, **kwargs: Any) -> str:
    # In words that it knows how many rows answer to: others, it thinks, few do, so that it had better sort them.
    return "containers.capsule_uuid IS NULL"


_ALONE = _Alone()


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
    if name.startswith("open_"):
        column = operations.c[name.removeprefix("open_")]
        return sa.type_coerce(column, Words(_ACTIONS)) if name == "open_action" else column
    column = containers.c[name.removeprefix("shown_")]
    if name == "status":
        return sa.type_coerce(column, Words(_STATUSES))
    if name == "memory":
        return sa.cast(column, sa.String(20))
    if name in ("created_at", "updated_at"):
        return sa.type_coerce(column, TimeAsShown)
    if not isinstance(column.type, Json):
        return column
    texts = [sa.type_coerce(column, sa.Text)]
    if name.startswith("shown_"):
        texts.append(sa.type_coerce(containers.c[f"image_{column.name}"], sa.Text))
    empty = "[]" if name in _LISTS else "{}"
    return sa.type_coerce(sa.func.coalesce(*texts, sa.literal_column(f"'{empty}'")), JsonAsIs)


_LISTS = frozenset({"shown_command", "shown_entrypoint", "ports", "security_groups"})
_STATUSES = {status.value: status for status in Status}
_ACTIONS: dict[str | None, Action | None] = {
    None: None,
    **{action.value: action for action in Action},
}
_SHOWN = sa.select(*map(_shown, Listed._fields)).select_from(
    containers.outerjoin(operations, _OPEN)
)


def insert(conn: Connection, container: Container) -> None:
    """Adds the row."""
    # Values beside the statement, not in it: the same statement is compiled once, and taken apart never again.
    conn.execute(containers.insert(), values_of(containers, container, but=_DERIVED))
    labels.insert(conn, container.uuid, container.labels)


def get(conn: Connection, uuid: str) -> Container | None:
    """The container of this uuid, or None."""
    row = conn.execute(_BY_UUID, {"uuid": uuid}).first()
    return None if row is None else _value(row)


def get_all(conn: Connection, uuids: Sequence[str]) -> dict[str, Container]:
    """Those of these uuids that there are."""
    return {row.uuid: row for row in map(_value, conn.execute(_BY_UUIDS, {"uuids": uuids}))}


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
    after: Container | None,
    sort_key: str,
    descending: bool,
) -> list[Listed]:
    """One page by keyset: the rows that follow `after` in the order of (`sort_key`, id); no members of capsules."""
    assert sort_key in SORT_KEYS
    several = filters.get("status")
    if isinstance(several, tuple) and sort_key == "id":
        # A page of each, for which there is an index, and of all of these the first.
        found = [
            row
            for one in set(several)
            for row in page(
                conn,
                project_id=project_id,
                filters={**filters, "status": one},
                limit=limit,
                after=after,
                sort_key=sort_key,
                descending=descending,
            )
        ]
        return sorted(found, key=lambda row: row.id, reverse=descending)[:limit]
    query, equal = _SHOWN.where(_ALONE), []
    conditions = [_matches(conn, key, wanted, project_id) for key, wanted in filters.items()]
    if project_id is not None:
        mine = containers.c.project_id
        alone = any(condition.alone for condition in conditions)
        query, equal = query.where((_unindexed(mine) if alone else mine) == project_id), [mine]
    rows = keyset.page(
        conn,
        query.where(*(condition.clause for condition in conditions)),
        containers.c[sort_key],
        containers.c.id,
        after=None if after is None else (getattr(after, sort_key), after.id),
        descending=descending,
        limit=limit,
        equal=None
        if any(condition.few for condition in conditions)
        else [*equal, *(c.equal for c in conditions if c.equal is not None)],
    )
    return [Listed._make(row) for row in rows]


class _Condition(NamedTuple):
    """Of a filter. `few`: it may lead to few rows, to be followed; `alone`: no other index is to be used then.

    `equal`: the column, where it is no more than that this has one value.
    """

    clause: sa.ColumnElement[bool]
    few: bool = False
    alone: bool = False
    equal: sa.Column[Any] | None = None


def _matches(conn: Connection, key: str, wanted: Any, project_id: str | None) -> _Condition:
    if key == "status" and isinstance(wanted, tuple):
        return _Condition(containers.c.status.in_(wanted), few=True)
    if key == "name_prefix":
        return _begins(conn, wanted, project_id)
    if key == "labels":
        found = [labels.matches(conn, containers.c.uuid, *label) for label in wanted]
        some = any(few for _, few in found)
        return _Condition(sa.and_(*(clause for clause, _ in found)), few=some, alone=some)
    if key != "task_state":
        return _Condition(containers.c[key] == wanted, equal=containers.c[key])
    # From the operations, for few are open. Not "is not null", which SQLite takes for most of them.
    actions = [a for a, t in TRANSITIONS.items() if t.task == wanted]
    busy = sa.select(operations.c.open_key).where(
        operations.c.open_key > "",
        operations.c.action.in_(actions),
        operations.c.begun | (operations.c.action != Action.CREATE),
    )
    return _Condition(containers.c.uuid.in_(busy), few=True, alone=True)


def _begins(conn: Connection, prefix: str, project_id: str | None) -> _Condition:
    """The condition that the name begins so. Where many do, each name is looked at in the order of the list."""
    name = containers.c.name

    def condition(column: Any) -> sa.ColumnElement[bool]:
        # Names are ASCII and compared by bytes: a range of the index, on every database.
        return sa.and_(column >= prefix, column < prefix + "\x7f")

    some = sa.select(containers.c.id).where(condition(name))
    if project_id is not None:
        some = some.where(containers.c.project_id == project_id)
    many = labels.are_many(conn, some)
    return _Condition(condition(_unindexed(name) if many else name), few=not many)


def _unindexed(column: sa.Column[Any]) -> Any:
    """A text column in words that no index answers, for where another one is the better."""
    return sa.func.coalesce(column, "")


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
    for part in slices(capsule_uuids):
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
    for part in slices(uuids):
        query = sa.select(containers.c.uuid).where(containers.c.uuid.in_(part))
        unknown -= {row[0] for row in conn.execute(query)}
    return unknown


def any_on(conn: Connection, host: str) -> bool:
    """Whether a container is placed on `host`."""
    query = sa.select(containers.c.id).where(containers.c.host == host).limit(1)
    return conn.execute(query).first() is not None


def count_alone_on(conn: Connection, host: str) -> int:
    """How many containers are placed on `host`, without the members of capsules."""
    query = sa.select(sa.func.count()).where(containers.c.host == host, _ALONE)
    number: int = conn.execute(query.select_from(containers)).scalar_one()
    return number


def any_moving(conn: Connection, host: str) -> bool:
    """Whether a container is on its way from `host` to another."""
    query = sa.select(containers.c.id).select_from(containers.join(operations, _OPEN))
    leaves = query.where(containers.c.host == host, operations.c.action == Action.MOVE)
    return conn.execute(leaves.limit(1)).first() is not None


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


def elsewhere(
    conn: Connection, uuids: Sequence[str], host: str, *, nowhere: bool = False
) -> set[str]:
    """Those of `uuids` that are, or are on their way to be, another host's than `host` (asked in slices).

    `nowhere`: also those that no host has.
    """
    found: set[str] = set()
    # One that is made anew is its old host's until it is placed, but no longer to keep.
    leaving = sa.and_(
        operations.c.action == Action.RECREATE,
        containers.c.host == host,
        operations.c.queue != host_queue(host),
    )
    other = containers.c.host != host
    if nowhere:
        other = sa.or_(other, containers.c.host.is_(None))
    for part in slices(uuids):
        query = (
            sa.select(containers.c.uuid)
            .select_from(containers.outerjoin(operations, _OPEN))
            .where(
                containers.c.uuid.in_(part),
                sa.or_(other, leaving),
            )
        )
        found |= set(conn.execute(query).scalars())
    return found


def count_by_status(conn: Connection) -> dict[str, int]:
    """How many containers have each status."""
    query = sa.select(containers.c.status, sa.func.count()).group_by(containers.c.status)
    return {status: number for status, number in conn.execute(query)}
