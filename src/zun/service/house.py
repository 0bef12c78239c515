"""All use cases in one value, for whoever serves them."""

from __future__ import annotations

from dataclasses import dataclass

from zun.service.containers import Containers
from zun.service.health import Health
from zun.service.hosts import Hosts
from zun.service.images import Images
from zun.service.inside import Inside
from zun.service.networks import Networks
from zun.service.quotas import Quotas
from zun.service.registries import Registries


@dataclass(frozen=True, slots=True)
class Services:
    """What an API needs."""

    containers: Containers
    inside: Inside
    networks: Networks
    images: Images
    hosts: Hosts
    quotas: Quotas
    registries: Registries
    health: Health
