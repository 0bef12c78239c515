"""Files that a user wants to find in the container (contract 2.2, `mounts` of type `bind`)."""

from __future__ import annotations

import base64

from zun.drivers.volume import VolumeRequest
from zun.work.context import Recording, StepContext


def inject(ctx: StepContext) -> Recording:
    """Writes the files on the host; the row keeps where they go, never what is in them."""
    volumes = ctx.env.on_host().volumes
    mounts = [
        volumes.ensure(
            VolumeRequest(
                container_uuid=ctx.container.uuid,
                index=index,
                destination=mount["destination"],
                content=base64.b64decode(mount["source"]),
            ),
            ctx.deadline,
        )
        for index, mount in enumerate(ctx.operation.params["mounts"])
    ]
    return Recording(container={"mounts": mounts})


def remove(ctx: StepContext) -> None:
    """Removes the container's files from the host."""
    ctx.env.on_host().volumes.release(ctx.container.uuid, ctx.deadline)


def release(ctx: StepContext) -> Recording:
    """The same, as a step of a delete."""
    remove(ctx)
    return Recording(container={"mounts": None})
