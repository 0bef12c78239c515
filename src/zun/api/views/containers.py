"""The container object (contract 3.1).

A list of a thousand has to cost little: no policy here, only a set of hidden fields a project; no objects in
between, one dict a row.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any

from zun.api.versions import MAX_RUN_TIME, OUTCOME_FIELDS, UPSTREAM, Version
from zun.api.views.links import Urls
from zun.api.views.status_detail import status_detail
from zun.model import lifecycle
from zun.model.container import Container, Listed

JSON = dict[str, Any]

#: (project, user) of a row -> the fields its viewer may not see.
Hidden = Callable[[str, str], frozenset[str]]

_LISTS = ("command", "entrypoint", "ports", "security_groups")
_OBJECTS = ("environment", "labels", "addresses", "restart_policy", "healthcheck")


def _fields(row: Container, now: datetime, version: Version) -> JSON:
    fields = {
        "uuid": row.uuid,
        "name": row.name,
        "project_id": row.project_id,
        "user_id": row.user_id,
        "image": row.image,
        "image_driver": row.image_driver,
        "image_pull_policy": row.image_pull_policy,
        "command": row.shown_command,
        "entrypoint": row.shown_entrypoint,
        "status": row.status,
        "status_reason": row.status_reason,
        "cpu": row.cpu,
        "cpu_policy": row.cpu_policy,
        "memory": str(row.memory),
        "disk": row.disk,
        "environment": row.environment or {},
        "labels": row.labels or {},
        "workdir": row.workdir,
        "hostname": row.hostname,
        "ports": row.ports or [],
        "addresses": row.addresses or {},
        "restart_policy": row.restart_policy or {},
        "interactive": row.interactive,
        "tty": row.tty,
        "auto_remove": row.auto_remove,
        "auto_heal": row.auto_heal,
        "security_groups": row.security_groups or [],
        "healthcheck": row.healthcheck or {},
        "registry_id": row.registry_id,
        "host": row.host,
        "runtime": row.runtime,
        "privileged": row.privileged,
        "created_at": None if row.created_at is None else str(row.created_at),
        "updated_at": None if row.updated_at is None else str(row.updated_at),
    }
    return _told(fields, row, now, version)


#: The fields of a row of a list that are those of its JSON.
_LISTED = [name.removeprefix("shown_") for name in Listed._fields[: Listed._fields.index("id")]]


def _listed(row: Listed, now: datetime, version: Version) -> JSON:
    """The same of a row of a list, which comes in these words."""
    return _told(dict(zip(_LISTED, row, strict=False)), row, now, version)


def _told(fields: JSON, row: Container | Listed, now: datetime, version: Version) -> JSON:
    """With what is no column."""
    action = row.open_action
    fields["status_detail"] = status_detail(row, now)
    fields["task_state"] = (
        None if action is None else lifecycle.task_state(action, begun=bool(row.open_begun))
    )
    return fields if version < OUTCOME_FIELDS else fields | _own(row, version)


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else str(moment)


def _own(row: Container | Listed, version: Version) -> JSON:
    """Fields that upstream has not, from the version on that brought them."""
    fields: JSON = {}
    if version >= OUTCOME_FIELDS:
        fields["exit_code"] = row.exit_code
        fields["started_at"] = _time(row.started_at)
        fields["finished_at"] = _time(row.finished_at)
        fields["health"] = row.health
    if version >= MAX_RUN_TIME:
        fields["max_run_time"] = row.max_run_time
    return fields


def _without(fields: JSON, hidden: frozenset[str]) -> JSON:
    for name in hidden:
        fields.pop(name, None)
    return fields


def one(
    row: Container, *, urls: Urls, hidden: Hidden, now: datetime, version: Version = UPSTREAM
) -> JSON:
    """As show, PATCH and rename answer: with links."""
    fields = _without(_fields(row, now, version), hidden(row.project_id, row.user_id))
    fields["links"] = urls.links("containers", row.uuid)
    return fields


def created(
    row: Container, *, urls: Urls, hidden: Hidden, now: datetime, version: Version = UPSTREAM
) -> JSON:
    """As create answers: collections nobody set are null, which they never are later (contract 13.1-3)."""
    fields = one(row, urls=urls, hidden=hidden, now=now, version=version)
    for name in (*_LISTS, *_OBJECTS):
        if name in fields and not fields[name]:
            fields[name] = None
    return fields


def many(
    rows: Iterable[Container | Listed],
    *,
    hidden: Hidden,
    now: datetime,
    version: Version = UPSTREAM,
) -> list[JSON]:
    """As lists answer: without links; visibility is asked once for each owner."""
    known: dict[tuple[str, str], frozenset[str]] = {}
    items: list[JSON] = []
    for row in rows:
        owner = (row.project_id, row.user_id)
        fields = known.get(owner)
        if fields is None:
            fields = known[owner] = hidden(*owner)
        shown = (
            _listed(row, now, version) if isinstance(row, Listed) else _fields(row, now, version)
        )
        items.append(_without(shown, fields))
    return items
