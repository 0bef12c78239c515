"""What the service's own processes answer (contract 8)."""

from __future__ import annotations

from zun.api.schemas.responses.base import (
    BOOLEAN,
    INTEGER,
    NULL,
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

#: What answers to changes show of a service.
_NAMED, _DISABLED = ("host", "binary"), ("disabled", "disabled_reason")
_SWITCHED = Success(
    what="The service.",
    schema=shape({"service": shape({name: _SERVICE[name] for name in _NAMED + _DISABLED})}),
)
_FORCED = Success(
    what="The service.",
    schema=shape({"service": shape({name: _SERVICE[name] for name in (*_NAMED, "forced_down")})}),
)

RESOURCE = Resource(
    name="services",
    what="The processes of the service itself; for administrators.",
    schemas={"Service": shape(_SERVICE)},
    fields={
        "services": "All of them.",
        "service": "What it is now.",
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
        "DELETE /v1/services": Operation(
            summary="Forget a service",
            description="One that still runs is recorded anew the next time it is heard of.",
            answers={200: Success(what="It is forgotten.", schema=NULL)},
            errors=(404,),
        ),
        "PUT /v1/services/enable": Operation(
            summary="Let a host get new containers again", answers={200: _SWITCHED}, errors=(404,)
        ),
        "PUT /v1/services/disable": Operation(
            summary="Keep new containers off a host", answers={200: _SWITCHED}, errors=(404,)
        ),
        "PUT /v1/services/force_down": Operation(
            summary="Declare a service dead, or take that back",
            description="A host that is declared dead gets no containers and is asked nothing.",
            answers={200: _FORCED},
            errors=(404,),
        ),
    },
)
