"""HTTP to the engine over a socket of one's own, for answers that are streams.

General clients read such answers through layers of buffers, or lose what comes together with the head when the
connection becomes a raw one. Here the head is read, and what follows it is kept.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

from zun.drivers import errors
from zun.drivers.bytestreams import STDOUT, Pieces
from zun.drivers.deadline import Deadline
from zun.drivers.docker.client import Engine, sorted_error

_HEAD_LIMIT = 64 * 1024
_REFUSAL_LIMIT = 4096
_PIECE = 64 * 1024

UPGRADE: Mapping[str, str] = {"Connection": "Upgrade", "Upgrade": "tcp"}
CLOSING: Mapping[str, str] = {"Connection": "close"}


@dataclass(frozen=True, slots=True)
class Answer:
    """The head of an answer, the socket it came over, and what came with it."""

    sock: socket.socket
    status: int
    headers: Mapping[str, str]
    rest: bytes


def ask(
    engine: Engine,
    what: str,
    method: str,
    path: str,
    deadline: Deadline,
    *,
    query: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] = CLOSING,
    body: Any = None,
    http10: bool = False,
) -> Answer:
    """Sends a request and reads the head of its answer; the socket, not blocking, is the caller's to close.

    `what` completes "cannot ..." for users. Raises driver errors: the engine's refusal, sorted; Unavailable; TimedOut.
    """
    sock = begin(
        engine, what, method, path, deadline,
        query=query, headers=headers, body=body, http10=http10,
    )  # fmt: skip
    with _sorting(what, sock):
        status, found, rest = _head(sock, deadline)
        if status >= 400:
            raise sorted_error(what, status, _explanation(sock, rest, deadline))
        sock.setblocking(False)
        return Answer(sock, status, found, rest)


def begin(
    engine: Engine,
    what: str,
    method: str,
    path: str,
    deadline: Deadline,
    *,
    query: Mapping[str, Any] | None = None,
    headers: Mapping[str, str] = CLOSING,
    body: Any = None,
    http10: bool = False,
) -> socket.socket:
    """Sends a request whose answer the caller reads. Raises as `ask`."""
    with engine.call(what, deadline) as client:
        target = f"/v{client.api_version}{path}"
    if query:
        target += f"?{urlencode(query)}"
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    with _sorting(what, sock):
        sock.settimeout(deadline.left())
        sock.connect(engine.socket_path)
        sock.sendall(_request(method, target, headers, body, http10))
        sock.setblocking(False)
    return sock


@contextlib.contextmanager
def _sorting(what: str, sock: socket.socket) -> Iterator[None]:
    """Whatever goes wrong in the block comes out as a driver's error, and the socket is closed."""
    try:
        yield
    except TimeoutError as exc:
        sock.close()
        raise errors.TimedOut(
            f"cannot {what}: the container engine did not answer in time"
        ) from exc
    except (OSError, http.client.HTTPException) as exc:
        sock.close()
        raise errors.Unavailable(f"cannot {what}: the container engine does not answer") from exc
    except BaseException:
        sock.close()
        raise


def _request(
    method: str, target: str, headers: Mapping[str, str], body: Any, http10: bool
) -> bytes:
    data = b"" if body is None else json.dumps(body).encode()
    fields = {"Host": "localhost", **headers}
    if "Transfer-Encoding" not in fields:
        fields["Content-Length"] = str(len(data))
    if body is not None:
        fields["Content-Type"] = "application/json"
    lines = [f"{method} {target} HTTP/{'1.0' if http10 else '1.1'}"]
    lines += [f"{name}: {value}" for name, value in fields.items()]
    return "\r\n".join([*lines, "", ""]).encode("ascii") + data


def _head(sock: socket.socket, deadline: Deadline) -> tuple[int, Mapping[str, str], bytes]:
    got = b""
    while b"\r\n\r\n" not in got:
        sock.settimeout(deadline.left())
        piece = sock.recv(_PIECE)
        got += piece
        if not piece or len(got) > _HEAD_LIMIT:
            raise http.client.HTTPException("no head of an answer")
    head, _, rest = got.partition(b"\r\n\r\n")
    first, _, fields = head.partition(b"\r\n")
    words = first.split(None, 2)
    if len(words) < 2 or not words[1].isdigit():
        raise http.client.HTTPException("no status line")
    message = http.client.parse_headers(io.BytesIO(fields + b"\r\n\r\n"))
    return int(words[1]), {name.lower(): value for name, value in message.items()}, rest


def _explanation(sock: socket.socket, rest: bytes, deadline: Deadline) -> str:
    # Asked to close, or as good as: the end of a refusal is the end of the connection, or of its JSON.
    while len(rest) < _REFUSAL_LIMIT and not rest.rstrip().endswith(b"}"):
        sock.settimeout(deadline.left())
        piece = sock.recv(_PIECE)
        if not piece:
            break
        rest += piece
    return explanation_in(rest)


def explanation_in(body: bytes) -> str:
    """The engine's words in the body of a refusal, which may be in chunks."""
    begin, end = body.find(b"{"), body.rfind(b"}")
    try:
        return str(json.loads(body[begin : end + 1])["message"])
    except (ValueError, KeyError, TypeError):
        return body.decode("utf-8", "replace").strip()[:500]


class Chunked:
    """Takes an answer in chunks apart. `whole`: the last one has come."""

    def __init__(self) -> None:
        self._rest = b""
        self._left = 0  # bytes of the chunk, and the line end behind it, that are still to come
        self.whole = False

    def decode(self, data: bytes) -> Pieces:
        """See `RawStream.decode`."""
        data, self._rest = self._rest + data, b""
        found: list[bytes] = []
        at, end = 0, len(data)
        while at < end and not self.whole:
            if self._left > 2:
                piece = data[at : at + self._left - 2]
                found.append(piece)
                at += len(piece)
                self._left -= len(piece)
            elif self._left:
                skipped = min(self._left, end - at)
                at += skipped
                self._left -= skipped
            else:
                line = data.find(b"\r\n", at)
                if line < 0:
                    self._rest = data[at:]
                    if len(self._rest) > 64:
                        raise errors.Unavailable("the container engine sends what is no chunk")
                    break
                self._begin(data[at:line])
                at = line + 2
        return [(STDOUT, b"".join(found))] if found else ()

    def _begin(self, line: bytes) -> None:
        try:
            size = int(line.partition(b";")[0], 16)
        except ValueError:
            raise errors.Unavailable("the container engine sends what is no chunk") from None
        self._left = size + 2
        self.whole = size == 0


class Measured:
    """Takes an answer whose length its head tells. `whole`: that much has come."""

    def __init__(self, length: int) -> None:
        self._left = length

    @property
    def whole(self) -> bool:
        return not self._left

    def decode(self, data: bytes) -> Pieces:
        """See `RawStream.decode`."""
        piece = data[: self._left]
        self._left -= len(piece)
        return [(STDOUT, piece)] if piece else ()


def body_of(answer: Answer) -> Chunked | Measured:
    """What takes the body of an answer apart, by its head: the engine measures a short one before it sends it."""
    length = answer.headers.get("content-length", "")
    return Measured(int(length)) if length.isdigit() else Chunked()


def chunk(data: bytes) -> bytes:
    """One chunk of a request's body."""
    return b"%x\r\n%b\r\n" % (len(data), data) if data else b""


LAST_CHUNK = b"0\r\n\r\n"
