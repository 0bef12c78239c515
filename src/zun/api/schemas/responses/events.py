"""What the event stream answers (contract: beyond upstream, docs/how-to)."""

from __future__ import annotations

from zun.api.schemas.responses.base import SENT_ON, Operation, Resource

RESOURCE = Resource(
    name="events",
    what="What happens to containers, as it happens.",
    fields={
        "container": "Only those of this container: uuid or name.",
        "kind": "Only these kinds, with commas between them.",
    },
    operations={
        "GET /v1/events": Operation(
            summary="Follow what happens to the containers of the project",
            description="Server-sent events, at `Location`; `Last-Event-ID` goes on behind that event.",
            answers={307: SENT_ON},
            errors=(404, 409, 410, 503),
        ),
    },
)
