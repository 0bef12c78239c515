"""zun-standalone as a background process: its settings, its start, its health, its end."""

from __future__ import annotations

import fcntl
import hashlib
import http.client
import json
import os
import urllib.error
import urllib.request
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any

from workbench.background import Background
from workbench.console import Step, Trouble, run
from workbench.packages import CHECKOUT

HEALTHY_SECONDS = 60.0
_MEMORY = "quickstart.json"
_PROGRAM = "zun-standalone"


def default_state() -> Path:
    """Where the service keeps its files by default; the same rule as its option state_path."""
    if os.geteuid() == 0:
        return Path("/var/lib/zun")
    return Path(os.environ.get("XDG_STATE_HOME") or "~/.local/state").expanduser() / "zun"


@dataclass
class Memory:
    """What one run leaves for the next, in <state>/quickstart.json; None = the default."""

    port: int | None = None
    engine: str | None = None
    config_file: str | None = None
    cloud: str = "zun"
    clouds_yaml: str | None = None
    packages: list[str] = field(default_factory=list)
    demo: str | None = None
    started_from: str | None = None

    @classmethod
    def load(cls, state: Path) -> Memory | None:
        """What the last run left; None where there was none. Raises Trouble on a damaged file."""
        path = state / _MEMORY
        try:
            read = json.loads(path.read_text())
            known = {item.name for item in fields(cls)}
            return cls(**{key: value for key, value in read.items() if key in known})
        except FileNotFoundError:
            return None
        except PermissionError as error:
            raise Trouble(
                f"no permission to read {path}", "run this as the user who ran it first"
            ) from error
        except (OSError, ValueError, TypeError, AttributeError) as error:
            raise Trouble(
                f"{path} can't be read: {error}", f"remove {path} and run this again"
            ) from error

    def save(self, state: Path) -> None:
        """Keep it for the next run."""
        temporary = state / f".{_MEMORY}"
        temporary.write_text(json.dumps(asdict(self), indent=1) + "\n")
        temporary.replace(state / _MEMORY)


