"""The fake of a network driver."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from zun.drivers import errors
from zun.drivers.deadline import Deadline
from zun.drivers.fake.script import Scripted
from zun.drivers.network import NetworkSpec, PortSpec
from zun.drivers.runtime import Attachment
from zun.drivers.subnets import attachment, checked_subnet
from zun.model.names import network_name


class FakeNetworks(Scripted):
    """NetworkDriver in memory. `taken`: subnets that something else on the host has."""

    def __init__(self, taken: Sequence[str] = ()) -> None:
        super().__init__()
        self._taken = [checked_subnet(t) for t in taken]
        self._specs: dict[str, NetworkSpec] = {}
        self.in_use: Callable[[str], bool] = lambda name: (
            False
        )  # by the engine's name; FakeRuntime sets it

    def vanish(self, uuid: str) -> None:
        """Somebody removes the network by hand."""
        with self._lock:
            del self._specs[uuid]

    def require(self, name: str) -> None:
        """NotFound if there is no network of this name, as the engine says it."""
        with self._lock:
            if not any(network_name(uuid) == name for uuid in self._specs):
                raise errors.NotFound(f"network {name} not found")

    def ensure_network(self, spec: NetworkSpec, deadline: Deadline) -> None:
        with self._call("ensure_network", spec.uuid, deadline, spec):
            wanted = checked_subnet(spec.subnet)
            present = self._specs.get(spec.uuid)
            if present is not None and present.subnet == spec.subnet:
                return
            if present is not None and self.in_use(network_name(spec.uuid)):
                raise errors.Conflict(
                    "the network has another subnet, and containers are attached to it"
                )
            others = [checked_subnet(s.subnet) for u, s in self._specs.items() if u != spec.uuid]
            if any(wanted.overlaps(other) for other in [*self._taken, *others]):
                raise errors.Conflict("the subnet overlaps with another one on this host")
            self._specs[spec.uuid] = spec

    def remove_network(self, uuid: str, deadline: Deadline) -> None:
        with self._call("remove_network", uuid, deadline):
            if uuid in self._specs and self.in_use(network_name(uuid)):
                raise errors.Conflict("cannot remove the network: containers are attached to it")
            self._specs.pop(uuid, None)

    def list_networks(self, deadline: Deadline) -> Sequence[str]:
        with self._call("list_networks", None, deadline):
            return tuple(sorted(self._specs))

    def forget(self, uuid: str) -> None:
        """As `DockerNetworks.forget`; the fake remembers nothing but the truth."""

    def plan(self, ports: Sequence[PortSpec]) -> Sequence[Attachment]:
        return tuple(attachment(port) for port in ports)
