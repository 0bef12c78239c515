"""What answers hold, as data: one file a resource, each with one `RESOURCE`, all of them named here."""

from __future__ import annotations

from zun.api.schemas.responses import (
    availability_zones,
    capsules,
    container_actions,
    container_inside,
    container_networks,
    container_sessions,
    containers,
    events,
    health,
    hosts,
    images,
    networks,
    quotas,
    registries,
    services,
    versions,
)
from zun.api.schemas.responses.base import Resource

#: In the order of the pages.
RESOURCES: tuple[Resource, ...] = (
    containers.RESOURCE,
    container_sessions.RESOURCE,
    container_inside.RESOURCE,
    container_networks.RESOURCE,
    container_actions.RESOURCE,
    capsules.RESOURCE,
    events.RESOURCE,
    images.RESOURCE,
    networks.RESOURCE,
    hosts.RESOURCE,
    services.RESOURCE,
    availability_zones.RESOURCE,
    registries.RESOURCE,
    quotas.RESOURCE,
    versions.RESOURCE,
    health.RESOURCE,
)
