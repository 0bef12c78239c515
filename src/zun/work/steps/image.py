"""The image: in the hands of the host before anything is made of it."""

from __future__ import annotations

from zun.drivers.errors import Unsupported
from zun.drivers.image import Credentials, PullPolicy
from zun.work.context import Recording, StepContext


def ensure(ctx: StepContext) -> Recording:
    """Fetches the image as the pull policy says; its digest and its own command go to the row."""
    container = ctx.container
    source = ctx.env.on_host().images.get(container.image_driver)
    if source is None:
        raise Unsupported(f"This host has no image driver {container.image_driver!r}.")
    policy = container.image_pull_policy or ctx.env.settings.default_pull_policy
    image = source.ensure(
        source.resolve(container.image),
        PullPolicy(policy),
        _credentials(ctx),
        ctx.progress,
        ctx.deadline,
    )
    return Recording(
        outputs={"ref": image.runtime_ref},
        container={
            "image_digest": image.digest,
            "image_command": image.command,
            "image_entrypoint": image.entrypoint,
        },
    )


def _credentials(ctx: StepContext) -> Credentials | None:
    # Filled in by whoever holds the registries' secrets; the journal never does.
    del ctx
    return None
