"""What private registries answer (contract 8): wrapped alone, flat in lists."""

from __future__ import annotations

from zun.api.schemas.responses.base import (
    GONE,
    STRING,
    UUID,
    Operation,
    Resource,
    Schema,
    Success,
    listing,
    nullable,
    page,
    ref,
    shape,
)
from zun.api.views.registries import MASK
from zun.model.registry import SORT_KEYS

_LISTED: dict[str, Schema] = {
    "uuid": UUID,
    "name": nullable(STRING),
    "domain": STRING,
    "username": nullable(STRING),
    "password": {"const": MASK},
    "project_id": STRING,
    "user_id": STRING,
}
_WRAPPED = shape({"registry": ref("Registry")})
_SHOWN = Success(what="The registry.", schema=_WRAPPED)

RESOURCE = Resource(
    name="registries",
    what="Private registries, and the credentials to pull images from them.",
    fields={
        "path.registry": "A uuid, or a name that is unique in the project.",
        "sort_key": f"The field to sort by: one of {', '.join(SORT_KEYS)}.",
        "registry": "The registry.",
        "registries.registry": "`domain`, which is required, `name`, `username` and `password`.",
        "{registry}.registry": "Any of `domain`, `name`, `username` and `password`.",
        "registries": "The registries of the page.",
        "name": "The name; null where it has none.",
        "domain": "Where it is: a host, and a port if need be.",
        "username": "Who logs in there; without it images are pulled without credentials.",
        "password": "The password: kept encrypted and never shown.",
        "Registry.password": f"Always `{MASK}`, whether or not there is one.",
        "ListedRegistry.password": f"Always `{MASK}`, whether or not there is one.",
    },
    schemas={
        "Registry": shape({**_LISTED, "links": listing(ref("Link"))})
        | {"description": "A registry. An operator may hide fields by policy."},
        "ListedRegistry": shape(_LISTED) | {"description": "As lists show it: without links."},
    },
    operations={
        "GET /v1/registries": Operation(
            summary="List registries",
            description="The parameters named as fields keep only the registries that have that value.",
            answers={
                200: Success(what="A page.", schema=page("registries", ref("ListedRegistry")))
            },
        ),
        "POST /v1/registries": Operation(
            summary="Add a registry",
            answers={
                201: Success(
                    what="The registry.",
                    schema=_WRAPPED,
                    headers={"Location": "The URL of the registry."},
                )
            },
        ),
        "GET /v1/registries/{registry}": Operation(
            summary="Show a registry", answers={200: _SHOWN}, errors=(409,)
        ),
        "PATCH /v1/registries/{registry}": Operation(
            summary="Change a registry",
            description="What is not given stays; null takes a name, a username or a password away. "
            "Containers use what is new from their next pull on.",
            answers={200: _SHOWN},
            errors=(409,),
        ),
        "DELETE /v1/registries/{registry}": Operation(
            summary="Remove a registry",
            description="Not while a container refers to it.",
            answers={204: GONE},
            errors=(409,),
        ),
    },
)
