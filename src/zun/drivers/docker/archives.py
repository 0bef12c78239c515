"""Files in and out of a container, as tar archives."""

from __future__ import annotations

import base64
import io
import json
import tarfile
from collections.abc import Mapping

from zun.drivers import errors
from zun.drivers.deadline import Deadline
from zun.drivers.docker.client import Engine, answered
from zun.drivers.runtime import PathStat

_STAT = "x-docker-container-path-stat"
#: Not compressed for the way over a local socket.
_PLAIN = {"Accept-Encoding": "identity"}


def get(
    engine: Engine, name: str, path: str, limit: int, deadline: Deadline
) -> tuple[bytes, PathStat]:
    """See `CanArchive`."""
    kept = bytearray()
    try:
        with (
            engine.call("read the container's files", deadline) as client,
            client.open(
                "GET", f"/containers/{name}/archive", params={"path": path}, headers=_PLAIN
            ) as stream,
        ):
            stat = stat_of({_STAT: stream.header(_STAT)})
            for piece in stream.chunks():
                deadline.left()
                kept += piece
                if len(kept) > limit:
                    raise errors.Rejected(f"the archive has more than {limit} bytes")
    except errors.NotFound as e:
        raise nowhere(engine, name, path, deadline) from e
    return bytes(kept), stat


def put(engine: Engine, name: str, path: str, data: bytes, deadline: Deadline) -> None:
    """See `CanArchive`."""
    _check(data)
    try:
        with (
            engine.call("write the container's files", deadline, most=deadline.left()) as client,
            client.open(
                "PUT", f"/containers/{name}/archive", params={"path": path}, data=data
            ) as stream,
        ):
            for _ in stream.chunks():
                deadline.left()
    except errors.NotFound as e:
        raise nowhere(engine, name, path, deadline) from e
    except errors.Unavailable as e:
        if not answered(e):
            raise
        # It failed at the archive or at the place: the user's doing, which the engine calls a trouble of its own.
        raise errors.Rejected(e.public) from e


def _check(data: bytes) -> None:
    try:
        with tarfile.open(fileobj=io.BytesIO(data)) as archive:
            archive.next()
    except (tarfile.TarError, OSError, EOFError, ValueError) as e:
        raise errors.Rejected("the data is no tar archive") from e


def nowhere(engine: Engine, name: str, path: str, deadline: Deadline) -> errors.DriverError:
    """What a 404 means: the container is gone, or only the path is not in it."""
    try:
        with engine.call("look at the container", deadline) as client:
            client.inspect_container(name)
    except errors.NotFound as e:
        return e
    return errors.Rejected(f"the container has no file or directory {path[:200]!r}")


def stat_of(headers: Mapping[str, str]) -> PathStat:
    """What the headers of an answer (names in lower case) say of the path."""
    raw = json.loads(base64.b64decode(headers[_STAT]))
    return PathStat(
        name=raw["name"],
        size=raw["size"],
        mode=raw["mode"],
        mtime=raw["mtime"],
        link_target=raw.get("linkTarget") or "",
    )
