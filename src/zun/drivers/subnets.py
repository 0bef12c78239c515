"""What all network drivers make of subnets and ports."""

from __future__ import annotations

import ipaddress

from zun.drivers import errors
from zun.drivers.network import PortSpec
from zun.drivers.runtime import Attachment
from zun.model.names import network_name

Subnet = ipaddress.IPv4Network | ipaddress.IPv6Network


def checked_subnet(text: str) -> Subnet:
    """The subnet of a CIDR. Rejected if it is none: engines say it as if it were a trouble of theirs."""
    try:
        return ipaddress.ip_network(text)
    except ValueError as e:
        raise errors.Rejected("this is no subnet in CIDR notation") from e


def attachment(port: PortSpec) -> Attachment:
    """A port as the runtime is told of it."""
    v6 = ":" in port.address
    return Attachment(
        network=network_name(port.network_uuid),
        address_v4=None if v6 else port.address,
        address_v6=port.address if v6 else None,
    )
