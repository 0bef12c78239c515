"""The unmodified official clients, one process that forks for each command: importing them takes seconds.

Run as a program it is that process: a JSON object {"program", "argv"} a line on stdin, and one {"code", "out", "err"}
on stdout. With "tty", a terminal's path, the command gets that as its own, and is answered by {"pid"} at once;
{"ended": pid} is answered with its code, or null while it runs.
"""

from __future__ import annotations

import contextlib
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
        return Ended(**self._ask({"program": program, "argv": argv}))

    def start(self, tty: str, program: str, *argv: str) -> int:
        """Starts one on a terminal of its own; the process id."""
        return int(self._ask({"program": program, "argv": argv, "tty": tty})["pid"])

    def ended(self, pid: int) -> int | None:
        """The exit code of one that was started; negative: the signal; None while it runs."""
        code: int | None = self._ask({"ended": pid})["code"]
        return code

    def _ask(self, wanted: Mapping[str, Any]) -> dict[str, Any]:
        assert self._process.stdin is not None and self._process.stdout is not None
        self._process.stdin.write(json.dumps(wanted) + "\n")
        self._process.stdin.flush()
        answer: dict[str, Any] = json.loads(self._process.stdout.readline())
        return answer

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


def _on_terminal(program: str, argv: list[str], path: str) -> None:
    code = 1
    try:
        os.setsid()
        terminal = os.open(path, os.O_RDWR)  # of a session's leader it is the terminal from now on
        for number in (0, 1, 2):
            os.dup2(terminal, number)
        for name, number, mode in (("stdin", 0, "r"), ("stdout", 1, "w"), ("stderr", 2, "w")):
            setattr(sys, name, os.fdopen(number, mode, closefd=False))
        code = _main(program, argv)
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
    except BaseException as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(OSError):
                stream.flush()
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
            if "ended" in wanted:
                pid, status = os.waitpid(wanted["ended"], os.WNOHANG)
                answer = {"code": os.waitstatus_to_exitcode(status) if pid else None}
            elif pid := os.fork():
                answer = {"pid": pid}
                if "tty" not in wanted:
                    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
                    answer = {"code": code, "out": out.read_text(), "err": err.read_text()}
            elif "tty" in wanted:
                _on_terminal(wanted["program"], wanted["argv"], wanted["tty"])
            else:
                _child(wanted["program"], wanted["argv"], out, err)
            sys.__stdout__.write(json.dumps(answer) + "\n")  # type: ignore[union-attr]
            sys.__stdout__.flush()  # type: ignore[union-attr]


if __name__ == "__main__":
    _serve()
