"""A container's networks after its birth.

A container that is on no network at all would get the one of its birth back at its next start, with whatever address
the engine likes. The engine's "none" holds that place, and gives way when another network comes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from zun.drivers import errors
from zun.drivers.deadline import Deadline
from zun.drivers.docker import plan as plans
from zun.drivers.docker.client import Engine
from zun.drivers.runtime import Attachment

_NONE = "none"


def connect(engine: Engine, name: str, attachment: Attachment, deadline: Deadline) -> None:
    """See `CanConnect`."""
    present = _networks(engine, name, deadline)
    if present is None:
        raise errors.NotFound("there is no such container")
    asked = plans.endpoint(attachment)["IPAMConfig"]
    if attachment.network in present:
        if _address(present[attachment.network]) in (None, *asked.values()):
            return
        _leave(engine, name, attachment.network, deadline)
    if _NONE in present:
        _leave(engine, name, _NONE, deadline)
    try:
        with engine.call("attach the container to the network", deadline) as client:
            client.connect_container_to_network(
                name,
                attachment.network,
                ipv4_address=asked.get("IPv4Address"),
                ipv6_address=asked.get("IPv6Address"),
            )
    except errors.NotFound:
        engine.doubt()
        raise
    except errors.Conflict:
        left = (_networks(engine, name, deadline) or {}).get(attachment.network)
        if left and left.get("EndpointID") and _address(left) in asked.values():
            return  # another attempt at the same was faster
        if left and not left.get("EndpointID"):
            _clear(engine, name, attachment.network, deadline)
        raise


def as_asked(raw: Mapping[str, Any], attachments: Sequence[Attachment]) -> bool:
    """Whether a container that was made with the first of these has it, and none of them with another address."""
    present = raw["NetworkSettings"].get("Networks") or {}
    if attachments and attachments[0].network not in present:
        return False
    return all(
        (present[attachment.network].get("IPAMConfig") or {}).get(key) == address
        for attachment in attachments
        if attachment.network in present
        for key, address in plans.endpoint(attachment)["IPAMConfig"].items()
    )


def _clear(engine: Engine, name: str, network: str, deadline: Deadline) -> None:
    """Takes away what a refused connect leaves: a network without an endpoint, which no start would survive.

    Seen of Docker 20.10. It can't be disconnected, for it isn't connected; with any free address it can be both.
    """
    with engine.call("detach the container from the network", deadline) as client:
        client.connect_container_to_network(name, network)
    disconnect(engine, name, network, deadline)


def disconnect(engine: Engine, name: str, network: str, deadline: Deadline) -> None:
    """See `CanConnect`."""
    present = _networks(engine, name, deadline)
    if present is None:
        return
    if network in present:
        _leave(engine, name, network, deadline)
    if not set(present) - {network}:
        try:
            with engine.call("leave the container without a network", deadline) as client:
                client.connect_container_to_network(name, _NONE)
        except errors.Conflict:
            return  # it has one, by another attempt at the same


def _leave(engine: Engine, name: str, network: str, deadline: Deadline) -> None:
    try:
        with engine.call("detach the container from the network", deadline) as client:
            client.disconnect_container_from_network(name, network)
    except errors.NotFound:
        return
    except errors.Unavailable:
        # "Not connected" has no code of its own: a look tells.
        if network in (_networks(engine, name, deadline) or {}):
            raise


def _networks(engine: Engine, name: str, deadline: Deadline) -> dict[str, Any] | None:
    try:
        with engine.call("look at the container", deadline) as client:
            raw = client.inspect_container(name)
    except errors.NotFound:
        return None
    found: dict[str, Any] = raw["NetworkSettings"].get("Networks") or {}
    return found


def _address(endpoint: dict[str, Any]) -> str | None:
    asked = endpoint.get("IPAMConfig") or {}
    found: str | None = endpoint.get("IPAddress") or asked.get("IPv4Address")
    return found
