"""From a create request to a row and its operation's parameters, with everything checked that can be checked now.

Fields that need a cloud service which is not configured are refused here, naming it.
"""

from __future__ import annotations

import base64
import binascii
import ipaddress
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy.engine import Connection

from zun.drivers.errors import DriverError
from zun.drivers.references import parse
from zun.model.container import Container, Draft, MountRequest, NetRequest
from zun.model.image import is_committed
from zun.model.lifecycle import Status
from zun.model.names import generated_name, new_uuid
from zun.model.network import Network
from zun.model.quota import amounts_of
from zun.service import hints, quotas, registries
from zun.service.caller import Caller
from zun.service.errors import Conflict, Invalid, NotFound
from zun.service.settings import ServiceSettings
from zun.store import capsules, containers, hosts, locks, networks
from zun.store import registries as stored_registries
from zun.work.clock import Clock


def prepare(
    conn: Connection, caller: Caller, draft: Draft, settings: ServiceSettings, clock: Clock
) -> tuple[Container, Mapping[str, Any]]:
    """The row to insert and the parameters of its operation. Raises Invalid, NotFound, Conflict."""
    _refuse_unconfigured(draft, settings)
    check_image(draft.image)
    _check_dedicated(draft, settings)
    row = _row(conn, caller, draft, settings, clock)
    check_unique(conn, caller.project_id, draft.name, settings)
    quotas.reserve(conn, caller.project_id, amounts_of(row), settings.quota)
    requested = None if draft.host is None else hosts.find(conn, draft.host)
    if draft.host is not None and requested is None:
        raise NotFound(f"host: no host {draft.host!r} is known.", slug="requested-host-not-found")
    nets = [_net(conn, caller, index, net) for index, net in enumerate(draft.nets)]
    if len({net["network"] for net in nets}) != len(nets):
        raise Invalid("nets: a container can be on one network only once.")
    params = {
        "run": draft.run,
        "mounts": [_file(index, mount) for index, mount in enumerate(draft.mounts)],
        "nets": nets,
    }
    hints.check(conn, caller, row.uuid, draft)
    placement = {
        "hints": dict(draft.hints),
        "host": None if requested is None else requested.hostname,
        "disk_given": draft.disk is not None,
    }
    movable = hints.movable(draft, caller.project_id, settings)
    return replace(row, placement=placement, movable=movable), params


def _row(
    conn: Connection, caller: Caller, draft: Draft, settings: ServiceSettings, clock: Clock
) -> Container:
    return Container(
        uuid=new_uuid(),
        name=draft.name or generated_name(),
        project_id=caller.project_id,
        user_id=caller.user_id,
        image=draft.image,
        image_driver=draft.image_driver or settings.default_image_driver,
        status=Status.CREATING,
        command=_list(draft.command),
        entrypoint=_list(draft.entrypoint),
        cpu=settings.default_cpu if draft.cpu is None else draft.cpu,
        cpu_policy=draft.cpu_policy or "shared",
        memory=settings.default_memory if draft.memory is None else draft.memory,
        disk=_disk(conn, draft, settings),
        environment=dict(draft.environment),
        labels=dict(draft.labels),
        workdir=draft.workdir,
        hostname=draft.hostname,
        interactive=draft.interactive,
        tty=draft.tty,
        image_pull_policy=draft.image_pull_policy,
        restart_policy=dict(draft.restart_policy) if draft.restart_policy else None,
        auto_remove=draft.auto_remove,
        auto_heal=draft.auto_heal,
        runtime=draft.runtime,
        privileged=draft.privileged,
        security_groups=None,
        exposed_ports=_list(draft.exposed_ports),
        healthcheck=dict(draft.healthcheck) if draft.healthcheck else None,
        registry_id=_registry(conn, caller, draft),
        availability_zone=draft.availability_zone or settings.default_schedule_zone,
        created_at=clock(),
        max_run_time=draft.max_run_time,
    )


def _registry(conn: Connection, caller: Caller, draft: Draft) -> str | None:
    if draft.registry is None:
        return None
    uuid = registries.find(conn, caller, draft.registry, "registry: ").uuid
    if stored_registries.get(conn, uuid, hold=True) is None:
        raise NotFound(f"registry: Registry {uuid} was just removed.", slug="registry-not-found")
    return uuid


def _disk(conn: Connection, draft: Draft, settings: ServiceSettings) -> int:
    return default_disk(conn, settings) if draft.disk is None else draft.disk


def default_disk(conn: Connection, settings: ServiceSettings) -> int:
    """GiB to count for who names none: the default where a host can limit disk, which placing will tell."""
    return settings.default_disk if hosts.any_limits_disk(conn) else 0


def _list(values: Sequence[str] | None) -> list[str] | None:
    return list(values) if values else None


