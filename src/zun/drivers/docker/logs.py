"""The log of a container in one piece."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Iterator

from zun.drivers.bytestreams import HEADER
from zun.drivers.deadline import Deadline
from zun.drivers.docker.client import Engine, Stream
from zun.drivers.runtime import LogRequest

PIECE = 64 * 1024
MULTIPLEXED = "application/vnd.docker.multiplexed-stream"
RAW = "application/vnd.docker.raw-stream"


def frames(stream: Stream, deadline: Deadline) -> Iterator[bytes]:
    """The pieces of a multiplexed stream, each at most PIECE bytes. Raises TimedOut at the deadline."""
    while True:
        stream.timeout(deadline.left())
        header = stream.read(HEADER.size)
        if len(header) < HEADER.size:
            return
        left = HEADER.unpack(header)[1]
        while left:
            data = stream.read(min(left, PIECE))
            if not data:
                return
            left -= len(data)
            yield data


class Tail:
    """Keeps the last `limit` bytes of what is put into it."""

    def __init__(self, limit: int) -> None:
        self._limit, self._size = limit, 0
        self._pieces: deque[bytes] = deque()

    def put(self, piece: bytes) -> None:
        self._pieces.append(piece)
        self._size += len(piece)
        while self._pieces and self._size - len(self._pieces[0]) >= self._limit:
            self._size -= len(self._pieces.popleft())

    def value(self) -> bytes:
        return b"".join(self._pieces)[-self._limit :] if self._limit > 0 else b""


def log_params(request: LogRequest) -> dict[str, int | str]:
    """The part of a log that is wanted, in the engine's words."""
    return {
        "stdout": int(request.stdout),
        "stderr": int(request.stderr),
        "timestamps": int(request.timestamps),
        "tail": "all" if request.tail is None else str(request.tail),
        "since": "0" if request.since is None else f"{request.since:.9f}",
    }


def read_log(
    engine: Engine, name: str, request: LogRequest, limit: int, deadline: Deadline
) -> bytes:
    """See `CanLog`."""
    params = log_params(request)
    tail = Tail(limit)
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(engine.call("read the container's log", deadline))
        stream = stack.enter_context(client.open("GET", f"/containers/{name}/logs", params=params))
        plain = stream.content_type == RAW
        if stream.content_type not in (RAW, MULTIPLEXED):
            # Engines before API 1.42 do not say which of the two it is.
            plain = client.inspect_container(name)["Config"]["Tty"]
        for piece in stream.chunks() if plain else frames(stream, deadline):
            deadline.left()
            tail.put(piece)
    return tail.value()
