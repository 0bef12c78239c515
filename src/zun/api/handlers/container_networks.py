"""A container's networks (contract 2.1, 6)."""

from __future__ import annotations

from zun.api.endpoint import Answer, Call, Handler
from zun.api.versions import Version
from zun.api.views import usage as views
from zun.service.errors import Invalid
from zun.service.networks import AttachRequest

_BY_PORT = Version(1, 18)


def network_list(call: Call) -> Answer:
    """GET /containers/{ident}/network_list; no rule of its own."""
    container = call.container()
    shape = views.by_port if call.version >= _BY_PORT else views.by_address
    return Answer(200, {"networks": shape(container)})


def attach(call: Call) -> Answer:
    """POST /containers/{ident}/network_attach: 200, and the rest happens later."""
    container = call.container("container:network_attach")
    if "network" in call.params and "port" in call.params:
        raise Invalid("network, port: only one of them can be given")
    call.services.networks.attach(call.caller, container, AttachRequest(**call.params))
    return Answer(200)


def detach(call: Call) -> Answer:
    """POST /containers/{ident}/network_detach."""
    container = call.container("container:network_detach")
    network, port = call.params.get("network"), call.params.get("port")
    call.services.networks.detach(call.caller, container, network, port)
    return Answer(202)


def security_group(action: str) -> Handler:
    """POST /containers/{ident}/add_security_group and remove_security_group, up to 1.14."""

    def refuse(call: Call) -> Answer:
        call.container(f"container:{action}")
        raise Invalid("name: security groups need Neutron, which is not configured")

    return refuse
