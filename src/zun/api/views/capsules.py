"""The capsule object, in its two shapes (contract 4.5)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

from zun.api.versions import RENAMED_CAPSULE, Version
from zun.api.views import containers
from zun.api.views.links import Urls
from zun.model.capsule import Capsule
from zun.model.container import Container

JSON = dict[str, Any]

#: Of the older shape: always there, and never with anything in them.
_PLACEHOLDERS: JSON = {
    "volumes_info": {},
    "containers_uuids": [],
    "init_containers_uuids": [],
    "capsule_version": "",
}


def one(
    capsule: Capsule,
    members: Sequence[Container],
    *,
    urls: Urls,
    hidden: frozenset[str],
    hidden_inside: containers.Hidden,
    now: datetime,
    version: Version,
) -> JSON:
    """A capsule with its containers. `hidden`: fields of it that the viewer may not see; `hidden_inside`: of those."""
    shown = [replace(member, addresses=capsule.addresses) for member in members]
    newest = version >= RENAMED_CAPSULE

    def inside(init: bool) -> list[JSON]:
        mine = [member for member in shown if member.init is init]
        return containers.many(mine, hidden=hidden_inside, now=now, version=version)

    fields: JSON = {
        "uuid": capsule.uuid,
        "links": urls.links("capsules", capsule.uuid),
        "name" if newest else "meta_name": capsule.name,
        "labels" if newest else "meta_labels": capsule.labels,
        "annotations": capsule.annotations,
        "status": capsule.status,
        "status_reason": capsule.status_reason,
        "cpu": capsule.cpu,
        "memory": str(capsule.memory),
        "addresses": capsule.addresses or {},
        "project_id": capsule.project_id,
        "user_id": capsule.user_id,
        "host": capsule.host,
        "created_at": None if capsule.created_at is None else str(capsule.created_at),
        "updated_at": None if capsule.updated_at is None else str(capsule.updated_at),
        "containers": inside(False),
        "init_containers": inside(True),
    }
    if newest:
        fields["restart_policy"] = capsule.restart_policy
    else:
        fields |= {"restart_policy": capsule.restart_policy["Name"], **_PLACEHOLDERS}
    return {name: value for name, value in fields.items() if name not in hidden}
