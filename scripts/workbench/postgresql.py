"""A PostgreSQL of our own: in one directory, apart from any cluster that the system runs."""

from __future__ import annotations

import re
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from workbench.background import Background
from workbench.console import Step, Trouble, run
from workbench.packages import apt_install

PACKAGES = ("postgresql",)

#: For data that nobody will miss: nothing waits for the disk, and a power cut may cost all of it. A crash of
#: the server alone costs nothing that was answered: what was written is in the kernel's hands.
_HASTY = ("fsync=off", "full_page_writes=off")
_DEBIAN = Path("/usr/lib/postgresql")


def ensure_installed(step: Step) -> list[str]:
    """See that the server's programs are there; the Debian packages that were installed. Raises Trouble."""
    if _programs() is not None:
        step.done("already there")
        return []
    installed = apt_install(step, PACKAGES, "PostgreSQL is not installed")
    step.done(f"installed {' '.join(installed)}")
    return installed


class PostgreSQL:
    """The server of `directory`: files, log, pid file and unix socket are in it.

    `durable`: whether an answered commit survives a power cut (as production needs it), or only a crash of the
    server (for tests: several times as fast). `address`, `port`: where it listens besides the socket; None = nowhere.
    `settings`: more of them, "name=value".
    As root it runs as `postgres`, which must be able to enter the parents of `directory`.
    """

    def __init__(
        self,
        directory: Path,
        *,
        durable: bool = True,
        address: str | None = None,
        port: int = 5432,
        settings: Sequence[str] = (),
    ) -> None:
        self._daemon = Background(
            name="postgres", run=directory, log=directory / "postgres.log", user="postgres"
        )
        self._data = directory / "data"
        self.socket = directory / "socket"
        self._durable = durable
        self._address, self._port = address, port
        self._settings = settings

    @property
    def pid(self) -> int | None:
        """The server's first process, if it runs."""
        return self._daemon.pid()

    @property
    def log(self) -> Path:
        """What the server said."""
        return self._daemon.log

    def start(self) -> str:
        """Makes the files where there are none, starts the server where it does not run; the administrator's URL.

        Raises Trouble.
        """
        self._daemon.run.mkdir(parents=True, exist_ok=True)
        # Whoever may enter the socket's directory is believed to be whoever it says it is.
        self._daemon.own(self.socket)
        if not (self._data / "PG_VERSION").is_file():
            self._make()
        self._daemon.ensure(self._command(), self._answers)
        return self.url("postgres")

    def _make(self) -> None:
        self._daemon.own(self._data)
        self._daemon.run_as(
            [_find("initdb"), "--pgdata", self._data, "--username=postgres", "--encoding=UTF8",
             "--locale=C.UTF-8", "--auth-local=trust", "--auth-host=scram-sha-256",
             *([] if self._durable else ["--no-sync"])],
            what="making the files of PostgreSQL",
        )  # fmt: skip
        if self._address is not None:
            # Passwords, for every address that reaches it: where it listens is the fence.
            with (self._data / "pg_hba.conf").open("a") as file:
                file.write("host all all all scram-sha-256\n")

    def _command(self) -> list[str | Path]:
        settings = [
            f"unix_socket_directories={self.socket}",
            f"listen_addresses={self._address or ''}",
            f"port={self._port}",
            "max_connections=500",
            "timezone=UTC",
            *([] if self._durable else _HASTY),
            *self._settings,
        ]
        return [_find("postgres"), "-D", self._data, *(w for s in settings for w in ("-c", s))]

    def _answers(self) -> bool:
        try:
            self.execute("SELECT 1")
        except Trouble:
            return False
        return True

    def execute(self, sql: str, database: str = "postgres") -> str:
        """Runs SQL as the administrator, each statement by itself; what was answered, columns apart by "|".

        Raises Trouble.
        """
        return run(
            [_find("psql"), "--no-psqlrc", "--quiet", "--tuples-only", "--no-align",
             "--set=ON_ERROR_STOP=1", f"--host={self.socket}", f"--port={self._port}",
             "--username=postgres", f"--dbname={database}", f"--command={sql}"],
            what="asking PostgreSQL", way_out=f"see {self.log}", without="PG", timeout=60,
        )  # fmt: skip

    def create(self, database: str, user: str, password: str) -> str:
        """Makes a database, and the user it belongs to, who may do nothing elsewhere; the user's URL.

        The URL names the address if there is one, else the socket. Repeated, it only sets the password.
        """
        secret = password.replace("'", "''")
        roles = self.execute("SELECT rolname FROM pg_roles").split()
        verb = "ALTER" if user in roles else "CREATE"
        self.execute(f"{verb} ROLE \"{user}\" LOGIN PASSWORD '{secret}'")
        if database not in self.execute("SELECT datname FROM pg_database").split():
            self.execute(f'CREATE DATABASE "{database}" OWNER "{user}"')
        return self.url(database, user, password)

    def url(self, database: str, user: str = "postgres", password: str = "") -> str:
        """SQLAlchemy URL of a database; without a user as the administrator, by the socket."""
        if self._address is not None and user != "postgres":
            who = f"{quote(user, safe='')}:{quote(password, safe='')}"
            return f"postgresql+psycopg://{who}@{self._address}:{self._port}/{database}"
        return f"postgresql+psycopg://{quote(user, safe='')}@/{database}?host={self.socket}&port={self._port}"

    def kill(self) -> None:
        """Ends it at once, as a crash does; nothing is lost that was committed."""
        self._daemon.kill(children=True)

    def stop(self) -> bool:
        """Ends it in order, whoever is connected; whether it ran. Raises Trouble."""
        return self._daemon.stop(number=signal.SIGINT, forcibly=False)


def _programs() -> Path | None:
    """The directory of the newest server's programs: Debian keeps them off the PATH."""

    def number(path: Path) -> int:
        return int(re.sub(r"\D", "", path.parent.name) or 0)

    found = sorted((p for p in _DEBIAN.glob("*/bin") if (p / "initdb").exists()), key=number)
    if found:
        return found[-1]
    elsewhere = shutil.which("initdb")
    return Path(elsewhere).parent if elsewhere else None


def _find(program: str) -> Path:
    programs = _programs()
    if programs is None:
        raise Trouble("PostgreSQL is not installed", f"apt-get install {' '.join(PACKAGES)}")
    return programs / program
