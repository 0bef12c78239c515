"""The database: one engine, short transactions, one writer at a time where the database is SQLite."""

from __future__ import annotations

import contextlib
import itertools
import logging
import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol, TypeVar

import sqlalchemy as sa
from sqlalchemy import event
from sqlalchemy.engine import URL, Connection, make_url
from sqlalchemy.exc import DBAPIError, InvalidatePoolError
from sqlalchemy.pool import PoolResetState

from zun.store import errors
from zun.store.errors import CommitUnknown, Contended, TooSlow, Unavailable

LOG = logging.getLogger(__name__)

T = TypeVar("T")

#: Seconds a write transaction may take. Ours hold nothing but a few statements.
LONGEST_WRITE = 10.0

#: Set in a connection's `info` by whoever adds events, so that those who follow them are told once it is committed.
TELLS = "zun.events"

#: Seconds for which a connection in the pool that has just answered is taken for one that still does.
_LIVELY = 1.0

#: Set in a connection's `info`: when (monotonic) it was put back, and that nothing is left to roll back.
_BACK_AT, _CLEAN = "zun.back_at", "zun.clean"

_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 1.0  # seconds between tries

#: Said to each new connection. Strict, for what is too long must be refused, not cut; a wait for a lock ends before
#: the transaction would be too long anyway.
_MARIADB_SESSION = (
    "SET SESSION sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION', "
    f"innodb_lock_wait_timeout = {LONGEST_WRITE:.0f}, time_zone = '+00:00'"
)
_POSTGRESQL_SESSION = (
    f"SET lock_timeout = '{LONGEST_WRITE:.0f}s'; SET idle_in_transaction_session_timeout = '60s'; "
    "SET TIME ZONE 'UTC'"
)


class Watcher(Protocol):
    """Whoever counts what the database does."""

    def wrote(self, seconds: float) -> None:
        """A write transaction was committed after `seconds`."""

    def again(self, why: str) -> None:
        """A write transaction is tried once more; `why` is the name of the error."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long `Database.run` goes on trying.

    `tries` of a transaction that others stood in the way of; `seconds` for a database that does not answer.
    """

    tries: int = 20
    seconds: float = 5.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Pool:
    """Connections kept, and more at need; seconds until one is made anew, and until nobody waits for one any more.

    `sync_wait`: MariaDB's wsrep_sync_wait, for a Galera cluster of which several nodes are written to.
    """

    size: int = 20
    overflow: int = 20
    recycle: int = 3600
    timeout: float = 30.0
    sync_wait: int | None = None


