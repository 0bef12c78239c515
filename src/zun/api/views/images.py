"""The image object (contract 8)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zun.api.versions import IMAGE_DIGEST, UPSTREAM, Version
from zun.api.views.links import Urls
from zun.model.image import HostImage, shown_repo


def image(row: HostImage, urls: Urls, version: Version = UPSTREAM) -> dict[str, Any]:
    """An image; `image_id`, `size` (bytes, as text) and `digest` are null until the host has it."""
    fields = {
        "uuid": row.uuid,
        "links": urls.links("images", row.uuid),
        "image_id": row.image_id,
        "repo": shown_repo(row),
        "tag": row.tag,
        "size": None if row.size is None else str(row.size),
        "project_id": row.project_id,
        "host": row.host,
    }
    return fields if version < IMAGE_DIGEST else fields | {"digest": row.digest}


def found(item: Mapping[str, Any]) -> dict[str, Any]:
    """One find of a search."""
    return {
        "name": item.get("name"),
        "description": item.get("description") or "",
        "metadata": {
            "is_official": bool(item.get("is_official")),
            "star_count": int(item.get("star_count") or 0),
        },
    }
