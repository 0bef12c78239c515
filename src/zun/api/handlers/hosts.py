"""Hosts: for administrators, from microversion 1.4 (contract 2.5); taking care of them, from 1.48."""

from __future__ import annotations

from collections.abc import Callable

from zun.api.endpoint import Answer, Call
from zun.api.errors import clip
from zun.api.paging import list_query, next_link
from zun.api.schemas.types import as_bool
from zun.api.views import hosts as views
from zun.model.host import SORT_KEYS, Host, Mode
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
    ups = call.services.hosts.are_up(rows)
    items = [
        views.host(row, call.urls, call.version, up=up) for row, up in zip(rows, ups, strict=True)
    ]
    return Answer(200, {"hosts": items, "next": next_link(call.urls, "hosts", rows, query)})


def show(call: Call) -> Answer:
    """GET /hosts/{host}, by uuid or by hostname, dots and all (defect 13.2-24)."""
    call.authorize("host:get")
    return Answer(200, _shown(call, call.services.hosts.find(_ident(call))))


def _shown(call: Call, row: Host) -> object:
    [up] = call.services.hosts.are_up([row])
    return views.host(row, call.urls, call.version, up=up)


def _ident(call: Call) -> str:
    ident = call.path["host"]
    if len(ident) > 255 or not ident.isprintable():
        raise NotFound(f"There is no host {clip(ident)}.", slug=_SLUG)
    return ident


def putting_into(rule: str, mode: Mode | None) -> Callable[[Call], Answer]:
    """POST /hosts/{host}/drain, maintenance and enable: the host as it is then."""

    def put(call: Call) -> Answer:
        call.authorize(rule)
        reason = call.params.get("reason")
        return Answer(200, _shown(call, call.services.hosts.set_mode(_ident(call), mode, reason)))

    return put


def delete(call: Call) -> Answer:
    """DELETE /hosts/{host}: gone from the records."""
    call.authorize("host:delete")
    force = as_bool(call.params.get("force", False))
    call.services.hosts.remove(_ident(call), force=force)
    return Answer(204)