class Database:
    """An engine for `url`, with `read()` and `write()` transactions.

    SQLite runs in WAL mode: readers never wait. Its writers would poll for the file lock, so within one process
    they queue on a lock of ours instead, and each begins IMMEDIATE so that it can't fail half way. Synchronous is FULL:
    an accepted request survives a power cut, not only a crash.

    MariaDB and PostgreSQL run READ COMMITTED: what is read after a lock was got is what its last holder left.

    `longest_write` (s): a transaction that took longer is rolled back instead of committed. Whoever follows the
    events by their ids relies on it: an id that is still missing well after that will never come.

    All transactions raise the errors of `zun.store.errors` where the database is at fault.
    """

    def __init__(
        self,
        url: str,
        *,
        pool: Pool | None = None,
        patience: Patience | None = None,
        longest_write: float = LONGEST_WRITE,
    ) -> None:
        parsed = make_url(url)
        self.is_sqlite = parsed.get_backend_name() == "sqlite"
        self.url = url
        self._patience = patience or Patience()
        # `.again`: this thread begins anew if its connection is dead.
        self._trying = threading.local()
        self._engine = _engine(parsed, pool or Pool(), self._trying)
        # What is said to a new connection fails with the driver's own words, which nobody has wrapped.
        self._driver_error: type[Exception] = self._engine.dialect.loaded_dbapi.Error
        self._writer = threading.Lock() if self.is_sqlite else None
        self._longest_write = longest_write
        self._followers: list[Callable[[], None]] = []
        self._watchers: list[Watcher] = []

    @property
    def engine(self) -> sa.Engine:
        """The engine, for migrations and tests."""
        return self._engine

    def on_events(self, told: Callable[[], None]) -> None:
        """Has `told` called after each commit that added events, in the writer's thread; it must return at once."""
        self._followers.append(told)

    def watch(self, watcher: Watcher) -> None:
        """Has `watcher` told of each write, in the writer's thread."""
        self._watchers.append(watcher)

    @contextmanager
    def read(self) -> Iterator[Connection]:
        """A connection to read with; what it wrote, if anything, is rolled back."""
        with self._connected() as conn, _sorting():
            yield conn

    @contextmanager
    def write(self, *, durable: bool = True) -> Iterator[Connection]:
        """A transaction: committed at the end, rolled back if the block raises.

        Not `durable`: SQLite does not wait for the disk, so a power cut may undo it; a crash of ours never does.
        The block can't be begun anew: whoever may not fail because another was quicker uses `run`.
        """
        began = time.monotonic()
        transaction = self._alone(durable) if self._writer is not None else self._among_others()
        with transaction as conn:
            yield conn
            tells = conn.info.pop(TELLS, False)
        for watcher in self._watchers:
            watcher.wrote(time.monotonic() - began)
        if tells:
            for told in self._followers:
                told()

    def run(
        self,
        work: Callable[[Connection], T],
        *,
        committed: Callable[[Connection], T | None] | None = None,
        twice: bool = False,
    ) -> T:
        """What `work` returns, in a write transaction that is begun anew if the database took it back.

        `work` may be called several times, so it does nothing but read and write by the connection it is given.
        Not after a commit whose answer was lost, unless it bears being done `twice`: then `committed`, if given, is
        asked in a transaction of its own for what `work` would have returned; None if it finds nothing. Raises
        Contended and Unavailable when it was tried long enough - nothing is written then - and CommitUnknown.
        """
        until = time.monotonic() + self._patience.seconds
        for tried in itertools.count(1):
            try:
                with self._bearing(tried == 1), self.write() as conn:
                    return work(conn)
            except CommitUnknown as exc:
                if committed is not None:
                    return self._found(committed, until)
                if not twice or time.monotonic() > until:
                    raise
                self._again(exc, tried)
            except Contended as exc:
                if tried >= self._patience.tries:
                    raise
                self._again(exc, tried)
            except Unavailable as exc:
                if time.monotonic() > until:
                    raise
                self._again(exc, tried)
        raise AssertionError("unreachable")

    def look(self, work: Callable[[Connection], T]) -> T:
        """What `work` reads; begun anew, once, if the connection turns out to be dead. It does nothing else.

        Raises as `read`.
        """
        try:
            with self._bearing(True), self.read() as conn:
                return work(conn)
        except Unavailable:
            with self.read() as conn:
                return work(conn)

    @contextmanager
    def _bearing(self, dead: bool) -> Iterator[None]:
        self._trying.again = dead
        try:
            yield
        finally:
            self._trying.again = False

    def _again(self, error: errors.DatabaseError, tried: int) -> None:
        LOG.info("a transaction is tried again: %s: %s", type(error).__name__, error)
        for watcher in self._watchers:
            watcher.again(type(error).__name__)
        pause = min(_FIRST_PAUSE * 2.0 ** min(tried, 10), _LONGEST_PAUSE)
        time.sleep(pause * random.uniform(0.2, 1.0))

    def _found(self, committed: Callable[[Connection], T | None], until: float) -> T:
        """What a transaction left whose commit got no answer. Raises CommitUnknown: nothing to be seen of it.

        A server that lives may still be at it when the connection is gone, so that "nothing" proves nothing.
        """
        for tried in itertools.count(1):
            try:
                with self.read() as conn:
                    found = committed(conn)
                if found is not None:
                    return found
            except (Unavailable, Contended) as exc:
                LOG.warning("after a lost commit: %s", exc)
            if time.monotonic() > until:
                break
            time.sleep(min(_FIRST_PAUSE * 2.0**tried, _LONGEST_PAUSE))
        raise CommitUnknown("the connection broke during a commit, and nothing of it is to be seen")

    def wait(
        self, tries: int, interval: float, pause: Callable[[float], None] = time.sleep
    ) -> None:
        """Returns once the database answers; asked `tries` times (-1 = for ever), `interval` seconds apart.

        Raises Unavailable.
        """
        for tried in itertools.count(1):
            try:
                with self.read() as conn:
                    conn.execute(sa.text("SELECT 1"))
                return
            except Unavailable as exc:
                if 0 <= tries <= tried:
                    raise
                LOG.warning("the database does not answer, try %d: %s", tried, exc)
                pause(interval)

    # ---- transactions

    @contextmanager
    def _connected(self) -> Iterator[Connection]:
        try:
            conn = self._engine.connect()
        except (DBAPIError, sa.exc.TimeoutError, self._driver_error) as exc:
            raise errors.of_connecting(exc) from exc
        try:
            yield conn
        finally:
            # If it broke only now: what was read is right, what was not committed is gone, and so is the connection.
            with contextlib.suppress(DBAPIError):
                conn.close()

    @contextmanager
    def _among_others(self) -> Iterator[Connection]:
        began = time.monotonic()
        with self._connected() as conn:
            with _sorting():
                conn.info.pop(TELLS, None)
                yield conn
                if time.monotonic() - began > self._longest_write:
                    raise TooSlow(f"a write took more than {self._longest_write:g} s")
            try:
                conn.commit()
            except DBAPIError as exc:
                found = errors.of_commit(exc)
                if found is None:
                    raise
                raise found from exc
            conn.info[_CLEAN] = True

    @contextmanager
    def _alone(self, durable: bool) -> Iterator[Connection]:
        assert self._writer is not None
        with self._writer, self._connected() as conn, _sorting(), _synchronous(conn, durable):
            conn.exec_driver_sql("BEGIN IMMEDIATE")
            try:
                yield conn
            except BaseException:
                conn.info.pop(TELLS, None)
                conn.exec_driver_sql("ROLLBACK")
                raise
            conn.exec_driver_sql("COMMIT")

    def close(self) -> None:
        """Closes all connections."""
        self._engine.dispose()


