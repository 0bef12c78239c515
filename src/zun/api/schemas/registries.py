"""Queries and bodies of registries (contract 2.5)."""

from __future__ import annotations

from zun.api.schemas.compiled import VersionedSchema
from zun.api.schemas.containers import PAGING
from zun.api.schemas.types import BOOL_LIST, Schema, closed, name, parameters, text

_DOMAIN: Schema = {
    "type": "string",
    "minLength": 1,
    "maxLength": 255,
    "pattern": r"^[^\s\x00-\x1f\x7f]+$",
    "x-why": "must be 1 to 255 characters without spaces, such as registry.example.com:5000",
}

_FIELDS: Schema = {
    "domain": _DOMAIN,
    "name": name(nullable=True),
    "username": text(1, 255, nullable=True),
    "password": text(1, 16_384, nullable=True),
}

_FILTERS: Schema = {
    "name": text(0, 255),
    "domain": text(0, 255),
    "username": text(0, 255),
    "project_id": text(0, 255),
    "user_id": text(0, 255),
}

LIST = VersionedSchema(
    lambda _settings, _version: parameters({**PAGING, **_FILTERS, "all_projects": BOOL_LIST})
)


def _wrapped(*required: str) -> VersionedSchema:
    inner = closed(_FIELDS, required=required, why="must be an object")
    body = closed({"registry": inner}, required=("registry",), why="the body must be a JSON object")
    return VersionedSchema(lambda _settings, _version: body)


CREATE = _wrapped("domain")
#: A null takes name, username or password away.
UPDATE = _wrapped()
