"""Hosts: for administrators, from microversion 1.4 (contract 2.5)."""

from __future__ import annotations

from zun.api.endpoint import Answer, Call
from zun.api.errors import clip
from zun.api.paging import list_query, next_link
from zun.api.views import hosts as views
from zun.model.host import SORT_KEYS
from zun.service.errors import NotFound

_SLUG = "compute-node-not-found"


def list_all(call: Call) -> Answer:
    """GET /hosts."""
    call.authorize("host:get_all")
    query = list_query(
        call.params,
        max_limit=call.settings.max_limit,
        sort_keys=SORT_KEYS,
        default_sort="hostname",
        not_found=_SLUG,
    )
    rows = call.services.hosts.list(query)
    items = [views.host(row, call.urls) for row in rows]
    return Answer(200, {"hosts": items, "next": next_link(call.urls, "hosts", rows, query)})


def show(call: Call) -> Answer:
    """GET /hosts/{host}, by uuid or by hostname, dots and all (defect 13.2-24)."""
    call.authorize("host:get")
    ident = call.path["host"]
    if len(ident) > 255 or not ident.isprintable():
        raise NotFound(f"There is no host {clip(ident)}.", slug=_SLUG)
    return Answer(200, views.host(call.services.hosts.find(ident), call.urls))
