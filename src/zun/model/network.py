"""Networks and ports of the Docker network driver, whose records we keep ourselves."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Network:
    """One row of `networks`: a project's network; every host makes its own bridge with this subnet."""

    uuid: str
    project_id: str
    name: str
    subnet: str  # "10.201.3.0/24"


@dataclass(frozen=True, slots=True, kw_only=True)
class Port:
    """One row of `ports`: a container's address on a network."""

    uuid: str
    network_uuid: str
    container_uuid: str
    address: str
