"""All use cases in one value, for whoever serves them."""

from __future__ import annotations

from dataclasses import dataclass

from zun.service.capsules import Capsules
from zun.service.containers import Containers
from zun.service.errors import Unavailable
from zun.service.health import Health
from zun.service.hosts import Hosts
from zun.service.images import Images
from zun.service.inside import Inside
from zun.service.later import Later
from zun.service.networks import Networks
from zun.service.quotas import Quotas
from zun.service.registries import Registries
from zun.service.sessions import Sessions


@dataclass(frozen=True, slots=True)
class Services:
    """What an API needs."""

    containers: Containers
    capsules: Capsules
    inside: Inside
    sessions: Sessions
    networks: Networks
    images: Images
    hosts: Hosts
    quotas: Quotas
    registries: Registries
    health: Health
    later: Later | None = None  # None = no long-lived answers are served

    def ticketing(self) -> Later:
        """What issues tickets. Raises Unavailable."""
        if self.later is None:
            raise Unavailable("Long-lived answers are not served here.")
        return self.later
