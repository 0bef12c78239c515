"""What a container's networks answer (contract 2.1, 6)."""

from __future__ import annotations

from zun.api.schemas.responses.base import (
    ACCEPTED,
    NULL,
    STRING,
    UUID,
    Operation,
    Resource,
    Schema,
    Success,
    listing,
    nullable,
    ref,
    shape,
)

_FIXED_IP: dict[str, Schema] = {
    "subnet_id": nullable(STRING),
    "version": {"enum": [4, 6]},
    "ip_address": STRING,
}
_NO_NEUTRON = "Security groups are Neutron's. This service has no Neutron: it refuses every such request with a 400."

RESOURCE = Resource(
    name="container networks",
    what="The networks a container is on.",
    fields={
        "networks": "Where it is: a port each; up to microversion 1.17 an address each.",
        "net_id": "The network.",
        "port_id": "The container's port on it.",
        "fixed_ips": "The addresses of the port.",
        "subnet_id": "The subnet the address is of.",
        "version": "Of IP.",
        "ip_address": "The address.",
        "network": "A network: uuid or name.",
        "network_attach.network": "The network, by uuid or name; where none is given, the project's own.",
        "network_attach.port": "A port of Neutron, which this service has not: refused.",
        "network_detach.port": "The container's port on the network, in place of the network.",
        "fixed_ip": "The IPv4 address to get there.",
        "add_security_group.name": "The group.",
        "remove_security_group.name": "The group.",
    },
    schemas={
        "AttachedPort": shape(
            {"net_id": UUID, "port_id": STRING, "fixed_ips": listing(shape(_FIXED_IP))}
        )
        | {"description": "A port of a container."},
        "AttachedAddress": shape({"net_id": UUID, "port_id": STRING, **_FIXED_IP})
        | {"description": "An address of a container, as told up to microversion 1.17."},
    },
    operations={
        "GET /v1/containers/{ident}/network_list": Operation(
            summary="List the networks a container is on",
            description="No rule of its own: for everybody in the container's project.",
            answers={
                200: Success(
                    what="All of them.",
                    schema=shape(
                        {
                            "networks": {
                                "anyOf": [
                                    listing(ref("AttachedPort")),
                                    listing(ref("AttachedAddress")),
                                ]
                            }
                        }
                    ),
                )
            },
        ),
        "POST /v1/containers/{ident}/network_attach": Operation(
            summary="Put a container on one more network",
            description="It happens after the answer: watch `addresses`.",
            answers={200: Success(what="Accepted; it happens later.", schema=NULL)},
        ),
        "POST /v1/containers/{ident}/network_detach": Operation(
            summary="Take a container off a network",
            description="It happens after the answer: watch `addresses`. Exactly one of `network` and `port` must "
            "be given.",
            answers={202: ACCEPTED},
        ),
        "POST /v1/containers/{ident}/add_security_group": Operation(
            summary="Add a security group to a container", description=_NO_NEUTRON, answers={}
        ),
        "POST /v1/containers/{ident}/remove_security_group": Operation(
            summary="Remove a security group from a container", description=_NO_NEUTRON, answers={}
        ),
    },
)
