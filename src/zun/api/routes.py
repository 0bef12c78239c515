"""The URL table: path template -> method -> endpoint (contract 2). A method that is absent is a 405, a path a 404."""

from __future__ import annotations

from collections.abc import Mapping

from zun.api.endpoint import EVENT_STREAM, PLAIN, Endpoint, Takes
from zun.api.handlers import container_actions, containers, hosts, later, services, versions
from zun.api.schemas import containers as schemas
from zun.api.schemas import create
from zun.api.schemas import hosts as host_schemas
from zun.api.versions import LATER, Version
from zun.model.lifecycle import Action

Routes = Mapping[str, Mapping[str, Endpoint]]

_CONTAINERS = "/v1/containers"
_CONTAINER = "/v1/containers/{ident}"


ROUTES: Routes = {
    "/": {"GET": Endpoint(handler=versions.root, public=True, versioned=False)},
    "/v1": {"GET": Endpoint(handler=versions.v1, public=True)},
    _CONTAINERS: {
        "GET": Endpoint(handler=containers.list_all, takes=Takes.QUERY, params=schemas.LIST),
        "POST": Endpoint(
            handler=containers.create,
            takes=Takes.DOCUMENT,
            params=create.CREATE_QUERY,
            document=create.CREATE,
        ),
    },
    _CONTAINER: {
        "GET": Endpoint(handler=containers.show, takes=Takes.QUERY, params=schemas.SHOW),
        "PATCH": Endpoint(handler=containers.update, takes=Takes.CHANGES, params=schemas.UPDATE),
        "DELETE": Endpoint(handler=containers.delete, takes=Takes.MERGED, params=schemas.DELETE),
    },
    f"{_CONTAINER}/start": {"POST": Endpoint(handler=containers.acting(Action.START))},
    f"{_CONTAINER}/stop": {
        "POST": Endpoint(
            handler=containers.acting(Action.STOP), takes=Takes.MERGED, params=schemas.TIMEOUT
        )
    },
    f"{_CONTAINER}/reboot": {
        "POST": Endpoint(
            handler=containers.acting(Action.REBOOT), takes=Takes.MERGED, params=schemas.TIMEOUT
        )
    },
    f"{_CONTAINER}/pause": {"POST": Endpoint(handler=containers.acting(Action.PAUSE))},
    f"{_CONTAINER}/unpause": {"POST": Endpoint(handler=containers.acting(Action.UNPAUSE))},
    f"{_CONTAINER}/kill": {
        "POST": Endpoint(handler=containers.kill, takes=Takes.MERGED, params=schemas.KILL)
    },
    f"{_CONTAINER}/rebuild": {
        "POST": Endpoint(handler=containers.rebuild, takes=Takes.MERGED, params=schemas.REBUILD)
    },
    f"{_CONTAINER}/rename": {
        "POST": Endpoint(
            handler=containers.rename,
            takes=Takes.MERGED,
            params=schemas.RENAME,
            until=Version(1, 13),
        )
    },
    f"{_CONTAINER}/logs": {
        "GET": Endpoint(
            handler=containers.logs, takes=Takes.QUERY, params=schemas.LOGS, produces=(PLAIN,)
        )
    },
    f"{_CONTAINER}/execute": {
        "POST": Endpoint(handler=containers.execute, takes=Takes.MERGED, params=schemas.EXECUTE)
    },
    f"{_CONTAINER}/container_actions": {"GET": Endpoint(handler=container_actions.list_all)},
    f"{_CONTAINER}/container_actions/{{request_id}}": {
        "GET": Endpoint(handler=container_actions.show)
    },
    "/v1/events": {
        "GET": Endpoint(
            handler=later.events,
            takes=Takes.QUERY,
            params=schemas.EVENTS,
            since=LATER,
            produces=(EVENT_STREAM,),
        )
    },
    "/v1/hosts": {
        "GET": Endpoint(
            handler=hosts.list_all, takes=Takes.QUERY, params=host_schemas.LIST, since=Version(1, 4)
        )
    },
    "/v1/hosts/{host}": {"GET": Endpoint(handler=hosts.show, since=Version(1, 4))},
    "/v1/services": {"GET": Endpoint(handler=services.list_all)},
    # Listing networks is not part of the contract, which wants a 405 here; POST and DELETE come with Neutron.
    "/v1/networks": {},
    "/v1/networks/{network}": {},
}
