"""The databases the store has to work on alike: SQLite always, and one private MariaDB and PostgreSQL a session."""

from __future__ import annotations

import importlib
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from zun.store import migrate, schema
from zun.store.database import Database

SQLITE, MARIADB, POSTGRESQL = "sqlite", "mariadb", "postgresql"
KINDS = (SQLITE, MARIADB, POSTGRESQL)
SERVERS = (MARIADB, POSTGRESQL)

_SCRIPTS = Path(__file__).parents[2] / "scripts"
#: In a folder whose database is on a server: its URL.
_ELSEWHERE = "database.url"


def workbench(name: str) -> Any:
    """A module of the project's scripts, which know how to start servers."""
    if str(_SCRIPTS) not in sys.path:
        sys.path.append(str(_SCRIPTS))
    return importlib.import_module(f"workbench.{name}")


def url_in(folder: Path) -> str:
    """The URL of the database that belongs to `folder`."""
    elsewhere = folder / _ELSEWHERE
    if elsewhere.exists():
        return elsewhere.read_text()
    return f"sqlite:///{folder / 'zun.sqlite'}"


#: Run beside a server: ends it, and removes its files, when whoever started this has ended, however that ended.
_GUARD = """
import os, pathlib, shutil, signal, sys
folder = pathlib.Path(sys.argv[1])
sys.stdin.read()
for file in folder.glob("*/*.pid"):
    try:
        pid = int(file.read_text())
        if str(folder).encode() in pathlib.Path(f"/proc/{pid}/cmdline").read_bytes():
            os.kill(pid, signal.SIGKILL)
    except (OSError, ValueError):
        pass
shutil.rmtree(folder, ignore_errors=True)
"""


class Server:
    """A private server that lives until `close`, or until this process ends, with data nobody will miss."""

    def __init__(self, kind: str, **server: Any) -> None:
        self.kind = kind
        # Not below the tests' own folders: the server's user must be able to enter it.
        self._directory = Path(tempfile.mkdtemp(prefix="zun-test-"))
        self._directory.chmod(0o755)
        make = {MARIADB: "MariaDB", POSTGRESQL: "PostgreSQL"}[kind]
        self.process: Any = getattr(workbench(kind), make)(
            self._directory / kind, durable=False, **server
        )
        self._trouble = workbench("console").Trouble
        self._number = 0
        self._migrated: str | None = None
        self._grown: str | None = None
        self._guard = subprocess.Popen(
            [sys.executable, "-c", _GUARD, str(self._directory)],
            stdin=subprocess.PIPE,
            start_new_session=True,
        )
        try:
            self.start()
        except BaseException:
            self.close()
            raise

    def start(self) -> None:
        """Starts it, or starts it again after it was killed."""
        try:
            self.process.start()
        except self._trouble as trouble:
            pytest.fail(f"{trouble.cause}\n{trouble.way_out}; ./run-tests does it too")

    def kill(self) -> None:
        """As a crash does."""
        self.process.kill()

    def empty(self) -> str:
        """The URL of a new database without tables, of a user who may do everything in it and nothing elsewhere.

        Its defaults are as unlike what the store needs as an operator's may be.
        """
        self._number += 1
        name = f"zun{self._number}"
        if self.kind == MARIADB:
            odd = f"CREATE DATABASE {name} CHARACTER SET latin1 COLLATE latin1_swedish_ci"
        else:
            odd = (
                f"CREATE DATABASE {name} TEMPLATE template0 LOCALE_PROVIDER icu ICU_LOCALE 'en-US'"
            )
        self.process.execute(odd)
        url: str = self.process.create(name, "zun", "secret")
        if self.kind == POSTGRESQL:
            self.process.execute(f"ALTER DATABASE {name} OWNER TO zun")
        return url

    def migrated(self) -> str:
        """The URL of the one migrated database, emptied."""
        if self._migrated is None:
            self._migrated = self.empty()
            database = Database(self._migrated)
            migrate.upgrade(database)
            database.close()
        _empty(self._migrated)
        return self._migrated

    def grown(self, grow: Callable[[str], None]) -> str:
        """The URL of the one migrated database that `grow` has filled, which nobody changes."""
        if self._grown is None:
            self._grown = self.empty()
            database = Database(self._grown)
            migrate.upgrade(database)
            database.close()
            grow(self._grown)
        return self._grown

    def close(self) -> None:
        """Stops it and removes its files."""
        try:
            self.process.stop()
        finally:
            assert self._guard.stdin is not None
            self._guard.stdin.close()
            self._guard.wait(30)


def _empty(url: str) -> None:
    """Deletes all rows: on tables as small as those of tests much faster than TRUNCATE, or than new tables."""
    engine = sa.create_engine(url, poolclass=sa.NullPool)
    with engine.begin() as conn:
        for table in reversed(schema.metadata.sorted_tables):
            conn.execute(table.delete())
    engine.dispose()


class Servers:
    """The servers of a session, each started when it is first asked for."""

    def __init__(self) -> None:
        self._running: dict[str, Server] = {}

    def get(self, kind: str) -> Server:
        """The server of this kind. Fails saying what to install where there is none."""
        if kind not in self._running:
            self._running[kind] = Server(kind)
        return self._running[kind]

    def close(self) -> None:
        """Stops those that run."""
        with ExitStack() as stack:
            for server in self._running.values():
                stack.callback(server.close)


@contextmanager
def servers() -> Iterator[Servers]:
    """For a fixture of a session."""
    all_of_them = Servers()
    try:
        yield all_of_them
    finally:
        all_of_them.close()


def put_elsewhere(folder: Path, url: str) -> None:
    """Has `folder` mean the database at `url`."""
    (folder / _ELSEWHERE).write_text(url)
