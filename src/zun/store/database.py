"""The database: one engine, short transactions, one writer at a time where the database is SQLite."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import Connection, make_url

#: Seconds a write transaction may take. Ours hold nothing but a few statements.
LONGEST_WRITE = 10.0

#: Set in a connection's `info` by whoever adds events, so that those who follow them are told once it is committed.
TELLS = "zun.events"


class TooSlow(Exception):
    """A write transaction took longer than any may, and was rolled back."""


class Database:
    """An engine for `url`, with `read()` and `write()` transactions.

    SQLite runs in WAL mode: readers never wait. Its writers would poll for the file lock, so within one process
    they queue on a lock of ours instead, and each begins IMMEDIATE so that it can't fail half way. Synchronous is FULL:
    an accepted request survives a power cut, not only a crash.

    `longest_write` (s): a transaction that took longer is rolled back instead of committed. Whoever follows the
    events by their ids relies on it: an id that is still missing well after that will never come.
    """

    def __init__(
        self, url: str, *, pool_size: int = 20, longest_write: float = LONGEST_WRITE
    ) -> None:
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
        self._longest_write = longest_write
        self._followers: list[Callable[[], None]] = []
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

    def on_events(self, told: Callable[[], None]) -> None:
        """Has `told` called after each commit that added events, in the writer's thread; it must return at once."""
        self._followers.append(told)

    @contextmanager
    def write(self, *, durable: bool = True) -> Iterator[Connection]:
        """A transaction: committed at the end, rolled back if the block raises.

        Not `durable`: SQLite does not wait for the disk, so a power cut may undo it; a crash of ours never does.
        """
        if self._writer is None:
            began = time.monotonic()
            with self._engine.begin() as conn:
                conn.info.pop(TELLS, None)
                yield conn
                tells = conn.info.pop(TELLS, False)
                if time.monotonic() - began > self._longest_write:
                    raise TooSlow(f"a write took more than {self._longest_write:g} s")
            if tells:
                self._tell()
            return
        with self._writer, self._engine.connect() as conn, _synchronous(conn, durable):
            conn.exec_driver_sql("BEGIN IMMEDIATE")
            try:
                yield conn
            except BaseException:
                conn.info.pop(TELLS, None)
                conn.exec_driver_sql("ROLLBACK")
                raise
            tells = conn.info.pop(TELLS, False)
            conn.exec_driver_sql("COMMIT")
        if tells:
            self._tell()

    def _tell(self) -> None:
        for told in self._followers:
            told()

    def close(self) -> None:
        """Closes all connections."""
        self._engine.dispose()


@contextmanager
def _synchronous(conn: Connection, durable: bool) -> Iterator[None]:
    if durable:
        yield
        return
    conn.exec_driver_sql("PRAGMA synchronous=NORMAL")
    try:
        yield
    finally:
        conn.exec_driver_sql("PRAGMA synchronous=FULL")


def _sqlite_connect(dbapi_connection: Any, _record: Any) -> None:
    # Autocommit at the driver: transactions are begun and ended by `write`, in words.
    dbapi_connection.isolation_level = None
    cursor = dbapi_connection.cursor()
    for pragma in ("journal_mode=WAL", "synchronous=FULL", "foreign_keys=ON", "cache_size=-16000"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
