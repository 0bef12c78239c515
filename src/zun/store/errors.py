"""What a database may answer instead of doing what it was told, sorted by what is known of the transaction.

Sorted by the codes of SQL and of the servers, never by a message: messages are translated, and change.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import exc as sql


class DatabaseError(Exception):
    """Base of all: the fault is not in the statement."""


class Unavailable(DatabaseError):
    """The database can't be reached, or the connection broke before the end: nothing was written."""


class TooSlow(Unavailable):
    """A write transaction took longer than any may, as on a server that hangs, and was rolled back."""


class Contended(DatabaseError):
    """Two transactions stood in each other's way and this one was taken back: nothing was written.

    The same transaction, begun anew, may succeed.
    """


class CommitUnknown(DatabaseError):
    """The connection broke while the transaction was being committed: whether it was written, only a look can tell."""


class Unsuitable(DatabaseError):
    """The database is of a kind on which the tables can't be made."""


#: MariaDB: lock wait timeout, deadlock, a row changed since it was read (innodb_snapshot_isolation).
_MARIADB_CONTENDED = frozenset({1205, 1213, 1020})
#: MariaDB: too many connections, shutting down, node not ready (Galera), killed, read-only, network, gone, lost.
_MARIADB_GONE = frozenset(
    {1040, 1047, 1053, 1077, 1079, 1203, 1290, 1836, 1927, 1158, 1159, 1160, 1161,
     2002, 2003, 2005, 2006, 2012, 2013, 2055}
)  # fmt: skip
#: SQLSTATE: serialization failure, deadlock, lock not available.
_SQL_CONTENDED = frozenset({"40001", "40P01", "55P03"})
#: SQLSTATE by class or code: connection, too many connections, shut down, read-only.
_SQL_GONE = ("08", "53300", "57P0", "25006")
_SQLITE_BUSY = 5


def sorted_out(error: BaseException) -> DatabaseError | None:
    """What `error`, raised within a transaction before its commit, means; None for what is our own mistake."""
    if isinstance(error, sql.TimeoutError):
        return Unavailable(_first_line(error))
    if not isinstance(error, sql.DBAPIError):
        return None
    if _is_contended(error.orig):
        return Contended(_first_line(error))
    if error.connection_invalidated or _is_gone(error.orig):
        return Unavailable(_first_line(error))
    return None


def of_connecting(error: Exception) -> DatabaseError:
    """The same for an error of the attempt to connect, whatever it is."""
    return Unavailable(_first_line(error))


def of_commit(error: sql.DBAPIError) -> DatabaseError | None:
    """The same for an error of the commit itself: a server that says it took it back did."""
    found = sorted_out(error)
    return CommitUnknown(str(found)) if isinstance(found, Unavailable) else found


def _is_contended(orig: Any) -> bool:
    code = _number(orig)
    return (
        code in _MARIADB_CONTENDED
        or getattr(orig, "sqlstate", None) in _SQL_CONTENDED
        or getattr(orig, "sqlite_errorcode", 0) & 0xFF == _SQLITE_BUSY
    )


def _is_gone(orig: Any) -> bool:
    state = getattr(orig, "sqlstate", None)
    return _number(orig) in _MARIADB_GONE or (state is not None and state.startswith(_SQL_GONE))


def _number(orig: Any) -> int:
    first = orig.args[0] if getattr(orig, "args", ()) else None
    return first if isinstance(first, int) else 0


def _first_line(error: Exception) -> str:
    # Of the driver's words, not of the statement.
    said = error.orig if isinstance(error, sql.DBAPIError) else error
    return str(said).partition("\n")[0][:300]
