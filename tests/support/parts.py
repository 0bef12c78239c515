"""The separate processes, on the database and broker they are given: started, asked, killed, stopped."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.support.house import eventually
from tests.support.releases import Release, today
from tests.support.service import free_port

KEY = "0123456789abcdef" * 2
BIN = Path(sys.executable).parent
TODAY = today()


class Part:
    """One process. `url` is where its health is asked."""

    def __init__(self, command: Sequence[str], log: Path, url: str, env: Mapping[str, str]) -> None:
        self.command = list(command)
        self.log = log
        self.url = url
        self._env = env
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, *, wait: bool = True) -> Part:
        """Starts it; with `wait`, until it is healthy."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command, stdout=log, stderr=log, start_new_session=True,
                env={**{k: v for k, v in os.environ.items() if not k.startswith("OS_")}, **self._env},
            )  # fmt: skip
        if wait:
            eventually(lambda: self.dead or self.healthy, f"it becomes healthy; see {self.log}")
            assert not self.dead, self.said
        return self

    @property
    def said(self) -> str:
        """The end of its log."""
        return self.log.read_text(errors="replace")[-4000:]

    @property
    def pid(self) -> int:
        """Its process id."""
        assert self._process is not None
        return self._process.pid

    @property
    def dead(self) -> bool:
        """Whether its process has ended."""
        return self._process is None or self._process.poll() is not None

    @property
    def healthy(self) -> bool:
        """Whether /healthcheck says all is well."""
        try:
            return ask(self.url, "GET", "/healthcheck")[0] == 200
        except OSError:
            return False

    def health(self) -> Mapping[str, Any]:
        """What /healthcheck says of each part."""
        checks: Mapping[str, Any] = ask(self.url, "GET", "/healthcheck")[1]["checks"]
        return checks

    def kill(self) -> None:
        """SIGKILL."""
        self.send(signal.SIGKILL)

    def stop(self) -> int:
        """SIGTERM; its exit code."""
        return self.send(signal.SIGTERM)

    def send(self, number: signal.Signals) -> int:
        """A signal that ends it; its exit code."""
        assert self._process is not None
        if not self.dead:
            os.kill(self.pid, number)
        eventually(lambda: self.dead, f"it ends: {self.said}")
        code: int = self._process.returncode
        return code


class Parts:
    """All processes of one service; every configuration has the same database, broker and key."""

    def __init__(self, folder: Path, options: Mapping[str, Mapping[str, Any]]) -> None:
        self.folder = folder
        self.options = options
        self.host = f"test-{free_port()}"
        self.made: list[Part] = []
        self.streams_port = free_port()

    def config(self, name: str, **own: Mapping[str, Any]) -> Path:
        """A configuration file; `own` options win over those of all."""
        sections: dict[str, dict[str, Any]] = {
            "DEFAULT": {"host": self.host, "auth_encryption_key": KEY, "state_path": self.folder / "state"},
            "database": {"connection": f"sqlite:///{self.folder / 'zun.sqlite'}"},
            "streams": {"port": self.streams_port},
            "quota": {"driver": "NoopQuotaDriver"},
            "compute": {"poll_interval": 1, "leftover_grace": 0, "heartbeat_interval": 5},
            "docker_network": {"subnet_pool": "10.203.0.0/16"},
        }  # fmt: skip
        for given in (self.options, own):
            for section, values in given.items():
                sections.setdefault(section, {}).update(values)
        path = self.folder / f"{name}.conf"
        text = "".join(
            f"[{section}]\n" + "".join(f"{key} = {value}\n" for key, value in values.items())
            for section, values in sections.items()
        )
        path.write_text(text)
        return path

    def upgrade(self, release: Release = TODAY) -> None:
        """Makes the schema."""
        code, said = self.run("zun-db-manage", "upgrade", release=release)
        assert code == 0, said

    def run(self, program: str, *arguments: str, release: Release = TODAY) -> tuple[int, str]:
        """A command of ours to its end: its exit code and what it printed."""
        file = str(self.config("command"))
        done = subprocess.run(
            [*release.command(program), "--config-file", file, *arguments],
            env={**os.environ, **release.env}, capture_output=True, text=True, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout + done.stderr

    def part(
        self, program: str, name: str = "", release: Release = TODAY, **own: Mapping[str, Any]
    ) -> Part:
        """A process of ours, with ports of its own; not started."""
        name = name or program
        port, figures = free_port(), free_port()
        own = {"api": {"port": port}, "metrics": {"port": figures}, **own}
        file = self.config(name, **own)
        at = port if program == "zun-api" else figures
        command = [*release.command(program), "--config-file", str(file)]
        return self.add(command, name, f"http://127.0.0.1:{at}", **release.env)

    def add(self, command: Sequence[str], name: str, url: str, **env: str) -> Part:
        """Any process."""
        made = Part(command, self.folder / f"{name}.log", url, env)
        self.made.append(made)
        return made

    def destroy(self) -> None:
        """Ends all that still runs."""
        for part in self.made:
            if not part.dead:
                part.kill()


def together(*processes: Part) -> None:
    """Starts all of them at once; returns when each is healthy."""
    for part in processes:
        part.start(wait=False)
    for part in processes:
        eventually(lambda p=part: p.dead or p.healthy, f"it becomes healthy; see {part.log}")  # type: ignore[misc]
        assert not part.dead, part.said


@contextmanager
def parts(
    folder: Path, options: Mapping[str, Mapping[str, Any]], release: Release = TODAY
) -> Iterator[Parts]:
    """Parts on a fresh schema, made by a release."""
    made = Parts(folder, options)
    try:
        made.upgrade(release)
        yield made
    finally:
        made.destroy()


def ask(
    url: str, method: str, path: str, body: Any = None, version: str = "1.40", **headers: str
) -> tuple[int, Any]:
    """Status and body (decoded JSON where it is some, None if empty) of one request."""
    request = urllib.request.Request(
        url + path,
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={
            "Content-Type": "application/json",
            "OpenStack-API-Version": f"container {version}",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        },
    )
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, _decoded(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, _decoded(error.read())


def _decoded(raw: bytes) -> Any:
    try:
        return json.loads(raw) if raw else None
    except ValueError:
        return raw.decode(errors="replace")
