"""What a database says of how it would do the statements that the service issues."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from tests.support.capsules import capsule
from tests.support.house import PROJECT
from tests.support.rows import NOW, container, host_image, operation, registry

from zun.model.names import new_uuid
from zun.model.operation import OperationState
from zun.store import schema
from zun.store.rows import values_of

#: Tables that grow with the number of containers. The others have a row a host or a project.
GROWING = frozenset(
    {
        "containers", "operations", "events", "claims", "ports", "container_labels", "capsules", "registries",
        "images",
    }
)  # fmt: skip

_PROJECTS = 20


class Recorder:
    """Every statement an engine executes, once each, with the parameters it first had.

    `planner`: of a database that plans as one with many rows would; by default the same.
    """

    def __init__(self, engine: sa.Engine, planner: sa.Engine | None = None) -> None:
        self.seen: dict[str, Any] = {}
        self._engine = engine
        self._planner = planner or engine
        sa.event.listen(engine, "before_cursor_execute", self._saw)

    def _saw(self, conn: Any, cursor: Any, text: str, parameters: Any, *rest: Any) -> None:
        if (
            re.match(r"\s*(SELECT|UPDATE|DELETE|INSERT)\b", text)
            and "information_schema" not in text
        ):
            self.seen.setdefault(text, parameters)

    def plans(self) -> dict[str, list[str]]:
        """statement -> lines: `SCAN table ...`, `SEARCH table USING INDEX name ...`, `SORT`."""
        sa.event.remove(self._engine, "before_cursor_execute", self._saw)
        explain = {"sqlite": _of_sqlite, "mysql": _of_mariadb, "postgresql": _of_postgresql}
        with self._planner.connect() as conn:
            if conn.dialect.name == "postgresql":
                # Of a table that is read whole it then says so only where it can't do otherwise.
                conn.exec_driver_sql("SET enable_seqscan = off")
                # Nor of an index that is read from its beginning beside another, which costs as much as each row looked
                # up where there are as few open operations as here: which of the two it takes was chance.
                conn.exec_driver_sql("SET enable_mergejoin = off")
            plans = {
                text: list(explain[conn.dialect.name](conn, text, parameters))
                for text, parameters in self.seen.items()
            }
            conn.rollback()
        return plans


def scans(plans: Mapping[str, list[str]]) -> list[str]:
    """The statements that read all of a table that grows."""
    return [
        f"{text}\n  -> {line}"
        for text, plan in plans.items()
        for line in plan
        if (found := re.match(r"SCAN (?:TABLE )?(\w+)", line)) and found[1] in GROWING
    ]


def sorts(plan: list[str]) -> bool:
    """Whether rows are put in order that do not come in it."""
    return any("TEMP B-TREE" in line or line == "SORT" for line in plan)


def grown(url: str) -> None:
    """Makes of an empty, migrated database one on which a server plans as it does in production: by sizes."""
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as conn:
        fill(conn, 5000)
    analyze(engine)
    engine.dispose()


def analyze(engine: sa.Engine) -> None:
    """Has a server look at the sizes of the tables, once and for all: PostgreSQL would tidy them up in the middle."""
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as conn:
        for table in sorted(schema.metadata.tables):
            word = "VACUUM ANALYZE" if conn.dialect.name == "postgresql" else "ANALYZE TABLE"
            conn.exec_driver_sql(f"{word} {table}").close()


def fill(conn: sa.Connection, number: int) -> None:
    """Adds that many containers, each with an operation that ended, its events, a claim, a port and a label; and as
    many capsules (without members), registries and images.

    One in twenty is of the tests' project, and one in fifty has an open operation besides.
    """
    rows: dict[sa.Table, list[dict[str, Any]]] = {}
    network = new_uuid()
    conn.execute(
        schema.networks.insert().values(
            uuid=network, project_id="fill", name="fill", subnet="10.255.0.0/16", created_at=NOW
        )
    )
    for index in range(number):
        uuid = new_uuid()
        project = f"project-{index % _PROJECTS}" if index % _PROJECTS else PROJECT
        when = NOW - timedelta(seconds=index)
        one = container(
            uuid=uuid, name=f"n{index}", project_id=project, host=f"h{index % 50}", created_at=when
        )
        done = operation(
            container_uuid=uuid, project_id=project, created_at=when, finished_at=when,
            state=OperationState.DONE, queue=f"host:h{index % 50}",
        )  # fmt: skip
        known = {
            schema.containers: values_of(schema.containers, one, but=frozenset({"id"})),
            schema.operations: {
                **values_of(schema.operations, done, but=frozenset({"id"})),
                "open_key": None,
            },
            schema.claims: {
                "container_uuid": uuid, "host": f"h{index % 50}", "cpu": 1.0, "memory": 1, "disk": 1,
            },
            schema.ports: {
                "uuid": new_uuid(), "network_uuid": network, "container_uuid": uuid, "address": f"{index}",
            },
            schema.container_labels: {"selector": f"{index:064}", "container_uuid": uuid},
            **_others(index, project, when),
        }  # fmt: skip
        for table, values in known.items():
            rows.setdefault(table, []).append(values)
        if index % 50 == 0:
            opened = operation(
                container_uuid=uuid, project_id=project, created_at=when, queue=done.queue
            )
            values = values_of(schema.operations, opened, but=frozenset({"id"}))
            rows[schema.operations].append({**values, "open_key": uuid})
        for kind in ("accepted", "done"):
            rows.setdefault(schema.events, []).append(
                {
                    "operation_uuid": done.uuid, "container_uuid": uuid, "project_id": project,
                    "kind": kind, "created_at": when,
                }
            )  # fmt: skip
    for table, values in rows.items():
        conn.execute(table.insert().inline(), values)


def _others(index: int, project: str, when: datetime) -> dict[sa.Table, dict[str, Any]]:
    """A row of each of the other lists."""
    shared: dict[str, Any] = {"uuid": new_uuid(), "project_id": project, "created_at": when}
    made = {
        schema.capsules: capsule(name=f"n{index}", host=f"h{index % 50}", **shared),
        schema.registries: registry(name=f"n{index}", domain=f"{index % 9}.example.com", **shared),
        schema.images: host_image(repo=f"r{index}", host=f"h{index % 50}", **shared),
    }
    return {table: values_of(table, row, but=frozenset({"id"})) for table, row in made.items()}


def _of_sqlite(conn: sa.Connection, text: str, parameters: Any) -> Iterator[str]:
    for row in conn.exec_driver_sql(f"EXPLAIN QUERY PLAN {text}", parameters):
        yield row[3]


def _of_mariadb(conn: sa.Connection, text: str, parameters: Any) -> Iterator[str]:
    if text.startswith("INSERT"):
        return  # which says that it reads all of the table, and does not
    for row in conn.exec_driver_sql(f"EXPLAIN {text}", parameters):
        if row.table is None or row.type is None:
            continue
        word = {"ALL": "SCAN", "index": _all_of_an_index(text)}.get(row.type, "SEARCH")
        yield f"{word} {row.table} USING INDEX {row.key} ({row.type}, {row.Extra})"
        if "filesort" in (row.Extra or ""):
            yield "SORT"


def _of_postgresql(conn: sa.Connection, text: str, parameters: Any) -> Iterator[str]:
    answer = conn.exec_driver_sql(f"EXPLAIN (FORMAT JSON) {text}", parameters).scalar_one()
    lines = list(_nodes(answer[0]["Plan"], _all_of_an_index(text)))
    # Rows that are sorted afterwards were all read.
    yield from (line.replace("WALK", "SCAN") for line in lines) if "SORT" in lines else lines


def _all_of_an_index(text: str) -> str:
    """What it is to go through an index from its beginning: for a page in its order, only until the page is full."""
    return "WALK" if "LIMIT" in text and "ORDER BY" in text else "SCAN"


def _nodes(node: Mapping[str, Any], walk: str, under: str | None = None) -> Iterator[str]:
    kind, table = node["Node Type"], node.get("Relation Name", under)
    if kind == "Seq Scan":
        yield f"SCAN {table} ({kind})"
    elif "Index Name" in node:
        word = "SEARCH" if "Index Cond" in node else walk
        yield f"{word} {table} USING INDEX {node['Index Name']} ({kind})"
    elif kind == "Sort":
        yield "SORT"
    for inner in node.get("Plans", ()):
        yield from _nodes(inner, walk, table)
