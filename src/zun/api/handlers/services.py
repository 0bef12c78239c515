"""The service's own processes: for administrators (contract 2.5)."""

from __future__ import annotations

from zun.api.endpoint import Answer, Call
from zun.api.schemas.types import as_bool
from zun.api.views import services as views


def list_all(call: Call) -> Answer:
    """GET /services: all of them, no paging."""
    call.authorize("zun-service:get_all")
    hosts, zone = call.services.hosts, call.settings.default_availability_zone
    items = [views.service(row, up=up, default_zone=zone) for row, up in hosts.services()]
    return Answer(200, {"services": items})


def _named(call: Call) -> tuple[str, str]:
    return call.params["host"], call.params["binary"]


def enable(call: Call) -> Answer:
    """PUT /services/enable."""
    call.authorize("zun-service:enable")
    return Answer(200, views.switched(call.services.hosts.enable(*_named(call))))


def disable(call: Call) -> Answer:
    """PUT /services/disable, with a reason or without."""
    call.authorize("zun-service:disable")
    reason = call.params.get("disabled_reason")
    return Answer(200, views.switched(call.services.hosts.disable(*_named(call), reason)))


def force_down(call: Call) -> Answer:
    """PUT /services/force_down."""
    call.authorize("zun-service:force_down")
    down = as_bool(call.params["forced_down"])
    return Answer(200, views.forced(call.services.hosts.force_down(*_named(call), down)))


def delete(call: Call) -> Answer:
    """DELETE /services: 200, not 204 (contract 13.1-7)."""
    call.authorize("zun-service:delete")
    call.services.hosts.delete_service(*_named(call))
    return Answer(200)
