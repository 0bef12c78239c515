"""An image made of a container, and sent to a registry where its name says so (decisions 0007 and 0012)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from sqlalchemy.engine import Connection

from zun.drivers.errors import Rejected, Unavailable, Unsupported
from zun.drivers.image import CanPush, Reference
from zun.drivers.runtime import CanCommit
from zun.model.image import HostImage
from zun.store import images, registries
from zun.work import kinds
from zun.work.context import Recording, StepContext
from zun.work.steps.access import credentials
from zun.work.steps.images import source_of


def commit(ctx: StepContext) -> Recording:
    """Makes the image, in its project's own place on this host. Twice is a second image under the same name.

    Of one that will be sent to a registry, `former` is what its name there means on this host before.
    """
    runtime, params = ctx.env.on_host().runtime, ctx.operation.params
    if not isinstance(runtime, CanCommit):
        raise Unsupported("The runtime of this host can't make images of containers.")
    former = None
    if params.get("push"):
        source, reference = _pusher(ctx)
        former = source.meant(reference, ctx.deadline)
    made = runtime.commit(ctx.container.uuid, params["repo"], params["tag"], ctx.deadline)
    return Recording(outputs={"image_id": made.image_id, "size": made.size, "former": former})


def remove(ctx: StepContext) -> None:
    """The image goes from the host, unless one of its name was there before: that can't be had back."""
    if _known(ctx) is None:
        source_of(ctx).remove(_source(ctx), ctx.deadline)


def forget(conn: Connection, ctx: StepContext) -> Mapping[str, Any]:
    """The row of an image that did not come about goes; one that was there before shows what its name is now."""
    image, made = images.get(conn, ctx.operation.params["image"]), ctx.output(kinds.RUNTIME_COMMIT)
    if image is not None and image.image_id is None:
        images.delete(conn, image.uuid)
    elif image is not None and made:
        images.update(
            conn, image.uuid, ctx.env.clock(),
            image_id=made["image_id"], size=made["size"], digest=None,
        )  # fmt: skip
    return {}


def push(ctx: StepContext) -> Recording:
    """Sends the image to its registry; the name it had on the host for this means what it meant before."""
    source, reference = _pusher(ctx)
    # Of two that send an image by one name from one host, the second would send the first's.
    with_name = ctx.env.on_host().locks.of(f"push {reference}")
    if not with_name.acquire(blocking=False):
        raise Unavailable(f"Another image is just being sent as {reference}.")
    try:
        registry = None
        if (uuid := ctx.operation.params.get("registry")) is not None:
            with ctx.env.db.read() as conn:
                registry = registries.get(conn, uuid)
            if registry is None:
                raise Rejected(f"The registry {uuid} is gone.")
        who = credentials(ctx, registry) if registry else None
        digest = source.push(_source(ctx), reference, who, ctx.progress, ctx.deadline)
        withdraw(ctx)
    finally:
        with_name.release()
    return Recording(outputs={"digest": digest})


def withdraw(ctx: StepContext) -> None:
    """The name of the registry's means on this host what it meant before."""
    source, reference = _pusher(ctx)
    former = ctx.output(kinds.RUNTIME_COMMIT).get("former")
    source.withdraw(_source(ctx), reference, former, ctx.deadline)


def record(conn: Connection, ctx: StepContext) -> Recording:
    """Writes down what the image is. Rejected: its row was deleted meanwhile."""
    made, pushed = ctx.output(kinds.RUNTIME_COMMIT), ctx.output(kinds.IMAGE_PUSH)
    there = images.update(
        conn, ctx.operation.params["image"], ctx.env.clock(),
        image_id=made["image_id"], size=made["size"],
        digest=pushed.get("digest"), registry=_domain(ctx),
    )  # fmt: skip
    if not there:
        raise Rejected("The image was deleted before it was made.")
    return Recording()


def _known(ctx: StepContext) -> HostImage | None:
    """The image that had the name before this commit."""
    with ctx.env.db.read() as conn:
        image = images.get(conn, ctx.operation.params["image"])
    return image if image is not None and image.image_id is not None else None


def _source(ctx: StepContext) -> str:
    return f"{ctx.operation.params['repo']}:{ctx.operation.params['tag']}"


def _domain(ctx: StepContext) -> str | None:
    name: str | None = ctx.operation.params.get("push")
    return name.partition("/")[0] if name else None


def _pusher(ctx: StepContext) -> tuple[CanPush, Reference]:
    source = source_of(ctx)
    if not isinstance(source, CanPush):
        raise Unsupported("This host can't send images to registries.")
    return source, source.resolve(ctx.operation.params["push"])