def _refuse_unconfigured(draft: Draft, settings: ServiceSettings) -> None:
    if draft.image_driver not in (None, *settings.image_drivers):
        raise Invalid(
            f"image_driver: {draft.image_driver!r} is not configured; "
            f"available: {', '.join(settings.image_drivers)}."
        )
    if draft.security_groups:
        raise Invalid("security_groups: these need Neutron, which is not configured.")
    for index, mount in enumerate(draft.mounts):
        if mount.type == "volume":
            raise Invalid(
                f"mounts[{index}].type: a volume needs Cinder, which is not configured; "
                "a file can be given with type 'bind'."
            )


def _check_dedicated(draft: Draft, settings: ServiceSettings) -> None:
    cpu = settings.default_cpu if draft.cpu is None else draft.cpu
    if draft.cpu_policy == "dedicated" and (cpu < 1 or cpu != int(cpu)):
        raise Invalid(
            f"cpu: {cpu:g} CPUs can't be a container's own; with cpu_policy 'dedicated' it is a whole number."
        )


def check_image(image: str) -> None:
    """Raises Invalid for what is no reference, or one in the place of images made of containers.

    Whether there is such an image shows when it is fetched (defect 13.2-30).
    """
    try:
        reference = parse(image)
    except DriverError as exc:
        raise Invalid(f"image: {exc.public}.") from exc
    if is_committed(reference.domain, reference.path):
        raise Invalid(
            "image: this place is kept for images made of containers; name yours as you named it."
        )


def check_unique(
    conn: Connection,
    project_id: str,
    name: str | None,
    settings: ServiceSettings,
    besides: str | None = None,
) -> None:
    """Raises Conflict where the operator wants unique names and this one is taken (contract 3.4).

    `besides` is the uuid of the container that is to have the name.
    """
    if name is None or not settings.unique_names:
        return
    scope = project_id if settings.unique_names == "project" else None
    locks.hold(conn, f"container names of {scope}" if scope else "container names")
    if containers.name_taken(conn, name, scope, besides):
        raise Conflict(
            f"name: a container named {name!r} exists already.", slug="container-already-exists"
        )
    if capsules.name_taken(conn, name, scope):
        raise Conflict(
            f"name: a capsule named {name!r} exists already.", slug="container-already-exists"
        )


def _file(index: int, mount: MountRequest) -> Mapping[str, str]:
    where = f"mounts[{index}]"
    if mount.type != "bind":
        raise Invalid(f"{where}.type: must be 'volume' or 'bind', not {mount.type!r}.")
    if mount.source is None:
        raise Invalid(f"{where}.source: a file needs its content, in base64.")
    try:
        base64.b64decode(mount.source, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise Invalid(f"{where}.source: not valid base64.", slug="base64-exception") from exc
    parts = mount.destination.split("/")
    if not mount.destination.startswith("/") or ".." in parts or not parts[-1]:
        raise Invalid(f"{where}.destination: must be the absolute path of a file.")
    return {"destination": mount.destination, "source": mount.source}


def _net(conn: Connection, caller: Caller, index: int, net: NetRequest) -> Mapping[str, str | None]:
    where = f"nets[{index}]"
    if net.port is not None:
        raise Invalid(f"{where}.port: ports need Neutron, which is not configured.")
    network = find_network(conn, caller.project_id, net.network or "", f"{where}.network")
    if net.v4_fixed_ip is None and net.v6_fixed_ip is not None:
        raise Invalid(f"{where}.v6-fixed-ip: the networks of this cloud have IPv4 only.")
    if net.v4_fixed_ip is not None:
        check_address(conn, f"{where}.v4-fixed-ip", net.v4_fixed_ip, network)
    return {"network": network.uuid, "address": net.v4_fixed_ip}


def find_network(conn: Connection, project_id: str, ident: str, where: str) -> Network:
    """The project's network of this uuid or name. Raises NotFound, Conflict."""
    found = networks.find(conn, project_id, ident)
    if not found:
        raise NotFound(f"{where}: {ident!r} is not known.", slug="network-not-found")
    if len(found) > 1:
        raise Conflict(f"{where}: several networks are named {ident!r}; use a uuid.")
    return found[0]


def check_address(conn: Connection, where: str, wanted: str, network: Network) -> None:
    """Raises Invalid unless `wanted` is an IPv4 address of the network that nobody has."""
    try:
        address = ipaddress.IPv4Address(wanted)
    except ValueError as exc:
        raise Invalid(f"{where}: {wanted[:50]!r} is no IPv4 address.") from exc
    subnet = ipaddress.IPv4Network(network.subnet)
    usable = address in subnet and address not in (
        subnet.network_address, subnet.network_address + 1, subnet.broadcast_address,
    )  # fmt: skip
    if not usable:
        raise Invalid(f"{where}: {wanted} is not usable in the subnet {network.subnet}.")
    if networks.address_taken(conn, network.uuid, wanted):
        raise Invalid(f"{where}: {wanted} is in use.", slug="port-in-use")
