"""Networks on the container engine: for administrators (contract 2.5)."""

from __future__ import annotations

from zun.api.endpoint import Answer, Call
from zun.api.errors import clip
from zun.model.names import network_name
from zun.service.errors import Invalid, NotFound


def create(call: Call) -> Answer:
    """POST /networks: in the caller's own project; 200."""
    call.authorize("network:create")
    if call.body.get("neutron_net_id"):
        raise Invalid("neutron_net_id: needs Neutron, which is not configured")
    network = call.services.networks.create(call.caller, call.body["name"])
    return Answer(
        200,
        {
            "uuid": network.uuid,
            "name": network.name,
            "project_id": network.project_id,
            "user_id": call.caller.user_id,
            "network_id": network_name(network.uuid),
            # The id by which clients delete it, and by which it is known in `addresses`.
            "neutron_net_id": network.uuid,
        },
    )


def delete(call: Call) -> Answer:
    """DELETE /networks/{network}, by uuid or by name."""
    call.authorize("network:delete")
    ident = call.path["network"]
    if len(ident) > 255 or not ident.isprintable():
        raise NotFound(f"There is no network {clip(ident)}.", slug="network-not-found")
    call.services.networks.delete(call.caller, ident)
    return Answer(204)
