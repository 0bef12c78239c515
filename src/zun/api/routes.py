"""The URL table: path template -> method -> endpoint (contract 2). A method that is absent is a 405, a path a 404."""

from __future__ import annotations

from collections.abc import Mapping

from zun.api.endpoint import EVENT_STREAM, PLAIN, Endpoint, Takes
from zun.api.handlers import (
    availability_zones,
    capsules,
    container_actions,
    container_networks,
    containers,
    hosts,
    images,
    later,
    networks,
    openapi,
    quotas,
    registries,
    services,
    sessions,
    versions,
)
from zun.api.handlers import container_inside as inside
from zun.api.schemas import capsules as capsule_schemas
from zun.api.schemas import containers as schemas
from zun.api.schemas import create
from zun.api.schemas import hosts as host_schemas
from zun.api.schemas import images as image_schemas
from zun.api.schemas import networks as network_schemas
from zun.api.schemas import quotas as quota_schemas
from zun.api.schemas import registries as registry_schemas
from zun.api.schemas import services as service_schemas
from zun.api.schemas.lift import check_unknown
from zun.api.versions import HOST_CARE, LATER, Version
from zun.model.host import Mode
from zun.model.lifecycle import Action

Routes = Mapping[str, Mapping[str, Endpoint]]

_CONTAINERS = "/v1/containers"
_CONTAINER = "/v1/containers/{ident}"
_CAPSULES = "/v1/capsules"
_REGISTRIES = "/v1/registries"
_REGISTRY = "/v1/registries/{registry}"
_QUOTA = "/v1/quotas/{project}"
_IMAGES = "/v1/images"
_HOST = "/v1/hosts/{host}"

#: An image's name in a path, of one segment, two, ... : clients put it there as it is (contract 12).
#: All are one operation; OpenAPI knows the first (`openapi.document.described_as`).
_NAMES = tuple(
    ("{image}", *(f"{{part{n}}}" for n in range(2, length + 1))) for length in range(1, 9)
)


