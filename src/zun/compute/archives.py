"""Archives as answers to questions over the message bus: how zun-api of 0.1 asks for them.

Releases may stand beside each other during an upgrade, in any order. From 0.3 on nobody asks: then this goes.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping
from dataclasses import asdict
from typing import Any

from zun.drivers import errors
from zun.drivers.bytestreams import CanOpenArchive, RawStream
from zun.drivers.deadline import Deadline
from zun.work.context import Means

_PIECE = 64 * 1024


def get_archive(
    means: Means, arguments: Mapping[str, Any], deadline: Deadline
) -> Mapping[str, Any]:
    """`data` of at most `limit` bytes, and what the path is. Raises DriverError."""
    stream = opening(means).open_get(arguments["uuid"], arguments["path"], deadline)
    with _talking(stream):
        kept, limit = bytearray(), arguments["limit"]
        for piece in _rest(stream, deadline):
            kept += piece
            if len(kept) > limit:
                raise errors.Rejected(f"the archive has more than {limit} bytes")
        stream.outcome(deadline)
    assert stream.stat is not None
    return {"data": bytes(kept), **asdict(stream.stat)}


def put_archive(means: Means, arguments: Mapping[str, Any], deadline: Deadline) -> None:
    """Unpacks `data`. Raises DriverError."""
    stream = opening(means).open_put(arguments["uuid"], arguments["path"], deadline)
    with _talking(stream):
        stream.sock.settimeout(deadline.left())
        with contextlib.suppress(BrokenPipeError, ConnectionResetError):  # its answer says why
            stream.sock.sendall(stream.encode(arguments["data"]) + stream.input_end)
            if stream.half_close:
                stream.sock.shutdown(1)
        for _ in _rest(stream, deadline):
            pass
        stream.outcome(deadline)


def opening(means: Means) -> CanOpenArchive:
    """What opens archives on this host. Raises Unsupported."""
    runtime = means.runtime
    if not isinstance(runtime, CanOpenArchive):
        raise errors.Unsupported("Containers of this host can't give or take files.")
    return runtime


@contextlib.contextmanager
def _talking(stream: RawStream) -> Iterator[None]:
    try:
        yield
    except TimeoutError as exc:
        raise errors.TimedOut("the container engine did not answer in time") from exc
    except OSError as exc:
        raise errors.Unavailable("the container engine broke off") from exc
    finally:
        stream.sock.close()


def _rest(stream: RawStream, deadline: Deadline) -> Iterator[bytes]:
    pieces = stream.begun
    while True:
        yield from (piece for _, piece in pieces)
        stream.sock.settimeout(deadline.left())
        data = stream.sock.recv(_PIECE)
        if not data:
            return
        pieces = stream.decode(data)