def _engine(url: URL, pool: Pool, trying: threading.local) -> sa.Engine:
    options: dict[str, Any] = {
        "pool_size": pool.size,
        "max_overflow": pool.overflow,
        "pool_timeout": pool.timeout,
        "hide_parameters": True,  # of statements, in errors: they may be secrets
    }
    if url.get_backend_name() == "sqlite":
        arguments = {"timeout": 30, "check_same_thread": False}
        engine = sa.create_engine(url, connect_args=arguments, **options)
        event.listen(engine, "connect", _sqlite_connect)
        return engine
    mariadb = url.get_backend_name() in ("mysql", "mariadb")
    if mariadb:
        url = url.update_query_dict({"charset": "utf8mb4"})
        if url.get_driver_name() == "mysqldb":
            options["connect_args"] = {"conv": _mariadb_values()}
    engine = sa.create_engine(
        url,
        pool_recycle=pool.recycle,
        pool_reset_on_return=None,  # `_put_back` does, where anything is left to
        isolation_level="READ COMMITTED",
        **options,
    )
    session = _POSTGRESQL_SESSION
    if mariadb:
        session = _MARIADB_SESSION
        if pool.sync_wait is not None:
            session += f", wsrep_sync_wait = {pool.sync_wait:d}"
    event.listen(engine, "connect", lambda connection, _: _say(connection, session))
    event.listen(engine, "reset", _put_back)
    event.listen(
        engine, "checkout", lambda connection, record, _: _ping(engine, connection, record, trying)
    )
    return engine


def _mariadb_values() -> dict[Any, Any]:
    """How the driver makes values of a server's words; its own way to a time takes ten times as long."""
    from MySQLdb.constants import FIELD_TYPE  # only where it is installed
    from MySQLdb.converters import conversions

    return {**conversions, FIELD_TYPE.DATETIME: datetime.fromisoformat}


def _put_back(dbapi_connection: Any, record: Any, state: PoolResetState) -> None:
    """Rolls back what was begun on a connection that is put back; after a commit that is a round trip for nothing."""
    record.info[_BACK_AT] = time.monotonic()
    if not (record.info.pop(_CLEAN, False) or state.transaction_was_reset):
        dbapi_connection.rollback()


def _ping(engine: sa.Engine, dbapi_connection: Any, record: Any, trying: threading.local) -> None:
    """Finds a connection that died in the pool - a restart, a firewall - before a statement is lost on it.

    For whoever begins anew one that answered a moment ago need not be asked.
    """
    record.info.pop(_CLEAN, None)
    back_at = record.info.get(_BACK_AT)
    if back_at is None:
        return  # it is new
    if getattr(trying, "again", False) and time.monotonic() - back_at < _LIVELY:
        return
    try:
        engine.dialect.do_ping(dbapi_connection)
    except engine.dialect.loaded_dbapi.Error as exc:
        raise InvalidatePoolError(str(exc)) from exc


def _say(dbapi_connection: Any, session: str) -> None:
    cursor = dbapi_connection.cursor()
    cursor.execute(session)
    cursor.close()
    dbapi_connection.commit()


@contextmanager
def _sorting() -> Iterator[None]:
    try:
        yield
    except (DBAPIError, sa.exc.TimeoutError) as exc:
        found = errors.sorted_out(exc)
        if found is None:
            raise
        raise found from exc


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
