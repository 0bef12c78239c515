"""What the history of a container answers (contract 9)."""

from __future__ import annotations

from zun.api.schemas.responses.base import (
    STRING,
    TIME,
    UUID,
    Operation,
    Resource,
    Success,
    listing,
    nullable,
    ref,
    shape,
)
from zun.model.lifecycle import Action

_ACTION = {
    "action": {"enum": [str(action) for action in Action]},
    "container_uuid": UUID,
    "request_id": nullable(STRING),
    "user_id": nullable(STRING),
    "project_id": nullable(STRING),
    "start_time": nullable(TIME),
    "finish_time": nullable(TIME),
    "message": {"enum": ["Error", None]},
}

RESOURCE = Resource(
    name="container actions",
    what="What was done to a container, by whom, and how it went.",
    fields={
        "containerActions": "The actions, newest first.",
        "action": "What was asked for.",
        "container_uuid": "The container.",
        "request_id": "The `x-openstack-request-id` of the request that asked for it.",
        "user_id": "Who asked for it.",
        "start_time": "When it began, UTC.",
        "finish_time": "When it ended, UTC; null while it lasts.",
        "message": "`Error` where it failed.",
        "events": "Its steps, newest first; the work as a whole is one of them.",
        "event": "The step.",
        "result": "How it ended; null while it lasts.",
        "traceback": "Why it failed; for administrators, else null.",
    },
    schemas={
        "Action": shape(_ACTION),
        "ActionEvent": shape(
            {
                "event": STRING,
                "start_time": nullable(TIME),
                "finish_time": nullable(TIME),
                "result": {"enum": ["Success", "Error", None]},
                "traceback": nullable(STRING),
            }
        ),
        "ActionWithEvents": shape({**_ACTION, "events": listing(ref("ActionEvent"))}),
    },
    operations={
        "GET /v1/containers/{ident}/container_actions": Operation(
            summary="List what was done to a container",
            answers={
                200: Success(
                    what="All of it.", schema=shape({"containerActions": listing(ref("Action"))})
                )
            },
        ),
        "GET /v1/containers/{ident}/container_actions/{request_id}": Operation(
            summary="Show what one request did to a container, step by step",
            answers={200: Success(what="The action.", schema=ref("ActionWithEvents"))},
        ),
    },
)
