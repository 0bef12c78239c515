"""Images that were asked onto a host, or made there of a container."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from datetime import datetime

#: Where images made of containers lie on a host's engine: one place a project, so that no other project's
#: containers can be made of them (defect 13.2-8).
COMMITTED = "zun-commit"

_PLAIN_PROJECT = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True, kw_only=True)
class HostImage:
    """One row of `images`. `repo` and `tag` (a digest, where one was asked for) are what the engine knows it by.

    `image_id`, `size` (bytes) and `digest` are None until it is there. `registry` is the domain in the name of an
    image made of a container; where it was sent there, `digest` is what that registry calls it.
    """

    id: int = 0
    uuid: str
    project_id: str
    user_id: str
    host: str
    repo: str
    tag: str
    image_id: str | None = None
    size: int | None = None
    digest: str | None = None
    registry: str | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None

    @property
    def reference(self) -> str:
        """What the engine knows it by, in one piece."""
        return f"{self.repo}{'@' if ':' in self.tag else ':'}{self.tag}"


#: Columns a list of images may be sorted by (contract 2.0).
SORT_KEYS: tuple[str, ...] = (
    "id", "uuid", "repo", "tag", "host", "project_id", "image_id", "size", "created_at", "updated_at",
)  # fmt: skip


def committed(project_id: str, domain: str, path: str) -> str:
    """The engine's repository of an image that a project's container became under the name `domain/path`."""
    owner = project_id
    if not _PLAIN_PROJECT.fullmatch(project_id):
        owner = hashlib.sha256(project_id.encode()).hexdigest()[:40]
    # An engine lets no path have all the letters of a domain; the dot keeps it apart from every path.
    place = f"at.{hashlib.sha256(domain.lower().encode()).hexdigest()[:16]}/" if domain else ""
    return f"{COMMITTED}/{owner}/{place}{path}"


def is_committed(domain: str, path: str) -> bool:
    """Whether a reference lies in the place of images made of containers: nobody may name it."""
    return not domain and (path == COMMITTED or path.startswith(f"{COMMITTED}/"))


def shown_repo(image: HostImage) -> str:
    """The repository as its user named it."""
    if not image.repo.startswith(f"{COMMITTED}/"):
        return image.repo
    path = image.repo.split("/", 2)[2]
    if image.registry is None:
        return path
    return f"{image.registry}/{path.partition('/')[2] if path.startswith('at.') else path}"
