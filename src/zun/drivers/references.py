"""Image references, by the grammar of the distribution specification."""

from __future__ import annotations

import re

from zun.drivers.errors import Rejected
from zun.drivers.image import Reference

NAME_LIMIT = 255
HUB = frozenset({"docker.io", "index.docker.io"})

_DOMAIN = re.compile(
    r"(?:[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?(?:\.[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?)*|\[[a-fA-F0-9:]+\])(?::[0-9]{1,5})?"
)
_PATH = re.compile(
    r"[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*(?:/[a-z0-9]+(?:(?:\.|__?|-+)[a-z0-9]+)*)*"
)
_TAG = re.compile(r"\w[\w.-]{0,127}", re.ASCII)
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}|sha512:[0-9a-f]{128}")
_ID = re.compile(r"[0-9a-f]{64}")


def _refuse() -> Rejected:
    return Rejected(
        "this is no image reference: it must be [domain/]name[:tag][@digest] in lower case"
    )


def domain_of(text: str) -> str | None:
    """The registry that a reference names; None where it is the usual one's."""
    first, slash, _ = text.partition("/")
    return first if slash and _is_domain(first) else None


def _is_domain(first: str) -> bool:
    return first == "localhost" or any(c in first for c in ".:[") or first.lower() != first


def with_domain(text: str, domain: str) -> str:
    """`text` where it names a domain itself, else the same image at `domain` (which may go on with a path)."""
    return text if domain_of(text) else f"{domain}/{text}"


def parse(text: str) -> Reference:
    """Takes a reference apart; the tag is "latest" where none is given. Raises Rejected.

    Docker Hub is the domain "", and its "library/" is left out, as engines show it.
    """
    rest, at, digest = text.partition("@")
    if at and not _DIGEST.fullmatch(digest):
        raise _refuse()
    domain = ""
    first, slash, remainder = rest.partition("/")
    if slash and _is_domain(first):
        domain, rest = first, remainder
        if not _DOMAIN.fullmatch(domain):
            raise _refuse()
    path, colon, tag = rest.partition(":")
    if colon and not _TAG.fullmatch(tag):
        raise _refuse()
    if not _PATH.fullmatch(path) or len(path) + len(domain) + 1 > NAME_LIMIT:
        raise _refuse()
    if domain in HUB:
        domain = ""
    if not domain:
        path = path.removeprefix("library/")
        if _ID.fullmatch(path):
            raise _refuse()  # an engine would take it for an image's id
    return Reference(domain=domain, path=path, tag=tag or "latest", digest=digest or None)
