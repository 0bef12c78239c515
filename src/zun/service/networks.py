"""The use cases of networks on the container engine, and of a container's place on them."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass

from sqlalchemy.engine import Connection

from zun.model.container import Container
from zun.model.lifecycle import Action
from zun.model.names import uuid_or_none
from zun.model.network import Network, Port
from zun.service import drafts
from zun.service.caller import Caller
from zun.service.containers import asker
from zun.service.errors import Conflict, Invalid, NotFound
from zun.service.intents import Intents
from zun.service.settings import ServiceSettings
from zun.store import networks
from zun.store.database import Database
from zun.work.clock import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class AttachRequest:
    """Where a container wants to be: a network (None = the project's default), with a fixed address or none."""

    network: str | None = None
    port: str | None = None
    fixed_ip: str | None = None


class Networks:
    """All raise `service.errors`; authorisation is the caller's business."""

    def __init__(
        self, db: Database, intents: Intents, settings: ServiceSettings, clock: Clock
    ) -> None:
        self._db = db
        self._intents = intents
        self._settings = settings
        self._clock = clock

    def create(self, caller: Caller, name: str) -> Network:
        """A network of the caller's project; a host makes its bridge when the first container comes to it."""
        if name == networks.DEFAULT:
            raise Invalid(f"name: {name!r} is the network that each project gets by itself.")
        try:
            made = self._db.run(
                lambda conn: networks.create(
                    conn, caller.project_id, name, self._settings.subnet_pool, self._clock()
                )
            )
        except networks.Exhausted as exc:
            raise Conflict(
                f"No network can be made: {exc} ([docker_network] subnet_pool)."
            ) from exc
        if made is None:
            raise Conflict(f"name: a network {name[:255]!r} exists already.")
        return made

    def delete(self, caller: Caller, ident: str) -> None:
        """Removes a network by its uuid, or by its name in the caller's project. Raises Conflict: it is in use."""

        def write(conn: Connection) -> None:
            uuid = uuid_or_none(ident)
            network = networks.get(conn, uuid) if uuid else None
            if network is None:
                network = drafts.find_network(conn, caller.project_id, ident[:255], "network")
            if not networks.delete(conn, network.uuid):
                raise Conflict(f"Network {network.uuid} is in use: a container has a port on it.")

        self._db.run(write)

    def attach(self, caller: Caller, container: Container, request: AttachRequest) -> None:
        """Accepts that a container joins a network (contract 2.1)."""
        if request.port is not None:
            raise Invalid("port: ports need Neutron, which is not configured.")
        with self._db.read() as conn:
            network = self._wanted(conn, container, request.network)
            if network is not None and _port_on(conn, container, network) is not None:
                raise Invalid(
                    f"Container {container.uuid} is attached to network {network.uuid} already.",
                    slug="invalid",
                )
            if request.fixed_ip is not None:
                self._check_address(conn, request.fixed_ip, network)
        params = {"network": network.uuid if network else None, "address": request.fixed_ip}
        self._intents.act(
            asker(caller), container.uuid, Action.NETWORK_ATTACH, _given(params), guarded=False
        )

    def _wanted(self, conn: Connection, container: Container, ident: str | None) -> Network | None:
        """The network to join; None = the default one, which is not there yet."""
        if ident is not None:
            return drafts.find_network(conn, container.project_id, ident, "network")
        found = networks.find(conn, container.project_id, networks.DEFAULT)
        return found[0] if found else None

    def _check_address(self, conn: Connection, address: str, network: Network | None) -> None:
        try:
            if ipaddress.ip_address(address).version == 6:
                raise Invalid("fixed_ip: the networks of this cloud have IPv4 only.")
        except ValueError as exc:
            raise Invalid(f"fixed_ip: {address[:50]!r} is no IP address.") from exc
        if network is None:
            raise Invalid("fixed_ip: the project's default network is not there yet; name another.")
        drafts.check_address(conn, "fixed_ip", address, network)

    def detach(
        self, caller: Caller, container: Container, network: str | None, port: str | None
    ) -> None:
        """Accepts that a container leaves a network, named by itself or by the container's port on it."""
        if (network is None) == (port is None):
            raise Invalid("network, port: exactly one of them must be given.")
        with self._db.read() as conn:
            if network is not None:
                found = drafts.find_network(conn, container.project_id, network, "network")
                mine = _port_on(conn, container, found)
                if mine is None:
                    raise Invalid(
                        f"Container {container.uuid} is not attached to network {found.uuid}.",
                        slug="invalid",
                    )
            else:
                ports = {p.uuid: p for p in networks.ports_of(conn, container.uuid)}
                if port not in ports:
                    raise NotFound(
                        f"port: container {container.uuid} has no port {str(port)[:64]}.",
                        slug="port-not-found",
                    )
                mine = ports[port]
        params = {"network": mine.network_uuid}
        self._intents.act(
            asker(caller), container.uuid, Action.NETWORK_DETACH, params, guarded=False
        )


def _port_on(conn: Connection, container: Container, network: Network) -> Port | None:
    mine = networks.ports_of(conn, container.uuid)
    return next((port for port in mine if port.network_uuid == network.uuid), None)


def _given(params: dict[str, str | None]) -> dict[str, str]:
    return {name: value for name, value in params.items() if value is not None}
