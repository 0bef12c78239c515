"""Capsules (contract 2.5, 4)."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from zun.api.endpoint import Answer, Call, target_of
from zun.api.errors import clip
from zun.api.paging import list_query, next_link
from zun.api.policies.capsules import FIELD_PREFIX
from zun.api.policies.containers import FIELD_PREFIX as CONTAINER_PREFIX
from zun.api.schemas.capsules import to_draft
from zun.api.schemas.types import as_bool
from zun.api.views import capsules as views
from zun.model.capsule import SORT_KEYS, Capsule
from zun.model.container import Container
from zun.service.capsules import SLUG
from zun.service.errors import NotFound


def _found(call: Call, rule: str) -> Capsule:
    """The capsule of the path. Found first, then judged: a foreign one is a 404 (contract 13.1-9)."""
    ident = call.path["capsule"]
    if len(ident) > 255 or not ident.isprintable():
        raise NotFound(f"There is no capsule {clip(ident)} in your project.", slug=SLUG)
    capsule = call.services.capsules.find(call.caller, ident)
    call.authorize(rule, target_of(capsule))
    return capsule


def _shown(call: Call, capsule: Capsule, members: Sequence[Container]) -> dict[str, Any]:
    def inside(project_id: str, user_id: str) -> frozenset[str]:
        target = {"project_id": project_id, "user_id": user_id}
        return call.enforcer.hidden_fields(call.caller, CONTAINER_PREFIX, target)

    return views.one(
        capsule,
        members,
        urls=call.urls,
        hidden=call.enforcer.hidden_fields(call.caller, FIELD_PREFIX, target_of(capsule)),
        hidden_inside=inside,
        now=datetime.now(UTC).replace(tzinfo=None),
        version=call.version,
    )


def list_all(call: Call) -> Answer:
    """GET /capsules: one page. Who may not see all projects gets their own, without a word (contract 2.0)."""
    call.authorize("capsule:get_all")
    asked = as_bool(call.params.get("all_projects", False))
    every = asked and call.caller.is_admin
    every = every and call.enforcer.allows(call.caller, "capsule:get_all_all_projects")
    query = list_query(
        call.params,
        max_limit=call.settings.max_limit,
        sort_keys=SORT_KEYS,
        default_sort="id",
        not_found=SLUG,
        all_projects=every,
    )
    rows = call.services.capsules.list(call.caller, query)
    members = call.services.capsules.members(rows)
    repeated = {"all_projects": True} if asked else {}
    return Answer(
        200,
        {
            "capsules": [_shown(call, row, members[row.uuid]) for row in rows],
            "next": next_link(call.urls, "capsules", rows, query, repeated),
        },
    )


def create(call: Call) -> Answer:
    """POST /capsules: 202, and the rest happens later."""
    call.authorize("capsule:create")
    may_choose = call.enforcer.allows(call.caller, "container:create:image_pull_policy")
    draft = to_draft(call.body["template"], pull_policy=may_choose)
    capsule, members = call.services.capsules.create(call.caller, draft)
    location = {"Location": call.urls.resource("capsules", capsule.uuid)}
    return Answer(202, _shown(call, capsule, members), location)


def show(call: Call) -> Answer:
    """GET /capsules/{capsule}: what is recorded; the observer keeps that true."""
    capsule = _found(call, "capsule:get")
    members = call.services.capsules.members([capsule])[capsule.uuid]
    return Answer(200, _shown(call, capsule, members))


def delete(call: Call) -> Answer:
    """DELETE /capsules/{capsule}: 204, in any status."""
    capsule = _found(call, "capsule:delete")
    if as_bool(call.params.get("all_projects", False)):
        call.authorize("capsule:delete_all_projects", target_of(capsule))
    call.services.capsules.delete(call.caller, capsule)
    return Answer(204)
