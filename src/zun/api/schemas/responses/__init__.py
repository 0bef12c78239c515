"""What answers hold, as data: one file a resource, each with one `RESOURCE`, all of them named here."""

from __future__ import annotations

from zun.api.schemas.responses import (
    availability_zones,
    container_actions,
    containers,
    events,
    health,
    hosts,
    quotas,
    registries,
    services,
    versions,
)
from zun.api.schemas.responses.base import Resource

#: In the order of the pages.
RESOURCES: tuple[Resource, ...] = (
    containers.RESOURCE,
    container_actions.RESOURCE,
    events.RESOURCE,
    hosts.RESOURCE,
    services.RESOURCE,
    availability_zones.RESOURCE,
    registries.RESOURCE,
    quotas.RESOURCE,
    versions.RESOURCE,
    health.RESOURCE,
)
