"""The contract of a network driver: a container's way to others and to the world."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from zun.drivers.deadline import Deadline
from zun.drivers.runtime import Attachment


@dataclass(frozen=True, slots=True, kw_only=True)
class NetworkSpec:
    """A network as our records have it, to be made true on this host."""

    uuid: str
    project_id: str
    name: str
    subnet: str  # CIDR


@dataclass(frozen=True, slots=True, kw_only=True)
class PortSpec:
    """A container's port as our records have it."""

    uuid: str
    network_uuid: str
    container_uuid: str
    address: str


class NetworkDriver(Protocol):
    """See the law in `zun.drivers`.

    ensure_network: the network exists on this host with this subnet and is isolated from all others. Conflict: the
        subnet overlaps with something else on this host (choose another).
    remove_network: absent = success. Conflict: something is still attached.
    list_networks: the uuids of the networks of ours on this host.
    forget: what is believed about the network is to be looked at anew at the next ensure_network.
    plan: what the runtime must be told at create about these ports.
    """

    def ensure_network(self, spec: NetworkSpec, deadline: Deadline) -> None: ...
    def remove_network(self, uuid: str, deadline: Deadline) -> None: ...
    def forget(self, uuid: str) -> None: ...
    def list_networks(self, deadline: Deadline) -> Sequence[str]: ...
    def plan(self, ports: Sequence[PortSpec]) -> Sequence[Attachment]: ...
