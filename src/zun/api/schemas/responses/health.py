"""What /healthcheck answers: apart from the API, without credentials (contract 1)."""

from __future__ import annotations

from zun.api.schemas.responses.base import (
    STRING,
    Operation,
    Resource,
    Success,
    ref,
    shape,
)

_STATUS = {"enum": ["ok", "failed"]}

RESOURCE = Resource(
    name="health",
    what="Whether the service works; for everybody, load balancers above all.",
    routed=False,
    schemas={
        "Health": shape(
            {
                "status": _STATUS,
                "checks": {
                    "type": "object",
                    "additionalProperties": shape({"status": _STATUS, "detail": STRING}),
                },
            }
        )
    },
    fields={
        "status": "Whether it works.",
        "checks": "Its parts, one by one.",
        "detail": "How the part is, or what is wrong with it.",
    },
    operations={
        "GET /healthcheck": Operation(
            summary="Say whether the service works, part by part",
            answers={
                200: Success(what="All parts work.", schema=ref("Health")),
                503: Success(what="At least one does not.", schema=ref("Health")),
            },
        ),
        "HEAD /healthcheck": Operation(
            summary="Say whether the service works",
            answers={
                200: Success(what="All parts work."),
                503: Success(what="At least one does not."),
            },
        ),
    },
)
