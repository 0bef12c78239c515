"""What was done to a container (contract 9)."""

from __future__ import annotations

from zun.api.endpoint import Answer, Call, target_of
from zun.api.errors import clip
from zun.api.views import container_actions as views
from zun.service.errors import NotFound


def list_all(call: Call) -> Answer:
    """GET /containers/{ident}/container_actions, newest first."""
    container = call.container("container:actions")
    operations = call.services.containers.actions(container)
    return Answer(200, {"containerActions": [views.action(operation) for operation in operations]})


def show(call: Call) -> Answer:
    """GET /containers/{ident}/container_actions/{request_id}."""
    container = call.container("container:actions")
    request_id = call.path["request_id"]
    if len(request_id) > 255 or not request_id.isprintable():
        raise NotFound(
            f"There is no action of request {clip(request_id)}.", slug="resource-not-found"
        )
    operation, events = call.services.containers.action(container, request_id)
    reasons = call.enforcer.allows(call.caller, "container:action:events", target_of(container))
    return Answer(200, views.with_events(operation, events, reasons=reasons))
