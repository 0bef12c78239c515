"""Whether a database is as the store needs it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from zun.store import migrate, schema
from zun.store.database import Database

#: Character set and collation of all that is looked for and sorted by: by bytes.
_BY_BYTES = {"mysql": ("utf8mb4", "utf8mb4_nopad_bin"), "postgresql": (None, "C")}


def describe(database: Database) -> str:
    """What serves it, in one line."""
    with database.read() as conn:
        version = ".".join(str(part) for part in conn.dialect.server_version_info or ())
        name = {"mysql": "MariaDB", "postgresql": "PostgreSQL"}.get(conn.dialect.name, "SQLite")
    return f"{name} {version}"


def problems(database: Database) -> Sequence[str]:
    """What is wrong with it, each with its way out."""
    wrong = migrate.missing(database)
    found = [] if wrong is None else [f"{wrong}: run zun-db-manage upgrade"]
    with database.read() as conn:
        odd = ", ".join(f"{table}.{column}" for table, column, *_ in not_by_bytes(conn))
        if odd:
            found.append(
                f"text is not compared by its bytes in {odd}: run zun-db-manage upgrade on an empty database, and "
                "restore the rows into that"
            )
        if conn.dialect.name == "mysql":
            found += _of_mariadb(conn)
    return found


def not_by_bytes(conn: Connection) -> Sequence[tuple[Any, ...]]:
    """(table, column, character set, collation) of our columns whose text is not compared by its bytes."""
    wanted = _BY_BYTES.get(conn.dialect.name)
    if wanted is None:
        return []
    here = sa.text("DATABASE()" if conn.dialect.name == "mysql" else "current_schema()")
    names = ("table_name", "column_name", "character_set_name", "collation_name")
    columns = sa.table(
        "columns", *(sa.column(n) for n in (*names, "table_schema", "data_type")), schema="information_schema"
    )  # fmt: skip
    query = sa.select(*(columns.c[name] for name in names)).where(
        columns.c.table_schema == here,
        columns.c.data_type.in_(["varchar", "character varying"]),
        columns.c.table_name.in_(list(schema.metadata.tables)),
    )
    return [tuple(row) for row in conn.execute(query) if tuple(row)[2:] != wanted]


def _of_mariadb(conn: Connection) -> list[str]:
    found = []
    step = conn.exec_driver_sql("SELECT @@auto_increment_increment").scalar_one()
    if step != 1:
        found.append(
            f"auto_increment_increment is {step}: the ids between two events are waited for, so that followed "
            "events come half a minute late; write to one Galera node, and set wsrep_auto_increment_control=OFF"
        )
    tables = sa.inspect(conn).get_table_names()
    engines = {
        name: sa.inspect(conn).get_table_options(name).get("mysql_engine") for name in tables
    }
    other = [name for name, engine in engines.items() if engine != "InnoDB"]
    if other:
        found.append(
            f"tables without transactions: {', '.join(other)}: ALTER TABLE ... ENGINE=InnoDB"
        )
    return found