ROUTES: Routes = {
    "/": {"GET": Endpoint(handler=versions.root, public=True, versioned=False)},
    "/v1": {"GET": Endpoint(handler=versions.v1, public=True)},
    "/v1/openapi.json": {"GET": Endpoint(handler=openapi.serving(lambda: ROUTES), public=True)},
    _CONTAINERS: {
        "GET": Endpoint(handler=containers.list_all, takes=Takes.QUERY, params=schemas.LIST),
        "POST": Endpoint(
            handler=containers.create,
            takes=Takes.DOCUMENT,
            params=create.CREATE_QUERY,
            document=create.CREATE,
            check=check_unknown,
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
    f"{_CONTAINER}/execute_resize": {
        "POST": Endpoint(
            handler=sessions.execute_resize, takes=Takes.MERGED, params=schemas.EXECUTE_RESIZE
        )
    },
    f"{_CONTAINER}/attach": {"GET": Endpoint(handler=sessions.attach)},
    f"{_CONTAINER}/resize": {
        "POST": Endpoint(handler=sessions.resize, takes=Takes.MERGED, params=schemas.RESIZE)
    },
    f"{_CONTAINER}/top": {
        "GET": Endpoint(handler=inside.top, takes=Takes.QUERY, params=schemas.TOP)
    },
    f"{_CONTAINER}/stats": {"GET": Endpoint(handler=inside.stats)},
    f"{_CONTAINER}/get_archive": {
        "GET": Endpoint(handler=inside.get_archive, takes=Takes.QUERY, params=schemas.PATH)
    },
    f"{_CONTAINER}/put_archive": {
        "POST": Endpoint(
            handler=inside.put_archive,
            takes=Takes.MERGED,
            params=schemas.PUT_ARCHIVE,
            binary=frozenset({"data"}),
        )
    },
    f"{_CONTAINER}/resize_container": {
        "POST": Endpoint(
            handler=containers.resize_container,
            takes=Takes.CHANGES,
            params=schemas.RESIZE_CONTAINER,
            since=Version(1, 19),
        )
    },
    f"{_CONTAINER}/commit": {
        "POST": Endpoint(handler=images.commit, takes=Takes.MERGED, params=schemas.COMMIT)
    },
    f"{_CONTAINER}/network_list": {
        "GET": Endpoint(handler=container_networks.network_list, since=Version(1, 13))
    },
    f"{_CONTAINER}/network_attach": {
        "POST": Endpoint(
            handler=container_networks.attach,
            takes=Takes.MERGED,
            params=schemas.NETWORK_ATTACH,
            since=Version(1, 8),
        )
    },
    f"{_CONTAINER}/network_detach": {
        "POST": Endpoint(
            handler=container_networks.detach,
            takes=Takes.MERGED,
            params=schemas.NETWORK_DETACH,
            since=Version(1, 6),
        )
    },
    **{
        f"{_CONTAINER}/{action}": {
            "POST": Endpoint(
                handler=container_networks.security_group(action),
                takes=Takes.MERGED,
                params=schemas.SECURITY_GROUP,
                until=Version(1, 14),
            )
        }
        for action in ("add_security_group", "remove_security_group")
    },
    f"{_CONTAINER}/container_actions": {"GET": Endpoint(handler=container_actions.list_all)},
    f"{_CONTAINER}/container_actions/{{request_id}}": {
        "GET": Endpoint(handler=container_actions.show)
    },
    _CAPSULES: {
        "GET": Endpoint(handler=capsules.list_all, takes=Takes.QUERY, params=capsule_schemas.LIST),
        "POST": Endpoint(
            handler=capsules.create,
            takes=Takes.DOCUMENT,
            document=capsule_schemas.CREATE,
            unwrap=capsule_schemas.unwrap,
        ),
    },
    f"{_CAPSULES}/{{capsule}}": {
        "GET": Endpoint(handler=capsules.show),
        "DELETE": Endpoint(
            handler=capsules.delete, takes=Takes.MERGED, params=capsule_schemas.DELETE
        ),
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
    _HOST: {
        "GET": Endpoint(handler=hosts.show, since=Version(1, 4)),
        "DELETE": Endpoint(
            handler=hosts.delete, takes=Takes.MERGED, params=host_schemas.DELETE, since=HOST_CARE
        ),
    },
    f"{_HOST}/drain": {
        "POST": Endpoint(
            handler=hosts.putting_into("host:drain", Mode.DRAINING),
            takes=Takes.MERGED,
            params=host_schemas.REASON,
            since=HOST_CARE,
        )
    },
    f"{_HOST}/maintenance": {
        "POST": Endpoint(
            handler=hosts.putting_into("host:maintenance", Mode.MAINTENANCE),
            takes=Takes.MERGED,
            params=host_schemas.REASON,
            since=HOST_CARE,
        )
    },
    f"{_HOST}/enable": {
        "POST": Endpoint(handler=hosts.putting_into("host:enable", None), since=HOST_CARE)
    },
    "/v1/services": {
        "GET": Endpoint(handler=services.list_all),
        "DELETE": Endpoint(
            handler=services.delete, takes=Takes.MERGED, params=service_schemas.SERVICE
        ),
    },
    "/v1/services/enable": {
        "PUT": Endpoint(handler=services.enable, takes=Takes.MERGED, params=service_schemas.SERVICE)
    },
    "/v1/services/disable": {
        "PUT": Endpoint(
            handler=services.disable, takes=Takes.MERGED, params=service_schemas.DISABLE
        )
    },
    "/v1/services/force_down": {
        "PUT": Endpoint(
            handler=services.force_down, takes=Takes.MERGED, params=service_schemas.FORCE_DOWN
        )
    },
    "/v1/availability_zones": {
        "GET": Endpoint(
            handler=availability_zones.list_all, takes=Takes.QUERY, params=host_schemas.LIST
        )
    },
    _REGISTRIES: {
        "GET": Endpoint(
            handler=registries.list_all, takes=Takes.QUERY, params=registry_schemas.LIST
        ),
        "POST": Endpoint(
            handler=registries.create, takes=Takes.DOCUMENT, document=registry_schemas.CREATE
        ),
    },
    _REGISTRY: {
        "GET": Endpoint(handler=registries.show),
        "PATCH": Endpoint(
            handler=registries.update, takes=Takes.CHANGES, params=registry_schemas.UPDATE
        ),
        "DELETE": Endpoint(handler=registries.delete),
    },
    _QUOTA: {
        "GET": Endpoint(handler=quotas.show, takes=Takes.QUERY, params=quota_schemas.SHOW),
        "PUT": Endpoint(handler=quotas.update, takes=Takes.MERGED, params=quota_schemas.UPDATE),
        "DELETE": Endpoint(handler=quotas.delete),
    },
    f"{_QUOTA}/defaults": {"GET": Endpoint(handler=quotas.show_defaults)},
    "/v1/quota_classes/{name}": {
        "GET": Endpoint(handler=quotas.show_class),
        "PUT": Endpoint(
            handler=quotas.update_class, takes=Takes.MERGED, params=quota_schemas.UPDATE
        ),
    },
    _IMAGES: {
        "GET": Endpoint(handler=images.list_all, takes=Takes.QUERY, params=image_schemas.LIST),
        "POST": Endpoint(handler=images.pull, takes=Takes.DOCUMENT, document=image_schemas.PULL),
    },
    f"{_IMAGES}/{{image}}": {
        "GET": Endpoint(handler=images.show),
        "DELETE": Endpoint(handler=images.delete),
    },
    **{
        f"{_IMAGES}/{'/'.join(parts)}/search": {
            "GET": Endpoint(handler=images.search, takes=Takes.QUERY, params=image_schemas.SEARCH)
        }
        for parts in _NAMES
    },
    # Listing networks is not part of the contract, which wants a 405 here.
    "/v1/networks": {
        "POST": Endpoint(
            handler=networks.create, takes=Takes.DOCUMENT, document=network_schemas.CREATE
        )
    },
    "/v1/networks/{network}": {"DELETE": Endpoint(handler=networks.delete, since=Version(1, 27))},
}
