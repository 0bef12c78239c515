"""The image: in the hands of the host before anything is made of it."""

from __future__ import annotations

from dataclasses import replace

from zun.drivers.errors import NotFound, Rejected, Unsupported
from zun.drivers.image import Credentials, Image, ImageSource, PullPolicy, Reference
from zun.model.image import committed, is_committed
from zun.store import images
from zun.work.context import Recording, StepContext


def ensure(ctx: StepContext) -> Recording:
    """Fetches the image as the pull policy says; its digest and its own command go to the row."""
    container = ctx.container
    source = ctx.env.on_host().images.get(container.image_driver)
    if source is None:
        raise Unsupported(f"This host has no image driver {container.image_driver!r}.")
    policy = PullPolicy(container.image_pull_policy or ctx.env.settings.default_pull_policy)
    reference = source.resolve(container.image)
    if is_committed(reference.domain, reference.path):
        raise Rejected(
            "This place is kept for images made of containers; name yours as you named it."
        )
    image = None if policy is PullPolicy.ALWAYS else _own(ctx, source, reference)
    if image is None:
        image = source.ensure(reference, policy, _credentials(ctx), ctx.progress, ctx.deadline)
    return Recording(
        outputs={"ref": image.runtime_ref},
        container={
            "image_digest": image.digest,
            "image_command": image.command,
            "image_entrypoint": image.entrypoint,
        },
    )


def _own(ctx: StepContext, source: ImageSource, reference: Reference) -> Image | None:
    """The image of this name that a container of the same project became on this host, if there is one (13.2-8)."""
    if reference.digest is not None:
        return None
    repo = committed(ctx.container.project_id, reference.domain, reference.path)
    with ctx.env.db.read() as conn:
        if images.find(conn, repo, reference.tag, ctx.env.on_host().host) is None:
            return None
    own = replace(reference, domain="", path=repo)
    try:
        return source.ensure(own, PullPolicy.NEVER, None, ctx.progress, ctx.deadline)
    except NotFound:
        return None


def _credentials(ctx: StepContext) -> Credentials | None:
    # Filled in by whoever holds the registries' secrets; the journal never does.
    del ctx
    return None
