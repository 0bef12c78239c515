"""Bodies and queries of images (contract 2.5)."""

from __future__ import annotations

from zun.api.schemas.compiled import Schema, VersionedSchema
from zun.api.schemas.containers import PAGING
from zun.api.schemas.create import image_driver
from zun.api.schemas.types import BOOL, closed, one_of, parameters, text
from zun.api.settings import ApiSettings
from zun.api.versions import Version

_PULL: Schema = closed(
    {
        "repo": text(2, 255),
        "host": text(1, 255),
        "tag": text(0, 255, nullable=True),
        # Of upstream's own record: known when the image is there, whatever a client says before.
        "image_id": text(0, 255, nullable=True),
        "size": {"type": ["string", "integer", "null"], "maxLength": 64, "x-why": "must be a size"},
        "image_pull_policy": one_of(
            "never", "always", "ifnotpresent", "Never", "Always", "IfNotPresent", None,
            what="must be one of never, always, ifnotpresent",
        ),
    },
    required=("repo", "host"),
    why="the body must be a JSON object",
)  # fmt: skip


def _search(settings: ApiSettings, _version: Version) -> Schema:
    return parameters({"image_driver": image_driver(settings), "exact_match": BOOL})


LIST = VersionedSchema(lambda _settings, _version: parameters(PAGING, strict=False))
PULL = VersionedSchema(lambda _settings, _version: _PULL)
SEARCH = VersionedSchema(_search)
