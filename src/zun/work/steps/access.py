"""Who we are at a private registry."""

from __future__ import annotations

from zun.drivers.errors import Rejected
from zun.drivers.image import Credentials
from zun.model.registry import Registry
from zun.work.context import StepContext
from zun.work.secrets import Unreadable


def credentials(ctx: StepContext, registry: Registry) -> Credentials | None:
    """User and password of a registry, None where it has no user. Rejected: no key here opens the password.

    Asked for anew at every attempt: the journal never holds any of it.
    """
    if not registry.username:
        return None
    if registry.password is None:
        return Credentials(username=registry.username, password="")
    try:
        if ctx.env.secrets is None:
            raise Unreadable
        password = ctx.env.secrets.open(registry.password)
    except Unreadable:
        raise Rejected(
            f"The password of registry {registry.uuid} can't be read with the keys of this host; "
            "set it again, or ask the operator."
        ) from None
    return Credentials(username=registry.username, password=password)
