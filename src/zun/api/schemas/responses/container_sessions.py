"""Interactive sessions: attach, and the size of terminals (contract 5)."""

from __future__ import annotations

from zun.api.schemas.responses.base import NULL, STRING, Operation, Resource, Success, ref, shape

RESOURCE = Resource(
    name="container sessions",
    what="Terminals: to talk to a container's main process, and to commands in it.",
    fields={
        "url": "The websocket of the session, good once.",
        "console_url": "The page that shows the session in a browser, good once.",
        "expires_at": "Until when the session must have begun.",
        "h": "Rows.",
        "w": "Columns.",
        "exec_id": "The command's, as execute answered it.",
    },
    schemas={"Attachment": shape({"url": STRING, "console_url": STRING, "expires_at": STRING})},
    operations={
        "GET /v1/containers/{ident}/attach": Operation(
            summary="Open a session with the main process",
            description="For a container that was created with `interactive`. A string up to 1.46, an object from "
            "1.47 on. A URL that was given before and not used is void.",
            answers={
                200: Success(
                    what="Where the session is.",
                    schema={"anyOf": [STRING, ref("Attachment")]},
                    headers={"Cache-Control": "no-store"},
                )
            },
            errors=(400, 503),
        ),
        "POST /v1/containers/{ident}/resize": Operation(
            summary="Set the size of the main terminal",
            answers={200: Success(what="It is set.", schema=NULL)},
            errors=(503,),
        ),
        "POST /v1/containers/{ident}/execute_resize": Operation(
            summary="Set the size of a command's terminal",
            description="A command that is not started yet, or has ended, is a 400.",
            answers={200: Success(what="It is set.", schema=NULL)},
            errors=(503,),
        ),
    },
)
