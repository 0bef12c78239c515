"""The unmodified official clients, one process that forks for each command: importing them takes seconds.

Run as a program it is that process: a JSON object {"program", "argv"} a line on stdin, and one {"code", "out", "err"}
on stdout.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Ended:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        """What it printed, where it was asked for JSON."""
        assert self.code == 0, self
        return json.loads(self.out)


class Clients:
    """`env` is what the clients are configured by."""

    def __init__(self, env: Mapping[str, str]) -> None:
        clean = {k: v for k, v in os.environ.items() if not k.startswith("OS_")}
        self._process = subprocess.Popen(
            [sys.executable, __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**clean, **env, "COLUMNS": "400"},
        )

    def run(self, program: str, *argv: str) -> Ended:
        """Runs `openstack` or `zun` to its end."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps({"program": program, "argv": argv}) + "\n")
        self._process.stdin.flush()
        return Ended(**json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        """Ends the process."""
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(20)
        self._process.stdout.close()


class Identity:
    """As much of an identity service as `zun` needs to begin: it gives everybody a token, and has no catalogue."""

    def __init__(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Tokens)
        self.url = f"http://127.0.0.1:{self._server.server_port}/v3"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Ends it."""
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)


class _Tokens(BaseHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        pass

    def _answer(self, status: int, body: Any, **headers: str) -> None:
        raw = json.dumps(body).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **headers}.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Length", str(len(raw)))
        self.end_headers()
        self.wfile.write(raw)

    def do_GET(self) -> None:
        url = f"http://{self.headers['Host']}/v3/"
        links = [{"rel": "self", "href": url}]
        version = {"id": "v3.14", "status": "stable", "links": links}
        self._answer(200, {"version": version})

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        domain = {"id": "default", "name": "Default"}
        token = {
            "methods": ["password"],
            "expires_at": "2099-01-01T00:00:00.000000Z",
            "issued_at": "2020-01-01T00:00:00.000000Z",
            "user": {"id": "u", "name": "admin", "domain": domain},
            "project": {"id": "p", "name": "admin", "domain": domain},
            "roles": [{"id": "r", "name": "admin"}],
            "catalog": [],
        }
        self._answer(201, {"token": token}, X_Subject_Token="a-token")


def _main(program: str, argv: list[str]) -> int:
    if program == "openstack":
        from openstackclient.shell import main

        return int(main(argv) or 0)
    from zunclient.shell import OpenStackZunShell

    try:
        OpenStackZunShell().main(argv)
    except Exception as error:
        print(f"ERROR: {error}", file=sys.stderr)
        return 1
    return 0


def _child(program: str, argv: list[str], out: Path, err: Path) -> None:
    code = 1
    try:
        for number, path in ((1, out), (2, err)):
            target = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
            os.dup2(target, number)
        sys.stdout = os.fdopen(1, "w", closefd=False)
        sys.stderr = os.fdopen(2, "w", closefd=False)
        code = _main(program, argv)
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _serve() -> None:
    import openstackclient.shell  # noqa: F401
    import zunclient.osc.plugin
    import zunclient.osc.v1.containers
    import zunclient.shell  # noqa: F401

    with tempfile.TemporaryDirectory() as folder:
        out, err = Path(folder) / "out", Path(folder) / "err"
        for line in sys.stdin:
            wanted = json.loads(line)
            pid = os.fork()
            if pid == 0:
                _child(wanted["program"], wanted["argv"], out, err)
            code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
            ended = {"code": code, "out": out.read_text(), "err": err.read_text()}
            sys.__stdout__.write(json.dumps(ended) + "\n")  # type: ignore[union-attr]
            sys.__stdout__.flush()  # type: ignore[union-attr]


if __name__ == "__main__":
    _serve()
