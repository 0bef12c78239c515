"""Run by Alembic: applies revisions on the engine it was handed (see `zun.store.migrate`).

Text is compared by its bytes on every database, whatever the operator's server does by default: names are exact, an
order is the same everywhere, and a prefix is a range of an index.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager

import sqlalchemy as sa
from alembic import context

from zun.store.schema import metadata

#: Seconds to wait for another upgrade of the same database.
_WAIT = 600


@contextmanager
def _alone(connection: sa.Connection) -> Iterator[None]:
    """One upgrade of a database at a time: whoever comes second finds it done."""
    if connection.dialect.name == "postgresql":
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(hashtext('zun-db-manage'))")
        yield  # the lock goes with the transaction
    elif connection.dialect.name in ("mysql", "mariadb"):
        name = sa.text("concat('zun-db-manage ', DATABASE())")
        if not connection.execute(sa.select(sa.func.get_lock(name, _WAIT))).scalar():
            raise RuntimeError(f"another upgrade of this database has not ended for {_WAIT} s")
        try:
            yield
        finally:
            connection.rollback()
            connection.execute(sa.select(sa.func.release_lock(name)))
    else:
        yield


def _before(connection: sa.Connection) -> None:
    """Tables of MariaDB get their collation from the database's default.

    Of the two that compare bytes, it is the one to which "a" and "a " are two names.
    """
    if connection.dialect.name not in ("mysql", "mariadb"):
        return
    name = connection.exec_driver_sql("SELECT DATABASE()").scalar_one()
    quoted = connection.dialect.identifier_preparer.quote(name)
    connection.exec_driver_sql(
        f"ALTER DATABASE {quoted} CHARACTER SET utf8mb4 COLLATE utf8mb4_nopad_bin"
    )
    connection.commit()


def _after(connection: sa.Connection) -> None:
    """PostgreSQL knows no default for new columns but the whole database's, which is never changed: by column.

    Those of type TEXT are left as they are: nothing looks for them or sorts by them.
    """
    if connection.dialect.name != "postgresql":
        return
    columns = connection.exec_driver_sql(
        "SELECT table_name, column_name, character_maximum_length FROM information_schema.columns "
        "WHERE table_schema = current_schema() AND data_type = 'character varying' "
        "AND collation_name IS DISTINCT FROM 'C'"
    )
    changes: defaultdict[str, list[str]] = defaultdict(list)
    for table, column, length in columns:
        if table in metadata.tables:
            changes[table].append(f'ALTER COLUMN "{column}" TYPE varchar({length}) COLLATE "C"')
    for table, clauses in changes.items():
        connection.exec_driver_sql(f'ALTER TABLE "{table}" {", ".join(clauses)}')


engine = context.config.attributes["engine"]
with engine.connect() as connection, _alone(connection):
    _before(connection)
    context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()
        _after(connection)
    if engine.dialect.name != "sqlite":
        connection.commit()
