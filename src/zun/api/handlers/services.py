"""The service's own processes: for administrators (contract 2.5)."""

from __future__ import annotations

from zun.api.endpoint import Answer, Call
from zun.api.views.services import service


def list_all(call: Call) -> Answer:
    """GET /services: all of them, no paging."""
    call.authorize("zun-service:get_all")
    hosts, zone = call.services.hosts, call.settings.default_availability_zone
    items = [service(row, up=hosts.is_up(row), default_zone=zone) for row in hosts.services()]
    return Answer(200, {"services": items})
