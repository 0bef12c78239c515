"""A real `zun-standalone` in a process of its own, on a real engine, with a state directory and a port of its own."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from base64 import b64encode
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.support.house import eventually

PYTHON = sys.executable


def free_port() -> int:
    """A TCP port of loopback that nobody listens on."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


class Service:
    """Start, kill and ask one service. `command` starts it; it gets `--state-dir` and a configuration file."""

    def __init__(
        self,
        state: Path,
        *,
        options: Mapping[str, Mapping[str, Any]] | None = None,
        command: Sequence[str] = (PYTHON, "-m", "zun.cmd.standalone"),
    ) -> None:
        self.state = state
        self.port = free_port()
        self.log = state.parent / f"{state.name}.log"
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None
        self._config = state.parent / f"{state.name}.conf"
        sections: dict[str, dict[str, Any]] = {
            "DEFAULT": {"host": f"test-{self.port}"},
            "api": {"port": self.port},
            "metrics": {"port": 0},
            "streams": {"port": 0},
            "websocket_proxy": {"wsproxy_port": free_port()},
            "quota": {"driver": "NoopQuotaDriver"},  # tests make more than a project may by default
            "compute": {"poll_interval": 1, "leftover_grace": 0},
            # Its own pool: other services on the same engine have the default one.
            "docker_network": {"subnet_pool": "10.202.0.0/16"},
        }
        for section, values in (options or {}).items():
            sections.setdefault(section, {}).update(values)
        self._config.write_text(
            "\n".join(
                f"[{name}]\n" + "\n".join(f"{k} = {v}" for k, v in values.items())
                for name, values in sections.items()
            )
            + "\n"
        )

    # ---- life

    def start(self, env: Mapping[str, str] | None = None, *, wait: bool = True) -> None:
        """Starts it; with `wait`, until it is healthy."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [
                    *self._command,
                    "--config-file",
                    str(self._config),
                    "--state-dir",
                    str(self.state),
                ],
                stdout=log,
                stderr=log,
                env={**os.environ, **(env or {})},
                start_new_session=True,
            )
        if wait:
            eventually(lambda: self.dead or self.healthy, f"it becomes healthy; see {self.log}")
            assert not self.dead, f"it ended: {self.log.read_text()[-3000:]}"

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
            return self.ask("GET", "/healthcheck")[0] == 200
        except OSError:
            return False

    def wait_dead(self) -> int:
        """Its exit code (negative: the signal), once it has ended."""
        assert self._process is not None
        eventually(lambda: self.dead, "it ends")
        code: int = self._process.returncode
        return code

    def kill(self) -> None:
        """SIGKILL."""
        if not self.dead:
            os.kill(self.pid, signal.SIGKILL)
            self.wait_dead()

    def stop(self) -> int:
        """SIGTERM; its exit code."""
        if not self.dead:
            os.kill(self.pid, signal.SIGTERM)
        return self.wait_dead()

    # ---- requests

    def ask(
        self, method: str, path: str, body: Any = None, version: str = "1.40", **headers: str
    ) -> tuple[int, Any]:
        """Status and body (decoded JSON, None if empty) of one request, as the generated administrator.

        OSError (ConnectionError): it gave no answer, or died in the middle of it.
        """
        request = urllib.request.Request(
            f"http://127.0.0.1:{self.port}{path}",
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={
                "Content-Type": "application/json",
                "OpenStack-API-Version": f"container {version}",
                "Authorization": self._authorization(),
                **{k.replace("_", "-"): v for k, v in headers.items()},
            },
        )
        try:
            return _answer(request)
        except http.client.HTTPException as error:
            raise ConnectionError(f"half an answer to {method} {path}: {error!r}") from error

    def _authorization(self) -> str:
        file = self.state / "password"
        password = file.read_text().strip() if file.exists() else ""
        return "Basic " + b64encode(f"admin:{password}".encode()).decode()

    def show(self, uuid: str) -> dict[str, Any] | None:
        """The container, or None if there is none."""
        status, body = self.ask("GET", f"/v1/containers/{uuid}")
        if status == 404:
            return None
        assert status == 200, body
        shown: dict[str, Any] = body
        return shown

    def until(self, uuid: str, *statuses: str) -> dict[str, Any]:
        """The container once it has one of the statuses and no task."""

        def has() -> dict[str, Any] | None:
            shown = self.show(uuid)
            return (
                shown if shown and shown["status"] in statuses and not shown["task_state"] else None
            )

        answer: dict[str, Any] = eventually(has, f"{uuid} becomes {statuses}, is {self.show(uuid)}")
        return answer

    def gone(self, uuid: str) -> None:
        """Waits until the container is gone."""
        eventually(lambda: self.show(uuid) is None, f"{uuid} goes, is {self.show(uuid)}")


def _answer(request: urllib.request.Request) -> tuple[int, Any]:
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, _decoded(answer.read())
    except urllib.error.HTTPError as error:
        with error:
            return error.code, _decoded(error.read())


def _decoded(raw: bytes) -> Any:
    return json.loads(raw) if raw else None
