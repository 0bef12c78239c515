"""What is done to a container that exists: other limits, and an image made of it."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any

from zun.drivers import errors
from zun.drivers.deadline import Deadline
from zun.drivers.docker.client import Engine, Stream, answered
from zun.drivers.docker.plan import cpu_limit, memory_limit
from zun.drivers.runtime import Committed, Limits
from zun.model import names

#: Of an image made of one of our containers, the marks by which the container is known: emptied, for an engine lets
#: nobody take a label away.
_BLANK = (
    names.LABEL_UUID, names.LABEL_PROJECT, names.LABEL_GENERATION, names.LABEL_HOST, names.LABEL_MOVABLE,
)  # fmt: skip


def update(engine: Engine, name: str, limits: Limits, deadline: Deadline) -> None:
    """See `CanUpdate`. The engine takes its own change back when the kernel refuses it."""
    body = cpu_limit(limits.cpu, limits.cpu_shares) | memory_limit(limits.memory)
    try:
        with (
            engine.call("change the container's limits", deadline) as client,
            client.open("POST", f"/containers/{name}/update", json=body) as answer,
        ):
            _read(answer)
    except errors.Unavailable as e:
        if not answered(e):
            raise
        # The kernel said no, to more than it has or to less than is in use; the engine calls it a trouble of its own.
        raise errors.Rejected(e.public) from e


def relist(engine: Engine, name: str, deadline: Deadline) -> None:
    """See `Runtime.relist`. A change of nothing is written down, and what is written down is listed."""
    with (
        contextlib.suppress(errors.NotFound),
        engine.call("have the container listed", deadline) as client,
        client.open("POST", f"/containers/{name}/update", json={}) as answer,
    ):
        _read(answer)


def commit(engine: Engine, name: str, repository: str, tag: str, deadline: Deadline) -> Committed:
    """See `CanCommit`. The image that had the name before goes, unless something uses it."""
    reference = f"{repository}:{tag}"
    before = _image(engine, reference, deadline)
    with engine.call("make an image of the container", deadline, most=deadline.left()) as client:
        labels = [f'LABEL {key}=""' for key in _BLANK]
        labels.append(f'LABEL {names.LABEL_COMMITTED}="yes"')
        client.commit(name, repository=repository, tag=tag, changes=labels)
    made = _image(engine, reference, deadline)
    if made is None:
        raise errors.Unavailable("the image was removed as soon as it was made")
    if before is not None and before["Id"] != made["Id"]:
        with contextlib.suppress(errors.Conflict, errors.NotFound):
            _remove(engine, before["Id"], deadline)
    return Committed(image_id=made["Id"], size=int(made.get("Size") or 0))


def _image(engine: Engine, reference: str, deadline: Deadline) -> dict[str, Any] | None:
    try:
        with engine.call("look for the image", deadline) as client:
            inspect: Callable[[str], dict[str, Any]] = client.inspect_image
            return inspect(reference)
    except errors.NotFound:
        return None


def _remove(engine: Engine, image_id: str, deadline: Deadline) -> None:
    with engine.call("remove the older image", deadline) as client:
        client.remove_image(image_id)


def _read(answer: Stream) -> None:
    for _ in answer.chunks():
        pass
