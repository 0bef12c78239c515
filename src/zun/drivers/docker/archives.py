"""What an engine says of files in a container."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping

from zun.drivers import errors
from zun.drivers.deadline import Deadline
from zun.drivers.docker.client import Engine
from zun.drivers.runtime import PathStat

_STAT = "x-docker-container-path-stat"


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
