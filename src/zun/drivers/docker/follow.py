"""A log as it is written.

The engine flushes each line of a log as a chunk of its own, and packs stdout and stderr into frames of a line each:
read by a general HTTP client that is a dozen calls a line. Asked in HTTP/1.0 it sends the same bytes without chunks,
so they can be read in large pieces and the frames taken off in one loop.
"""

from __future__ import annotations

import contextlib
import http.client
import socket
import struct
import time
from urllib.parse import quote, urlencode

from zun.drivers import errors
from zun.drivers.deadline import Deadline
from zun.drivers.docker.client import Engine, sorted_error
from zun.drivers.docker.io import HEADER, MULTIPLEXED, RAW, log_params
from zun.drivers.runtime import LogRequest

PIECE = 256 * 1024
_SETTLES = 3.0  # seconds in which the engine notes the end of a container after the end of its log
_PAUSE = 0.05
_LENGTH = struct.Struct(">L")
_WHAT = "follow the container's log"


class _Connection(http.client.HTTPConnection):
    _http_vsn = 10
    _http_vsn_str = "HTTP/1.0"

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(self.timeout)
            sock.connect(self._path)
        except BaseException:
            sock.close()
            raise
        self.sock = sock


class Frames:
    """Takes the frames' heads off, whatever pieces the bytes come in."""

    def __init__(self) -> None:
        self._rest = b""  # the beginning of a head
        self._left = 0  # bytes of the frame that are still to come

    def strip(self, data: bytes) -> bytes:
        """What of `data` is log."""
        if self._rest:
            data = self._rest + data
            self._rest = b""
        end, at = len(data), 0
        if self._left:
            at = min(self._left, end)
            self._left -= at
            if at == end:
                return data
        pieces = [data[:at]]
        unpack, head = _LENGTH.unpack_from, HEADER.size
        while end - at >= head:
            begin = at + head
            at = begin + unpack(data, at + 4)[0]
            pieces.append(data[begin:at])
        if at > end:
            self._left = at - end
        else:
            self._rest = data[at:]
        return b"".join(pieces)


class FollowedLog:
    """See `zun.drivers.runtime.LogStream`. Made by `follow`."""

    def __init__(
        self, engine: Engine, name: str, sock: socket.socket,
        response: http.client.HTTPResponse, frames: Frames | None,
    ) -> None:  # fmt: skip
        self._engine, self._name = engine, name
        self._socket, self._response, self._frames = sock, response, frames
        self._ended = False

    def read(self) -> bytes:
        while True:
            try:
                data = b"" if self._ended else self._response.read1(PIECE)
            except (OSError, ValueError, http.client.HTTPException):
                data = b""
            if not data:
                self._close()
                if not self._ended:
                    self._check_over()
                return b""
            piece = self._frames.strip(data) if self._frames else data
            if piece:
                return piece

    def end(self) -> None:
        self._ended = True
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)

    def _close(self) -> None:
        self._response.close()
        self._socket.close()

    def _check_over(self) -> None:
        """That the bytes end means that the container has, or that the engine went away: the first is looked for."""
        until = time.monotonic() + _SETTLES
        while True:
            try:
                with self._engine.call(_WHAT, Deadline(_SETTLES)) as client:
                    state = client.inspect_container(self._name)["State"]
            except errors.NotFound:
                return
            if not state.get("Running") or state.get("Restarting"):
                return
            if time.monotonic() > until:
                raise errors.Unavailable(
                    f"cannot {_WHAT} to its end: the container engine broke off"
                )
            time.sleep(_PAUSE)


def follow(engine: Engine, name: str, request: LogRequest, deadline: Deadline) -> FollowedLog:
    """See `zun.drivers.runtime.CanFollow`."""
    with engine.call(_WHAT, deadline) as client:
        version = client.api_version
        tty = bool(client.inspect_container(name)["Config"]["Tty"])
    query = urlencode({**log_params(request), "follow": 1})
    connection = _Connection(engine.socket_path, deadline.left())
    try:
        connection.request("GET", f"/v{version}/containers/{quote(name)}/logs?{query}")
        sock = connection.sock
        assert isinstance(sock, socket.socket)
        response = connection.getresponse()  # from here on the response owns the connection
    except TimeoutError as exc:
        connection.close()
        raise errors.TimedOut(
            f"cannot {_WHAT}: the container engine did not answer in time"
        ) from exc
    except (OSError, http.client.HTTPException) as exc:
        connection.close()
        raise errors.Unavailable(f"cannot {_WHAT}: the container engine does not answer") from exc
    if response.status != 200:
        with contextlib.closing(response):
            raise sorted_error(
                _WHAT, response.status, response.read(4096).decode("utf-8", "replace")
            )
    sock.settimeout(None)
    kind = response.headers.get("Content-Type", "")
    # Engines before API 1.42 do not say which of the two it is.
    plain = kind == RAW if kind in (RAW, MULTIPLEXED) else tty
    return FollowedLog(engine, name, sock, response, None if plain else Frames())
