"""The registry object (contract 8)."""

from __future__ import annotations

from typing import Any

from zun.api.views.links import Urls
from zun.model.registry import Registry

#: Shown for every password, and where there is none.
MASK = "***"


def item(row: Registry, hidden: frozenset[str]) -> dict[str, Any]:
    """As lists show it: flat, without links."""
    fields = {
        "uuid": row.uuid,
        "name": row.name,
        "domain": row.domain,
        "username": row.username,
        "password": MASK,
        "project_id": row.project_id,
        "user_id": row.user_id,
    }
    return {name: value for name, value in fields.items() if name not in hidden}


def wrapped(row: Registry, urls: Urls, hidden: frozenset[str]) -> dict[str, Any]:
    """As single answers show it (contract 13.1-5)."""
    return {"registry": {**item(row, hidden), "links": urls.links("registries", row.uuid)}}
