"""What pulls and pushes share: who we are at a registry, and what it means by what it says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import docker.auth

from zun.drivers import errors
from zun.drivers.docker.client import clean
from zun.drivers.image import Credentials, Reference

SILENCE = 300.0  # seconds a transfer may show no progress
HUB_ADDRESS = "https://index.docker.io/v1/"

#: What engines and registries say, in lower case, in the order it is looked for. There is no code: the engine gives one
#: status (404 or 500) or none (within a transfer) and the registry's words. Read here and nowhere else.
_WORDS: Sequence[tuple[str, type[errors.DriverError]]] = (
    ("no space left on device", errors.Lacking),
    ("toomanyrequests", errors.Unavailable),
    ("no matching manifest", errors.Lacking),
    (
        "does not exist or may require",
        errors.NotFound,
    ),  # the Hub does not tell a private image from none
    ("manifest unknown", errors.NotFound),
    ("name unknown", errors.NotFound),
    ("unauthorized", errors.Rejected),
    ("no basic auth credentials", errors.Rejected),
    ("authentication required", errors.Rejected),
    ("access denied", errors.Rejected),
    ("access to the resource is denied", errors.Rejected),
    ("forbidden", errors.Rejected),
    ("unsupported media type", errors.Rejected),
    ("media type", errors.Rejected),
    ("not found", errors.NotFound),
)


def refused(
    verb: str, reference: Reference, error: errors.DriverError | None, text: str
) -> errors.DriverError:
    """The error of a pull or push (`verb`) that failed with `text`, or at once with `error`."""
    low = text.lower()
    kind = next((kind for words, kind in _WORDS if words in low), None)
    if kind is None and error is not None:
        return error
    if kind is errors.NotFound and verb == "pull":
        return kind(f"there is no image {reference}, or it is private")
    if kind is errors.Lacking:
        return kind(f"this host can't {verb} the image {reference}: {clean(text)}")
    if kind in (errors.Rejected, errors.NotFound):
        return errors.Rejected(f"the registry refuses the image {reference}: {clean(text)}")
    return errors.Unavailable(f"cannot {verb} the image {reference}: {clean(text)}")


def words_of(error: errors.DriverError) -> str:
    """What the engine said, unless it said nothing because it is away."""
    return str(getattr(error.__cause__, "explanation", None) or "")


def name_of(reference: Reference) -> str:
    """The repository, as engines call it."""
    return f"{reference.domain}/{reference.path}" if reference.domain else reference.path


def header(reference: Reference, credentials: Credentials | None) -> Mapping[str, str]:
    """Says who we are; nobody's credentials are an empty object, never the operator's own from ~/.docker."""
    who: dict[str, Any] = {}
    if credentials is not None:
        who = {
            "username": credentials.username,
            "password": credentials.password,
            "serveraddress": reference.domain or HUB_ADDRESS,
        }
    encoded: Any = docker.auth.encode_header(who)
    return {"X-Registry-Auth": encoded}
