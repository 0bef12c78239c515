"""A driver's stream, talked to by blocking: for tests of the drivers themselves."""

from __future__ import annotations

import contextlib
import io
import socket
import tarfile
import time
from collections.abc import Callable, Iterator

from zun.drivers.bytestreams import STDERR, STDOUT, CanOpenArchive, Outcome, RawStream
from zun.drivers.deadline import Deadline
from zun.drivers.runtime import PathStat
from zun.model.session import Why

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


def tar_of(name: str, content: bytes) -> bytes:
    """An archive of one file."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        info = tarfile.TarInfo(name)
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))
    return buffer.getvalue()


def files_of(data: bytes) -> dict[str, bytes]:
    """The files of an archive, by name."""
    with tarfile.open(fileobj=io.BytesIO(data)) as tar:
        return {m.name: f.read() for m in tar if (f := tar.extractfile(m)) is not None}


def put_files(runtime: CanOpenArchive, uuid: str, path: str, data: bytes) -> None:
    """Unpacks an archive in a container. Raises `drivers.errors`."""
    with talking(runtime.open_put(uuid, path, Deadline(PATIENCE))) as put:
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # refused on its way
            for at in range(0, len(data), 50_000):
                put.send(data[at : at + 50_000])
            put.end_input()
        with contextlib.suppress(ConnectionResetError):
            put.whole()
        assert put.outcome().why is Why.EXITED


def get_files(runtime: CanOpenArchive, uuid: str, path: str) -> tuple[bytes, PathStat]:
    """The archive of a path, and what the path is. Raises `drivers.errors`."""
    with talking(runtime.open_get(uuid, path, Deadline(PATIENCE))) as get:
        whole = get.whole()
        assert get.outcome().why is Why.EXITED
        assert get.stream.stat is not None
        return whole, get.stream.stat
