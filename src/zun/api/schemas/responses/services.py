"""What the service's own processes answer (contract 8)."""

from __future__ import annotations

from zun.api.schemas.responses.base import (
    BOOLEAN,
    INTEGER,
    STRING,
    TIME,
    Operation,
    Resource,
    Success,
    listing,
    nullable,
    ref,
    shape,
)

_SERVICE = {
    "id": INTEGER,
    "host": STRING,
    "binary": STRING,
    "state": {"enum": ["up", "down"]},
    "disabled": BOOLEAN,
    "disabled_reason": nullable(STRING),
    "forced_down": BOOLEAN,
    "last_seen_up": nullable(TIME),
    "report_count": INTEGER,
    "availability_zone": STRING,
    "created_at": nullable(TIME),
    "updated_at": nullable(TIME),
}

RESOURCE = Resource(
    name="services",
    what="The processes of the service itself; for administrators.",
    schemas={"Service": shape(_SERVICE)},
    fields={
        "services": "All of them.",
        "id": "Identity.",
        "host": "The host it serves.",
        "binary": "Which process it is.",
        "state": "Whether it has been heard of lately.",
        "disabled": "Whether it gets no new containers.",
        "disabled_reason": "Why it is disabled.",
        "forced_down": "Whether an operator declared it dead.",
        "last_seen_up": "When it was last heard of, UTC.",
        "report_count": "How often it was heard of.",
        "availability_zone": "The zone of its host.",
    },
    operations={
        "GET /v1/services": Operation(
            summary="List services",
            answers={
                200: Success(
                    what="All of them.", schema=shape({"services": listing(ref("Service"))})
                )
            },
        ),
    },
)
