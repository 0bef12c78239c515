"""Interactive sessions: attach, commands that are talked to, and the size of their terminals (contract 5)."""

from __future__ import annotations

from zun.api.endpoint import Answer, Call
from zun.api.schemas.types import as_bool
from zun.api.views import sessions as views
from zun.model.container import Container


def attach(call: Call) -> Answer:
    """GET /containers/{ident}/attach."""
    container = call.container("container:attach")
    granted = call.services.sessions.attach(call.caller, container)
    return Answer(
        200, views.attached(granted, call.settings, call.urls, call.version), {"Cache-Control": "no-store"}
    )  # fmt: skip


def enter(call: Call, container: Container, words: list[str]) -> Answer:
    """POST /containers/{ident}/execute with run=false."""
    granted = call.services.sessions.execute(
        call.caller,
        container,
        words,
        interactive=as_bool(call.params.get("interactive", False)),
        kill_on_close=as_bool(call.params.get("kill_on_close", False)),
    )
    shown = views.entered(granted, call.settings, call.urls, call.version)
    return Answer(200, shown, {"Cache-Control": "no-store"})


def resize(call: Call) -> Answer:
    """POST /containers/{ident}/resize."""
    container = call.container("container:resize")
    call.services.sessions.resize(container, int(call.params["h"]), int(call.params["w"]))
    return Answer(200)


def execute_resize(call: Call) -> Answer:
    """POST /containers/{ident}/execute_resize."""
    container = call.container("container:execute_resize")
    params = call.params
    call.services.sessions.execute_resize(
        container, params["exec_id"], int(params["h"]), int(params["w"])
    )
    return Answer(200)
