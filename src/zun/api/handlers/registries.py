"""Private registries (contract 2.5, 8)."""

from __future__ import annotations

from typing import Any

from zun.api.endpoint import Answer, Call, target_of
from zun.api.errors import clip
from zun.api.paging import list_query, next_link
from zun.api.policies.registries import FIELD_PREFIX
from zun.api.schemas.types import as_bool
from zun.api.views import registries as views
from zun.model.registry import FILTERS, SORT_KEYS, Registry
from zun.service.errors import NotFound
from zun.service.registries import RegistryDraft

_SLUG = "registry-not-found"


def _found(call: Call, rule: str) -> Registry:
    """The registry of the path. Found first, then judged: a foreign one is a 404 (contract 13.1-9)."""
    ident = call.path["registry"]
    if len(ident) > 255 or not ident.isprintable():
        raise NotFound(f"There is no registry {clip(ident)} in your project.", slug=_SLUG)
    registry = call.services.registries.find(call.caller, ident)
    call.authorize(rule, target_of(registry))
    return registry


def _hidden(call: Call, registry: Registry) -> frozenset[str]:
    return call.enforcer.hidden_fields(call.caller, FIELD_PREFIX, target_of(registry))


def _shown(call: Call, registry: Registry) -> dict[str, Any]:
    return views.wrapped(registry, call.urls, _hidden(call, registry))


def list_all(call: Call) -> Answer:
    """GET /registries: one page."""
    call.authorize("registry:get_all")
    all_projects = as_bool(call.params.get("all_projects", False))
    if all_projects:
        call.authorize("registry:get_all_all_projects")
    filters = {name: call.params[name] for name in FILTERS if name in call.params}
    for name in call.enforcer.field_rules(FIELD_PREFIX):
        if name in filters:
            call.authorize(FIELD_PREFIX + name)
    query = list_query(
        call.params,
        max_limit=call.settings.max_limit,
        sort_keys=SORT_KEYS,
        default_sort="id",
        not_found=_SLUG,
        filters=filters,
        all_projects=all_projects and call.caller.is_admin,
    )
    rows = call.services.registries.list(call.caller, query)
    repeated = filters | ({"all_projects": True} if all_projects else {})
    return Answer(
        200,
        {
            "registries": [views.item(row, _hidden(call, row)) for row in rows],
            "next": next_link(call.urls, "registries", rows, query, repeated),
        },
    )


def create(call: Call) -> Answer:
    """POST /registries: 201."""
    call.authorize("registry:create")
    draft = RegistryDraft(**call.body["registry"])
    registry = call.services.registries.create(call.caller, draft)
    location = {"Location": call.urls.resource("registries", registry.uuid)}
    return Answer(201, _shown(call, registry), location)


def show(call: Call) -> Answer:
    """GET /registries/{registry}."""
    return Answer(200, _shown(call, _found(call, "registry:get_one")))


def update(call: Call) -> Answer:
    """PATCH /registries/{registry}; nothing to change is fine."""
    registry = _found(call, "registry:update")
    changed = call.services.registries.update(registry, call.params["registry"])
    return Answer(200, _shown(call, changed))


def delete(call: Call) -> Answer:
    """DELETE /registries/{registry}: 204; 409 while a container refers to it."""
    call.services.registries.delete(_found(call, "registry:delete"))
    return Answer(204)
