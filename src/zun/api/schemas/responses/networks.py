"""What networks answer (contract 2.5)."""

from __future__ import annotations

from zun.api.schemas.responses.base import (
    GONE,
    STRING,
    UUID,
    Operation,
    Resource,
    Success,
    ref,
    shape,
)

RESOURCE = Resource(
    name="networks",
    what="Networks for containers; for administrators.",
    fields={
        "network": "The uuid of a network, or its name in one's project.",
        "name": "The name, one of its kind in the project.",
        "Network.user_id": "The user who asked.",
        "network_id": "What the engines call it.",
        "neutron_net_id": "The same as `uuid`: where clients look for it.",
        "networks.neutron_net_id": "A network of Neutron, which this service has not: refused.",
    },
    schemas={
        "Network": shape(
            {
                "uuid": UUID,
                "name": STRING,
                "project_id": STRING,
                "user_id": STRING,
                "network_id": STRING,
                "neutron_net_id": UUID,
            }
        )
    },
    operations={
        "POST /v1/networks": Operation(
            summary="Make a network in one's project",
            description="A host gets it when the first of its containers comes to it.",
            answers={200: Success(what="The network.", schema=ref("Network"))},
            errors=(409,),
        ),
        "DELETE /v1/networks/{network}": Operation(
            summary="Remove a network that no container is on",
            answers={204: GONE},
            errors=(409,),
        ),
    },
)
