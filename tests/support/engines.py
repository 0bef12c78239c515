"""A stand-in for a Docker engine on a unix socket: just enough HTTP to be of some version, or to misbehave."""

from __future__ import annotations

import json
import re
import socketserver
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any


class _Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    block_on_close = False
    owner: StandIn


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server
    body: bytes  # of the request

    def address_string(self) -> str:
        return "unix"

    def log_message(self, *_: Any) -> None:
        """Nothing: a test looks at `seen`."""

    def do_GET(self) -> None:
        self.server.owner.answer(self)

    do_POST = do_GET  # noqa: N815 - the names are http.server's
    do_DELETE = do_GET  # noqa: N815

    def reply(self, status: int, body: Any) -> None:
        """One whole JSON answer."""
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Api-Version", self.server.owner.newest)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def begin(self) -> None:
        """The head of an answer in chunks."""
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()

    def chunk(self, body: Any) -> None:
        """One chunk of it."""
        data = json.dumps(body).encode() + b"\n"
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
        self.wfile.flush()


Handler = _Handler


class StandIn:
    """An engine that speaks the API versions `oldest` to `newest`, both changeable while it runs.

    special: path without version -> what answers it; all else is an empty list.
    """

    def __init__(self, path: Path, oldest: str = "1.24", newest: str = "1.41") -> None:
        self.oldest, self.newest = oldest, newest
        self.url = f"unix://{path}"
        self.seen: list[tuple[str, str]] = []  # version, path
        self.special: dict[str, Callable[[_Handler], None]] = {}
        self._path = path
        self._server: _Server | None = None
        self.start()

    def start(self) -> None:
        self._server = _Server(str(self._path), _Handler)
        self._server.owner = self
        threading.Thread(target=self._server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()
            self._path.unlink()
            self._server = None

    def answer(self, handler: _Handler) -> None:
        handler.body = handler.rfile.read(int(handler.headers.get("Content-Length") or 0))
        match = re.match(r"(?:/v([0-9.]+))?(/[^?]*)", handler.path)
        assert match
        version, path = match[1] or "", match[2]
        self.seen.append((version, path))
        if path == "/version":
            handler.reply(
                200, {"ApiVersion": self.newest, "MinAPIVersion": self.oldest, "Version": "x"}
            )
        elif version and not _number(self.oldest) <= _number(version) <= _number(self.newest):
            handler.reply(400, {"message": f"client version {version} is not supported"})
        elif path in self.special:
            self.special[path](handler)
        else:
            handler.reply(200, [])


def _number(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in version.split("."))