class Service:
    """The one service of a state directory."""

    def __init__(self, state: Path, venv: Path, memory: Memory) -> None:
        self.state = state
        self.memory = memory
        self.log = state / f"{_PROGRAM}.log"
        self._bin = venv / "bin"
        self._url: str | None = None

    # -- settings ---------------------------------------------------------------------------------

    def command(self, *arguments: str) -> list[str]:
        """The service's command line."""
        config = ["--config-file", self.memory.config_file] if self.memory.config_file else []
        return [str(self._bin / _PROGRAM), *config, "--state-dir", str(self.state), *arguments]

    def environment(self) -> dict[str, str]:
        """What the service needs in its environment: options given to quickstart win over files."""
        given = {"OS_API__PORT": self.memory.port, "OS_DOCKER__API_URL": self.memory.engine}
        return {name: str(value) for name, value in given.items() if value is not None}

    def url(self) -> str:
        """Where the service listens, by its own reading of its options. Raises Trouble."""
        if self._url is None:
            script = (
                "import sys; from zun import conf; file, state = sys.argv[1:]; "
                "c = conf.load([file] if file else None, overrides={'state_path': state}); "
                "print(c.api.host_ip, c.api.port)"
            )
            answer = run(
                [self._bin / "python", "-c", script, self.memory.config_file or "", self.state],
                what="reading the service's options",
                env=self.environment(),
            )
            host, port = answer.split()
            host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)
            self._url = f"http://{f'[{host}]' if ':' in host else host}:{port}"
        return self._url

    # -- state ------------------------------------------------------------------------------------

    def pid(self) -> int | None:
        """The process this checkout's quickstart started, if it still runs."""
        return self._daemon.pid()

    @property
    def _daemon(self) -> Background:
        # What the user's environment says of options is meant for it.
        return Background(
            name=_PROGRAM, run=self.state, log=self.log, command=self.command(), env=self.environment(), without=None,
            cwd=self.state,
        )  # fmt: skip

    def health(self) -> dict[str, Any] | None:
        """The answer of /healthcheck; None where none or no sensible one comes."""
        try:
            with urllib.request.urlopen(f"{self.url()}/healthcheck", timeout=5) as answer:
                read = json.load(answer)
        except urllib.error.HTTPError as error:
            try:
                read = json.load(error)
            except ValueError:
                return None
        except (OSError, ValueError, http.client.HTTPException):
            return None
        return read if isinstance(read, dict) and "checks" in read else None

    def locked(self) -> bool:
        """Whether some process, ours or not, serves this state directory."""
        try:
            with (self.state / "lock").open("rb") as file:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    # -- deeds ------------------------------------------------------------------------------------

    def init(self, step: Step, clouds_yaml: str | None) -> None:
        """Make state directory, identity and clouds.yaml entry where they are missing."""
        target = ["--clouds-yaml", clouds_yaml] if clouds_yaml else []
        said = run(
            self.command("init", "--cloud", self.memory.cloud, *target),
            what="preparing the state directory",
            env=self.environment(),
        )
        step.done("; ".join(said.split("\n")[-2:-1]) or "done")

    def ensure_running(self, step: Step) -> None:
        """Start the service, or start it again where it is of another version; wait until healthy.

        Raises Trouble with the end of its log.
        """
        current = fingerprint()
        pid = self.pid()
        if pid is not None and self.memory.started_from == current and self._healthy():
            step.done(f"already running at {self.url()}, process {pid}")
            return
        word = "started"
        if pid is not None:
            step.doing("stopping the one that runs, it is of another version or not healthy")
            self.stop()
            word = "started again"
        elif self.locked():
            if self._healthy():
                step.done(f"already running at {self.url()}, started by somebody else")
                return
            raise Trouble(
                f"another process serves {self.state} and is not healthy at {self.url()}",
                "stop it (fuser -v lock shows it), or use another --state-dir",
            )
        elif self._taken():
            raise Trouble(
                f"something else listens at {self.url()}",
                "stop it, or choose another port: --port N",
            )
        self._start(step, current)
        step.done(f"{word} at {self.url()}, process {self.pid()}")

    def stop(self) -> bool:
        """End the service if this checkout started it and it runs; whether it did. Raises Trouble."""
        return self._daemon.stop(forcibly=False)

    def _start(self, step: Step, current: str) -> None:
        step.doing("starting zun-standalone")
        self._daemon.start()
        self.memory.started_from = current
        self.memory.save(self.state)
        self._daemon.wait(
            self._healthy, HEALTHY_SECONDS, "is healthy", lambda: f": {describe(self.health())}"
        )

    def _healthy(self) -> bool:
        health = self.health()
        return health is not None and health.get("status") == "ok"

    def _taken(self) -> bool:
        """Whether anything answers at our address."""
        try:
            urllib.request.urlopen(self.url(), timeout=2).close()
        except urllib.error.HTTPError:
            return True
        except OSError as error:
            return not isinstance(getattr(error, "reason", error), ConnectionRefusedError)
        return True


def describe(health: dict[str, Any] | None) -> str:
    """A health answer in one line."""
    if health is None:
        return "no answer"
    return ", ".join(
        f"{name} {check.get('status')}" + (f" ({check['detail']})" if check.get("detail") else "")
        for name, check in health["checks"].items()
    )


def fingerprint() -> str:
    """Of the code a service started now would run."""
    digest = hashlib.sha256(str(CHECKOUT).encode())
    files = sorted((CHECKOUT / "src" / "zun").rglob("*.py"))
    for file in [*files, CHECKOUT / "pyproject.toml", CHECKOUT / "constraints.txt"]:
        digest.update(f"{file}\0".encode() + file.read_bytes())
    return digest.hexdigest()
