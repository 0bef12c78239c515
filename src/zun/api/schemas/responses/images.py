"""What images answer (contract 2.5, 8)."""

from __future__ import annotations

from zun.api.schemas.responses.base import (
    BOOLEAN,
    INTEGER,
    NULL,
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
from zun.model.image import SORT_KEYS

_SIZE: Schema = {"type": "string", "pattern": "^[0-9]+$"}
_IMAGE = {
    "uuid": UUID,
    "links": listing(ref("Link")),
    "image_id": nullable(STRING),
    "repo": STRING,
    "tag": STRING,
    "size": nullable(_SIZE),
    "project_id": STRING,
    "host": STRING,
    "digest": nullable(STRING),
}

RESOURCE = Resource(
    name="images",
    what="Images that hosts were told to have, for administrators; and those the registry offers, for everybody.",
    fields={
        "sort_key": f"The field to sort by: one of {', '.join(SORT_KEYS)}.",
        "digest": "The digest at its registry; null of an image that no registry has. From microversion 1.46 on.",
        "image": "The uuid of an image; of a search, the name to look for.",
        "images": "The images of the page.",
        "image_id": "What the engine calls it; null until the host has it. Of no effect in a request.",
        "repo": "The name, with the registry where it is not the usual one.",
        "tag": "The tag, or the digest.",
        "images.repo": "The name, with the registry where it is not the usual one, and a tag or digest if need be.",
        "images.tag": "The tag, where `repo` has none; else `latest`.",
        "size": "Bytes; null until the host has it. Of no effect in a request.",
        "host": "The host that has it, or is to have it.",
        "images.host": "The host that is to have it: uuid or hostname.",
        "image_pull_policy": "When the registry is asked though the host has an image of this name.",
        "image_driver": "Who serves the image.",
        "exact_match": "Only the image of exactly this name.",
        "FoundImage.name": "The name.",
        "description": "What the registry says of it.",
        "metadata": "What the registry counts.",
        "is_official": "Whether the registry keeps it itself.",
        "star_count": "How many like it.",
    },
    schemas={
        "Image": shape(_IMAGE, optional=("digest",)) | {"description": "An image on a host."},
        "FoundImage": shape(
            {
                "name": STRING,
                "description": STRING,
                "metadata": shape({"is_official": BOOLEAN, "star_count": INTEGER}),
            }
        )
        | {"description": "An image the registry offers."},
    },
    operations={
        "GET /v1/images": Operation(
            summary="List the images of one's project",
            answers={200: Success(what="A page.", schema=page("images", ref("Image")))},
        ),
        "POST /v1/images": Operation(
            summary="Have a host pull an image",
            description="It is pulled after the answer: watch `image_id`. A pull that fails leaves it null.",
            answers={
                202: Success(
                    what="Accepted; it is pulled later.",
                    schema=ref("Image"),
                    headers={"Location": "The URL of the image."},
                )
            },
            errors=(409,),
        ),
        "GET /v1/images/{image}": Operation(
            summary="Show an image", answers={200: Success(what="The image.", schema=ref("Image"))}
        ),
        "DELETE /v1/images/{image}": Operation(
            summary="Remove an image from its host",
            description="It goes after the answer; one that a container uses stays.",
            answers={200: Success(what="Accepted; it happens later.", schema=NULL)},
            errors=(409,),
        ),
        "GET /v1/images/{image}/search": Operation(
            summary="Search the registry for an image",
            description="The slashes of a name, 7 at most, may stand in the path as they are, or as `%2F`.",
            answers={200: Success(what="What it offers.", schema=listing(ref("FoundImage")))},
            errors=(409, 503),
        ),
    },
)
