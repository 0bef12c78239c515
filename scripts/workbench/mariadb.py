"""A MariaDB of our own: in one directory, apart from any that the system runs."""

from __future__ import annotations

import getpass
import shutil
import sys
import sysconfig
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from workbench.background import Background
from workbench.console import Step, Trouble, run
from workbench.packages import apt_install, is_root

PACKAGES = ("mariadb-server",)

#: For data that nobody will miss: nothing waits for the disk, and a power cut may cost all of it. A crash of
#: the server alone costs nothing.
_HASTY = ("innodb_flush_log_at_trx_commit=2", "innodb_doublewrite=OFF", "sync_binlog=0")
_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def ensure_installed(step: Step) -> list[str]:
    """See that the server's programs are there; the Debian packages that were installed. Raises Trouble."""
    if shutil.which("mariadbd", path=_PATH) and shutil.which("mariadb-install-db", path=_PATH):
        step.done("already there")
        return []
    installed = apt_install(step, PACKAGES, "MariaDB is not installed")
    step.done(f"installed {' '.join(installed)}")
    return installed


def ensure_client_builds(step: Step) -> list[str]:
    """See that pip can build mysqlclient, of which Linux has no wheels; what was installed. Raises Trouble."""
    missing = []
    if shutil.which("mariadb_config") is None:
        missing.append("libmariadb-dev")
    if shutil.which("pkg-config") is None:
        missing.append("pkg-config")
    if shutil.which("gcc") is None:
        missing.append("gcc")
    if not Path(sysconfig.get_path("include"), "Python.h").is_file():
        missing.append(f"python{sys.version_info.major}.{sys.version_info.minor}-dev")
    if missing:
        apt_install(step, missing, "the MariaDB driver has to be built")
    step.done(f"installed {' '.join(missing)}" if missing else "already there")
    return missing


class MariaDB:
    """The server of `directory`: files, log, pid file and unix socket are in it.

    `durable`: whether an answered commit survives a power cut (as production needs it), or only a crash of the
    server (for tests: several times as fast). `address`, `port`: where it listens besides the socket; None = nowhere.
    `settings`: more of them, "name=value".
    As root it runs as `mysql`, which must be able to enter the parents of `directory`.
    """

    def __init__(
        self,
        directory: Path,
        *,
        durable: bool = True,
        address: str | None = None,
        port: int = 3306,
        settings: Sequence[str] = (),
    ) -> None:
        self._daemon = Background(
            name="mariadbd", run=directory, log=directory / "mariadbd.log", user="mysql"
        )
        self._data = directory / "data"
        self.socket = directory / "data" / "mariadb.sock"
        self._durable = durable
        self._address, self._port = address, port
        self._settings = settings

    @property
    def pid(self) -> int | None:
        """The server's process, if it runs."""
        return self._daemon.pid()

    @property
    def log(self) -> Path:
        """What the server said."""
        return self._daemon.log

    def start(self) -> str:
        """Makes the files where there are none, starts the server where it does not run; the administrator's URL.

        Raises Trouble.
        """
        if not (self._data / "mysql").is_dir():
            self._make()
        self._daemon.ensure(self._command(), self._answers)
        return self.url("mysql")

    def _make(self) -> None:
        self._daemon.run.mkdir(parents=True, exist_ok=True)
        self._daemon.own(self._data)
        run(
            [_find("mariadb-install-db"), "--no-defaults", f"--datadir={self._data}", "--skip-test-db",
             "--auth-root-authentication-method=socket", f"--auth-root-socket-user={getpass.getuser()}",
             *(["--user=mysql"] if is_root() else [])],
            what="making the files of MariaDB", way_out="see whether the disk is full",
        )  # fmt: skip

    def _command(self) -> list[str | Path]:
        # Debian's own configuration is left out: it names directories of the system's server.
        listen = (
            ["--skip-networking"]
            if self._address is None
            else [f"--bind-address={self._address}", f"--port={self._port}"]
        )
        hasty = [] if self._durable else [f"--{setting}" for setting in _HASTY]
        return [
            _find("mariadbd"), "--no-defaults", f"--datadir={self._data}", f"--socket={self.socket}",
            f"--pid-file={self._data / 'server.pid'}", "--skip-name-resolve", "--max-connections=500",
            *(["--user=mysql"] if is_root() else []), *listen, *hasty,
            *(f"--{setting}" for setting in self._settings),
        ]  # fmt: skip

    def _answers(self) -> bool:
        try:
            self.execute("SELECT 1")
        except Trouble:
            return False
        return True

    def execute(self, sql: str, database: str = "mysql") -> str:
        """Runs SQL as the administrator; what was answered, columns apart by tabs. Raises Trouble."""
        return run(
            [_find("mariadb"), "--no-defaults", f"--socket={self.socket}", "--batch",
             "--skip-column-names", database, f"--execute={sql}"],
            what="asking MariaDB", way_out=f"see {self.log}", timeout=60,
        )  # fmt: skip

    def create(self, database: str, user: str, password: str) -> str:
        """Makes a database, and a user who may do everything in it and nothing elsewhere; the user's URL.

        The URL names the address if there is one, else the socket. Repeated, it only sets the password.
        """
        account = f"'{user}'@'{'%' if self._address else 'localhost'}'"
        secret = password.replace("\\", "\\\\").replace("'", "\\'")
        self.execute(
            f"CREATE DATABASE IF NOT EXISTS `{database}`; "
            # Not CREATE OR REPLACE: what the user may do in other databases would be forgotten.
            f"CREATE USER IF NOT EXISTS {account} IDENTIFIED BY '{secret}'; "
            f"ALTER USER {account} IDENTIFIED BY '{secret}'; "
            f"GRANT ALL ON `{database}`.* TO {account}"
        )
        return self.url(database, user, password)

    def url(self, database: str, user: str | None = None, password: str = "") -> str:
        """SQLAlchemy URL of a database; without a user as the administrator, by the socket."""
        if user is None:
            return f"mysql+mysqldb://{quote(getpass.getuser())}@localhost/{database}?unix_socket={self.socket}"
        who = f"{quote(user, safe='')}:{quote(password, safe='')}"
        if self._address is not None:
            return f"mysql+mysqldb://{who}@{self._address}:{self._port}/{database}"
        return f"mysql+mysqldb://{who}@localhost/{database}?unix_socket={self.socket}"

    def kill(self) -> None:
        """Ends it at once, as a crash does; nothing is lost that was committed."""
        self._daemon.kill(children=True)

    def stop(self) -> bool:
        """Ends it in order; whether it ran. Raises Trouble."""
        return self._daemon.stop(forcibly=False)


def _find(program: str) -> str:
    found = shutil.which(program, path=_PATH)
    if found is None:
        raise Trouble(f"{program} is not installed", f"apt-get install {' '.join(PACKAGES)}")
    return found
