"""What the two public documents and this description itself answer (contract 1)."""

from __future__ import annotations

from zun.api.schemas.responses.base import (
    STRING,
    Operation,
    Resource,
    Success,
    listing,
    ref,
    shape,
)
from zun.api.views.versions import RESOURCES

_VERSION = {
    "id": {"const": "v1"},
    "links": listing(ref("Link")),
    "status": {"const": "CURRENT"},
    "max_version": STRING,
    "min_version": STRING,
}

_LINKS = listing(ref("Link"))

RESOURCE = Resource(
    name="versions",
    what="What the service is, and which microversions it speaks; for everybody.",
    fields={
        "id": "The version's name.",
        "status": "The one clients use.",
        "Root.name": "The service.",
        "description": "What it is for.",
        "versions": "All versions: one.",
        "default_version": "The one clients use.",
        "media_types": "What is spoken.",
        "base": "The media type.",
        "media_types.type": "The media type, with the version.",
        "openapi": "The version of OpenAPI.",
        "info": "Title and version.",
        "paths": "What can be called.",
        **{name: "Where the collection is." for name in RESOURCES},
    },
    schemas={
        "Version": shape(_VERSION),
        "Root": shape(
            {
                "name": STRING,
                "description": STRING,
                "versions": listing(ref("Version")),
                "default_version": ref("Version"),
            }
        ),
        "V1": shape(
            {
                "id": {"const": "v1"},
                "media_types": listing(shape({"base": STRING, "type": STRING})),
                "links": _LINKS,
                **{name: _LINKS for name in RESOURCES},
            }
        ),
    },
    operations={
        "GET /": Operation(
            summary="Show the versions",
            answers={200: Success(what="The versions.", schema=ref("Root"))},
        ),
        "GET /v1": Operation(
            summary="Show where the collections are",
            answers={200: Success(what="The collections.", schema=ref("V1"))},
        ),
        "GET /v1/openapi.json": Operation(
            summary="Show this description, in OpenAPI 3.1",
            answers={
                200: Success(
                    what="The description.",
                    schema=shape(
                        {"openapi": STRING, "info": {"type": "object"}, "paths": {"type": "object"}}
                    )
                    | {"additionalProperties": True},
                )
            },
        ),
    },
)
