"""All use cases in one value, for whoever serves them."""

from __future__ import annotations

from dataclasses import dataclass

from zun.service.containers import Containers
from zun.service.health import Health
from zun.service.hosts import Hosts


@dataclass(frozen=True, slots=True)
class Services:
    """What an API needs."""

    containers: Containers
    hosts: Hosts
    health: Health
