"""The steps of an image's own operations."""

from __future__ import annotations

from zun.drivers.errors import Unsupported
from zun.drivers.image import ImageSource, PullPolicy
from zun.work.context import Recording, StepContext

#: The image source that serves the images collection.
SOURCE = "docker"


def pull(ctx: StepContext) -> Recording:
    """Has the host hold the image; what it is goes to the row."""
    source = source_of(ctx)
    image = source.ensure(
        source.resolve(ctx.image.reference),
        PullPolicy(ctx.operation.params.get("policy", PullPolicy.ALWAYS)),
        None,
        ctx.progress,
        ctx.deadline,
    )
    return Recording(
        container={"image_id": image.runtime_ref, "size": image.size, "digest": image.digest}
    )


def remove(ctx: StepContext) -> Recording:
    """Removes the host's copy. Conflict: a container uses it."""
    source_of(ctx).remove(ctx.image.reference, ctx.deadline)
    return Recording()


def source_of(ctx: StepContext) -> ImageSource:
    """The image source of this host that serves the collection. Raises Unsupported."""
    source = ctx.env.on_host().images.get(SOURCE)
    if source is None:
        raise Unsupported(f"This host has no image driver {SOURCE!r}.")
    return source
