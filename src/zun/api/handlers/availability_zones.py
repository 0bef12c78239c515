"""Availability zones: those of all services (contract 2.5)."""

from __future__ import annotations

from zun.api.endpoint import Answer, Call
from zun.api.paging import list_query, next_after

_SORT_KEYS = ("availability_zone",)


def list_all(call: Call) -> Answer:
    """GET /availability_zones: each once; the marker is a zone's name (defect 13.2-23)."""
    call.authorize("availability_zones:get_all")
    query = list_query(
        call.params,
        max_limit=call.settings.max_limit,
        sort_keys=_SORT_KEYS,
        default_sort="availability_zone",
        not_found="not-found",
        by_uuid=False,
    )
    zones = call.services.hosts.zones(query, call.settings.default_availability_zone)
    last = zones[-1] if zones else ""
    return Answer(
        200,
        {
            "availability_zones": [{"availability_zone": zone} for zone in zones],
            "next": next_after(call.urls, "availability_zones", len(zones), last, query),
        },
    )
