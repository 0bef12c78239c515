"""A RabbitMQ of our own: in one directory, on loopback or wherever it is told, apart from any that the system runs."""

from __future__ import annotations

import os
import shutil
import socket
from pathlib import Path
from urllib.parse import quote

from workbench.background import Background
from workbench.console import Step, Trouble, run
from workbench.packages import apt_install, is_root

PACKAGES = ("rabbitmq-server",)

#: Debian's own wrapper changes the directory and the user; what it wraps does not.
_SERVER = "/usr/lib/rabbitmq/bin/rabbitmq-server"
_CTL = "/usr/lib/rabbitmq/bin/rabbitmqctl"
_HELLO = b"AMQP\x00\x00\x09\x01"
_ANSWER_SECONDS = 2.0


def ensure_installed(step: Step) -> list[str]:
    """See that the server's programs are there; the Debian packages that were installed. Raises Trouble."""
    if Path(_SERVER).is_file():
        step.done("already there")
        return []
    installed = apt_install(step, PACKAGES, "RabbitMQ is not installed")
    step.done(f"installed {' '.join(installed)}")
    return installed


def free_port(address: str = "127.0.0.1") -> int:
    """A TCP port that nobody listens on."""
    with socket.socket() as sock:
        sock.bind((address, 0))
        port: int = sock.getsockname()[1]
        return port


class RabbitMQ:
    """The broker of `directory`: files, logs and pid file are in it.

    Listens on `address`, `port`. As root it runs as `rabbitmq`, which must be able to enter the parents of `directory`.
    """

    def __init__(
        self,
        directory: Path,
        *,
        address: str = "127.0.0.1",
        port: int = 5672,
        user: str = "zun",
        password: str = "zun",
        tls_port: int | None = None,
    ) -> None:
        """`tls_port`: where it also listens with TLS, with the certificate and key that are then in `certificate`."""
        # The server's script ends as the Erlang machine, under the same process number.
        self._daemon = Background(
            name="beam.smp", run=directory, log=directory / "beam.smp.log", user="rabbitmq"
        )
        self._home = directory / "home"
        self._address, self._port = address, port
        self._user, self._password = user, password
        self._tls_port = tls_port
        self.certificate = directory / "server.pem"

    @property
    def pid(self) -> int | None:
        """The broker's process, if it runs."""
        return self._daemon.pid()

    @property
    def log(self) -> Path:
        """What the broker said."""
        return self._daemon.log

    @property
    def url(self) -> str:
        """What `[DEFAULT] transport_url` of its users is."""
        who = f"{quote(self._user, safe='')}:{quote(self._password, safe='')}"
        return f"rabbit://{who}@{self._address}:{self._port}/"

    @property
    def tls_url(self) -> str:
        """`url`, where it listens with TLS; by its name, which is what certificates are for."""
        return self.url.replace(f"{self._address}:{self._port}/", f"localhost:{self._tls_port}/")

    def start(self) -> str:
        """Makes the files where there are none, starts the broker where it does not run; its URL. Raises Trouble."""
        self._daemon.run.mkdir(parents=True, exist_ok=True)
        self._daemon.own(self._home)
        conf = self._home / "rabbitmq.conf"
        if not conf.exists():
            # Ports of its own for the Erlang machine's talk with others, which only our own rabbitmqctl uses.
            ports = {"dist": free_port(), "epmd": free_port()}
            (self._home / "ports").write_text(f"{ports['dist']} {ports['epmd']}\n")
            conf.write_text(
                f"listeners.tcp.only = {self._address}:{self._port}\n"
                f"default_user = {self._user}\ndefault_pass = {self._password}\n"
                "loopback_users = none\nlog.file = false\nlog.console = true\n"
                f"log.console.level = info\n{self._tls()}"
            )
            if is_root():
                shutil.chown(conf, "rabbitmq", "rabbitmq")
            conf.chmod(0o600)
        if not Path(_SERVER).is_file():
            raise Trouble("RabbitMQ is not installed", f"apt-get install {' '.join(PACKAGES)}")
        self._daemon.ensure(["/usr/bin/env", *self._settings(), _SERVER], self._answers)
        return self.url

    def _tls(self) -> str:
        if self._tls_port is None:
            return ""
        own = self._home / "server.pem"
        shutil.copy(self.certificate, own)
        if is_root():
            shutil.chown(own, "rabbitmq", "rabbitmq")
        files = "".join(f"ssl_options.{name}file = {own}\n" for name in ("cacert", "cert", "key"))
        return f"listeners.ssl.1 = {self._address}:{self._tls_port}\n{files}ssl_options.verify = verify_none\n"

    def _settings(self) -> list[str]:
        dist, epmd = (self._home / "ports").read_text().split()
        settings = {
            "HOME": self._home,
            "RUNNING_UNDER_SYSTEMD": "true",  # no second process between us and the broker
            "RABBITMQ_NODENAME": "rabbit@localhost",
            "RABBITMQ_CONFIG_FILE": self._home / "rabbitmq",
            "RABBITMQ_CONF_ENV_FILE": self._home / "no-environment-file",
            "RABBITMQ_MNESIA_BASE": self._home / "data",
            "RABBITMQ_LOG_BASE": self._home / "log",
            "RABBITMQ_PID_FILE": self._home / "pid",
            "RABBITMQ_ENABLED_PLUGINS_FILE": self._home / "plugins",
            "RABBITMQ_GENERATED_CONFIG_DIR": self._home / "generated",
            "RABBITMQ_DIST_PORT": dist,
            "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1}",
            "ERL_EPMD_ADDRESS": "127.0.0.1",
            "ERL_EPMD_PORT": epmd,
        }
        return [f"{name}={value}" for name, value in settings.items()]

    def _answers(self) -> bool:
        """Whether it greets: it does so only once it has started whole."""
        try:
            with socket.create_connection((self._address, self._port), _ANSWER_SECONDS) as sock:
                sock.settimeout(_ANSWER_SECONDS)
                sock.sendall(_HELLO)
                return sock.recv(7)[:1] == b"\x01"
        except OSError:
            return False

    def ctl(self, *arguments: str) -> str:
        """Runs `rabbitmqctl`; what it printed. Raises Trouble."""
        command = ["/usr/bin/env", *self._settings(), _CTL, "--quiet", *arguments]
        return self._daemon.run_as(command, what="asking RabbitMQ")

    def kill(self) -> None:
        """Ends it at once, as a crash does.

        RabbitMQ 3.10 writes down the members of a replicated queue within about a second of making it; killed before,
        it never finds a leader for that queue again. That is waited for first: it is no defect of ours.
        """
        if self.pid is not None:
            self.ctl("eval", "[dets:sync(Table) || Table <- dets:all()].")
        self._daemon.kill(children=True)

    def pause(self) -> None:
        """Has it hang: connections stay, nothing is answered."""
        self._signal("STOP")

    def resume(self) -> None:
        """Ends a pause."""
        self._signal("CONT")

    def _signal(self, name: str) -> None:
        if self.pid is not None:
            run(["kill", f"-{name}", str(self.pid)], what=f"sending SIG{name}")

    def stop(self) -> bool:
        """Ends it in order, and what it started; whether it ran. Raises Trouble."""
        ran = self._daemon.stop(forcibly=False)
        if ran and shutil.which("epmd"):
            _, epmd = (self._home / "ports").read_text().split()
            # The Erlang machine's name server outlives it; it knows nobody else.
            run(
                ["epmd", "-port", epmd, "-kill"],
                what="ending epmd",
                env={"ERL_EPMD_ADDRESS": "127.0.0.1", "PATH": os.environ.get("PATH", "")},
            )
        return ran
