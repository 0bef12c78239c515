"""Quotas of projects, and quota classes (contract 2.5, 8)."""

from __future__ import annotations

from zun.api.endpoint import Answer, Call
from zun.api.errors import clip
from zun.api.schemas.types import as_bool
from zun.model.quota import Limits
from zun.service.errors import Invalid


def _named(call: Call, variable: str, what: str) -> str:
    value = call.path[variable]
    if len(value) > 255 or not value.isprintable():
        raise Invalid(f"{what}: must be at most 255 printable characters, not `{clip(value)}`")
    return value


def _project(call: Call, rule: str) -> str:
    """The project of the path, which `rule` lets the caller see: no row, so a foreign one is a 403 (contract 2.5)."""
    project_id = _named(call, "project", "project")
    call.authorize(rule, {"project_id": project_id, "user_id": call.caller.user_id})
    return project_id


def _limits(call: Call) -> Limits:
    return {name: int(value) for name, value in call.params.items()}


def show(call: Call) -> Answer:
    """GET /quotas/{project}, with `usages` each as {limit, in_use}, in this order (contract 8)."""
    project_id = _project(call, "quota:get")
    if not as_bool(call.params.get("usages", False)):
        return Answer(200, call.services.quotas.limits(project_id))
    usages = call.services.quotas.usages(project_id)
    return Answer(200, {r: {"limit": limit, "in_use": used} for r, (limit, used) in usages.items()})


def show_defaults(call: Call) -> Answer:
    """GET /quotas/{project}/defaults."""
    _project(call, "quota:get_default")
    return Answer(200, call.services.quotas.defaults())


def update(call: Call) -> Answer:
    """PUT /quotas/{project}: sets what is given, answers all."""
    project_id = _project(call, "quota:update")
    return Answer(200, call.services.quotas.update(project_id, _limits(call)))


def delete(call: Call) -> Answer:
    """DELETE /quotas/{project}: 200, not 204 (contract 13.1-7)."""
    call.services.quotas.delete(_project(call, "quota:delete"))
    return Answer(200)


def show_class(call: Call) -> Answer:
    """GET /quota_classes/{name}: any name is a class."""
    call.authorize("quota_class:get")
    return Answer(200, call.services.quotas.of_class(_named(call, "name", "class")))


def update_class(call: Call) -> Answer:
    """PUT /quota_classes/{name}."""
    call.authorize("quota_class:update")
    name = _named(call, "name", "class")
    return Answer(200, call.services.quotas.update_class(name, _limits(call)))
