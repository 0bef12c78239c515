"""The image: in the hands of the host before anything is made of it."""

from __future__ import annotations

from dataclasses import replace

from zun.drivers.errors import NotFound, Rejected, Unsupported
from zun.drivers.image import Credentials, Image, ImageSource, PullPolicy, Reference
from zun.drivers.references import HUB, with_domain
from zun.model.image import committed, is_committed
from zun.store import images, registries
from zun.work.context import Recording, StepContext
from zun.work.steps.access import credentials


def ensure(ctx: StepContext) -> Recording:
    """Fetches the image as the pull policy says; its digest and its own command go to the row."""
    container = ctx.container
    source = ctx.env.on_host().images.get(container.image_driver)
    if source is None:
        raise Unsupported(f"This host has no image driver {container.image_driver!r}.")
    policy = PullPolicy(container.image_pull_policy or ctx.env.settings.default_pull_policy)
    reference, who = _what_and_who(ctx, source)
    if is_committed(reference.domain, reference.path):
        raise Rejected(
            "This place is kept for images made of containers; name yours as you named it."
        )
    image = None if policy is PullPolicy.ALWAYS else _own(ctx, source, reference)
    if image is None:
        image = source.ensure(reference, policy, who, ctx.progress, ctx.deadline)
    _remember(ctx)
    return Recording(
        outputs={"ref": image.runtime_ref},
        container={
            "image_digest": image.digest,
            "image_command": image.command,
            "image_entrypoint": image.entrypoint,
        },
    )


def _remember(ctx: StepContext) -> None:
    """Lets the scheduler know that this host has the image; no matter if that is lost."""
    image, host = ctx.container.image, ctx.env.on_host().host
    with ctx.env.db.read() as conn:
        known = images.is_fetched(conn, image, host)
    if not known:
        with ctx.env.db.write(durable=False) as conn:
            images.fetched(conn, image, host)


def _what_and_who(ctx: StepContext, source: ImageSource) -> tuple[Reference, Credentials | None]:
    """The image at the container's registry, if it has one, and who we are there.

    Read anew at every attempt: the journal never holds any of it.
    """
    container = ctx.container
    if container.registry_id is None:
        return source.resolve(container.image), None
    with ctx.env.db.read() as conn:
        registry = registries.get(conn, container.registry_id)
    if registry is None:
        raise Rejected(f"The registry {container.registry_id} is gone.")
    home = source.resolve(f"{registry.domain}/image").domain
    if not home and registry.domain.partition("/")[0] not in HUB:
        # A word that is no domain would be taken for a user's name at Docker Hub, which must not see the password.
        raise Rejected(
            f"The domain of registry {registry.uuid} must be host[:port], with a dot, a port or localhost."
        )
    reference = source.resolve(with_domain(container.image, registry.domain))
    return reference, credentials(ctx, registry) if reference.domain == home else None


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
