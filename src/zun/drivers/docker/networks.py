"""The network driver for a Docker engine: one bridge a network, isolated from all other bridges by the engine."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Sequence
from typing import Any

from docker.types import IPAMConfig, IPAMPool

from zun.drivers import errors
from zun.drivers.deadline import Deadline
from zun.drivers.docker.client import Engine
from zun.drivers.network import NetworkSpec, PortSpec
from zun.drivers.runtime import Attachment
from zun.drivers.subnets import Subnet, attachment, checked_subnet
from zun.model.names import LABEL_HOST, LABEL_PROJECT, LABEL_UUID, network_name

LOG = logging.getLogger(__name__)


class DockerNetworks:
    """NetworkDriver on one engine. See the contract in `zun.drivers.network`.

    What was made sure of is remembered, so that a create costs no call, until the engine's epoch shows that it came
    back or missed something, or `forget` is called.
    """

    def __init__(self, engine: Engine, owner: str) -> None:
        """`owner`: the uuid of the host in our records; networks that carry another's are not ours."""
        self._engine = engine
        self._owner = owner
        self._lock = threading.Lock()
        self._locks: dict[str, threading.Lock] = {}
        self._sure: dict[str, tuple[int, str]] = {}  # uuid -> the engine's epoch then, subnet

    def ensure_network(self, spec: NetworkSpec, deadline: Deadline) -> None:
        checked_subnet(spec.subnet)
        with self._serialised(spec.uuid):
            epoch = self._engine.epoch
            if self._sure.get(spec.uuid) == (epoch, spec.subnet):
                return
            self._ensure(spec, deadline)
            self._sure[spec.uuid] = (epoch, spec.subnet)

    def forget(self, uuid: str) -> None:
        """Makes the next ensure_network of this network look again."""
        self._sure.pop(uuid, None)

    def remove_network(self, uuid: str, deadline: Deadline) -> None:
        with self._serialised(uuid):
            self.forget(uuid)
            self._remove(uuid, deadline)

    def list_networks(self, deadline: Deadline) -> Sequence[str]:
        with self._engine.call("list the networks", deadline) as client:
            rows = client.networks(filters={"label": f"{LABEL_HOST}={self._owner}"})
        return tuple(sorted({row["Labels"][LABEL_UUID] for row in rows}))

    def plan(self, ports: Sequence[PortSpec]) -> Sequence[Attachment]:
        return tuple(attachment(port) for port in ports)

    def _serialised(self, uuid: str) -> threading.Lock:
        with self._lock:
            return self._locks.setdefault(uuid, threading.Lock())

    def _ensure(self, spec: NetworkSpec, deadline: Deadline) -> None:
        try:
            self._create(spec, deadline)
        except errors.Conflict:
            # The name is taken, or the subnet; engines tell them apart in their own ways, a look tells for sure.
            raw = self._inspect(spec.uuid, deadline)
            if raw is None:
                raise
            if _subnets(raw) == {checked_subnet(spec.subnet)}:
                return
            # An earlier life of the network with another subnet: the records speak, unless containers are on it.
            self._remove(spec.uuid, deadline)
            self._create(spec, deadline)

    def _create(self, spec: NetworkSpec, deadline: Deadline) -> None:
        with self._engine.call("create the network", deadline) as client:
            client.create_network(
                network_name(spec.uuid),
                driver="bridge",
                ipam=IPAMConfig(pool_configs=[IPAMPool(subnet=spec.subnet)]),
                # Engines before API 1.44 would make a second one of the same name.
                check_duplicate=True,
                labels={
                    LABEL_UUID: spec.uuid,
                    LABEL_PROJECT: spec.project_id,
                    LABEL_HOST: self._owner,
                },
            )

    def _inspect(self, uuid: str, deadline: Deadline) -> dict[str, Any] | None:
        try:
            with self._engine.call("look at the network", deadline) as client:
                raw: dict[str, Any] = client.inspect_network(network_name(uuid))
                return raw
        except errors.NotFound:
            return None

    def _remove(self, uuid: str, deadline: Deadline) -> None:
        try:
            self._remove_once(uuid, deadline)
        except errors.Conflict:
            if not self._drop_leftovers(uuid, deadline):
                raise
            self._remove_once(uuid, deadline)

    def _remove_once(self, uuid: str, deadline: Deadline) -> None:
        with (
            contextlib.suppress(errors.NotFound),
            self._engine.call("remove the network", deadline) as client,
        ):
            client.remove_network(network_name(uuid))

    def _drop_leftovers(self, uuid: str, deadline: Deadline) -> bool:
        """Drops endpoints whose container is gone, as a start that a crash cut short leaves; whether there were any."""
        raw = self._inspect(uuid, deadline) or {}
        names = [endpoint["Name"] for endpoint in (raw.get("Containers") or {}).values()]
        gone = [name for name in names if not self._stands(name, deadline)]
        for name in gone:
            LOG.warning("network %s still has an endpoint of %s, which is gone", uuid, name)
            with (
                contextlib.suppress(errors.NotFound),
                self._engine.call("drop the endpoint", deadline) as client,
            ):
                client.disconnect_container_from_network(name, network_name(uuid), force=True)
        return bool(gone)

    def _stands(self, name: str, deadline: Deadline) -> bool:
        try:
            with self._engine.call("look at the container", deadline) as client:
                client.inspect_container(name)
        except errors.NotFound:
            return False
        return True


def _subnets(raw: dict[str, Any]) -> set[Subnet]:
    return {checked_subnet(pool["Subnet"]) for pool in (raw.get("IPAM") or {}).get("Config") or ()}
