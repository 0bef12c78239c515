"""The database: one engine, short transactions, one writer at a time where the database is SQLite."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import Connection, make_url


class Database:
    """An engine for `url`, with `read()` and `write()` transactions.

    SQLite runs in WAL mode: readers never wait. Its writers would poll for the file lock, so within one process
    they queue on a lock of ours instead, and each begins IMMEDIATE so that it can't fail half way. Synchronous is FULL:
    an accepted request survives a power cut, not only a crash.
    """

    def __init__(self, url: str, *, pool_size: int = 20) -> None:
        parsed = make_url(url)
        self.is_sqlite = parsed.get_backend_name() == "sqlite"
        self.url = url
        options: dict[str, Any] = {}
        if self.is_sqlite:
            options["connect_args"] = {"timeout": 30, "check_same_thread": False}
        self._engine = sa.create_engine(
            parsed, pool_size=pool_size, max_overflow=pool_size, pool_timeout=60, **options
        )
        self._writer = threading.Lock() if self.is_sqlite else None
        if self.is_sqlite:
            event.listen(self._engine, "connect", _sqlite_connect)

    @property
    def engine(self) -> sa.Engine:
        """The engine, for migrations and tests."""
        return self._engine

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection to read with; what it wrote, if anything, is rolled back."""
        with self._engine.connect() as conn:
            yield conn

    @contextmanager
    def write(self) -> Iterator[Connection]:
        """A transaction: committed at the end, rolled back if the block raises."""
        if self._writer is None:
            with self._engine.begin() as conn:
                yield conn
            return
        with self._writer, self._engine.connect() as conn:
            conn.exec_driver_sql("BEGIN IMMEDIATE")
            try:
                yield conn
            except BaseException:
                conn.exec_driver_sql("ROLLBACK")
                raise
            conn.exec_driver_sql("COMMIT")

    def close(self) -> None:
        """Closes all connections."""
        self._engine.dispose()


def _sqlite_connect(dbapi_connection: Any, _record: Any) -> None:
    # Autocommit at the driver: transactions are begun and ended by `write`, in words.
    dbapi_connection.isolation_level = None
    cursor = dbapi_connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "cache_size=-16000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
