"""An image made of a container."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy.engine import Connection

from zun.drivers.errors import Unsupported
from zun.drivers.runtime import CanCommit
from zun.store import images
from zun.work import kinds
from zun.work.context import Recording, StepContext


def commit(ctx: StepContext) -> Recording:
    """Makes the image, in its project's own place on this host. Twice is a second image under the same name."""
    runtime, params = ctx.env.on_host().runtime, ctx.operation.params
    if not isinstance(runtime, CanCommit):
        raise Unsupported("The runtime of this host can't make images of containers.")
    made = runtime.commit(ctx.container.uuid, params["repo"], params["tag"], ctx.deadline)
    return Recording(outputs={"image_id": made.image_id, "size": made.size})


def record(conn: Connection, ctx: StepContext) -> Recording:
    """Writes down what the image is."""
    made = ctx.output(kinds.RUNTIME_COMMIT)
    images.update(
        conn, ctx.operation.params["image"], ctx.env.clock(),
        image_id=made["image_id"], size=made["size"],
    )  # fmt: skip
    return Recording()


def forget(conn: Connection, ctx: StepContext) -> Mapping[str, Any]:
    """The row of an image that did not come about goes; one that was there before this commit stays."""
    image = images.get(conn, ctx.operation.params["image"])
    if image is not None and image.image_id is None:
        images.delete(conn, image.uuid)
    return {}
