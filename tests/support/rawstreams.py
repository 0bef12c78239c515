"""A driver's stream, talked to by blocking: for tests of the drivers themselves."""

from __future__ import annotations

import contextlib
import socket
import time
from collections.abc import Callable, Iterator

from zun.drivers.bytestreams import STDERR, STDOUT, Outcome, RawStream
from zun.drivers.deadline import Deadline

PATIENCE = 60.0


class Talk:
    """One stream; `out` and `err` are what came so far."""

    def __init__(self, stream: RawStream) -> None:
        self.stream = stream
        self.out, self.err = bytearray(), bytearray()
        self._take(list(stream.begun))
        stream.sock.setblocking(True)
        stream.sock.settimeout(PATIENCE)

    def _take(self, pieces: list[tuple[int, bytes]]) -> None:
        for kind, data in pieces:
            assert kind in (STDOUT, STDERR)
            (self.err if kind == STDERR else self.out).extend(data)

    def send(self, data: bytes) -> None:
        self.stream.sock.sendall(self.stream.encode(data))

    def end_input(self) -> None:
        if self.stream.input_end:
            self.stream.sock.sendall(self.stream.input_end)
        if self.stream.half_close:
            self.stream.sock.shutdown(socket.SHUT_WR)

    def read(self) -> bool:
        """Takes what comes next; whether the stream goes on."""
        data = self.stream.sock.recv(65536)
        self._take(list(self.stream.decode(data)) if data else [])
        return bool(data)

    def until(self, so: Callable[[], bool]) -> None:
        end = time.monotonic() + PATIENCE
        while not so():
            assert time.monotonic() < end and self.read(), (
                f"ended before: {self.out!r} {self.err!r}"
            )

    def whole(self) -> bytes:
        """All of stdout, to the end of the stream."""
        while self.read():
            pass
        return bytes(self.out)

    def outcome(self, seconds: float = PATIENCE) -> Outcome:
        return self.stream.outcome(Deadline(seconds))

    def close(self) -> None:
        self.stream.sock.close()


@contextlib.contextmanager
def talking(stream: RawStream) -> Iterator[Talk]:
    talk = Talk(stream)
    try:
        yield talk
    finally:
        talk.close()
