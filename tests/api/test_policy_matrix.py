"""Every endpoint, asked by everybody: 401, 404 before 403, 403, or what it does (contract 10, 13.1-9).

A route without a row here fails `test_every_route_has_a_row`: say who may call it.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pytest

from zun.api.middleware.http_basic import HttpBasic
from zun.api.openapi.document import described_as
from zun.api.routes import ROUTES
from zun.model.lifecycle import Status

#: Who asks, and with which roles, in which project; everything asked for is in p1.
WHO = {
    "other": ("member", "p2"),
    "reader": ("reader", "p1"),
    "member": ("member", "p1"),
    "manager": ("manager", "p1"),
    "admin": ("admin", "ops"),
}


HOST = "host1.example.com"


@dataclass(frozen=True)
class Row:
    """What one endpoint is asked, and the status each of WHO gets, in that order.

    `needs` makes what the path names, and fills the path's variables: {c} a container, {r} a registry, ...
    """

    path: str
    statuses: tuple[int, ...]
    needs: Callable[[Any], dict[str, str]] = lambda api: {}
    query: str = ""
    json: Any = None
    version: str = "latest"


_numbers = itertools.count()


def _a(**values: Any) -> Callable[[Any], dict[str, str]]:
    """A container."""
    return lambda api: {"c": api.seed(name=f"web{next(_numbers)}", **values).uuid}


def _registry(api: Any) -> dict[str, str]:
    made = api.post("/v1/registries", json={"registry": {"domain": "r.example.com"}})
    return {"r": made.json["registry"]["uuid"]}


def _host(api: Any) -> dict[str, str]:
    # After the host that answers questions: the first one is asked to search.
    name = f"other{next(_numbers)}.example.com"
    api.seed_host(name)
    return {"h": name}


def _capsule(api: Any) -> dict[str, str]:
    made = api.post(CAPSULES, json=CAPSULE, project="p1")
    return {"k": made.json["uuid"]}


def _image(api: Any) -> dict[str, str]:
    return {"i": api.seed_image(f"image{next(_numbers)}").uuid}


def _network(api: Any) -> dict[str, str]:
    return {"n": api.seed_network(f"net{next(_numbers)}").uuid}


def _attached(api: Any) -> dict[str, str]:
    row = api.seed(name=f"web{next(_numbers)}")
    return {"c": row.uuid, "n": api.seed_network(f"net{next(_numbers)}", row).uuid}


def _action(api: Any) -> dict[str, str]:
    made = api.post("/v1/containers", json={"image": "busybox"})
    return {"c": made.json["uuid"], "q": made.headers["x-openstack-request-id"]}


def everybody(ok: int) -> tuple[int, ...]:
    """Any role in the caller's own project; nothing is named that another could not know."""
    return (ok,) * 5


def readers(ok: int, foreign: int = 404) -> tuple[int, ...]:
    return (foreign, ok, ok, ok, ok)


def members(ok: int, foreign: int = 404) -> tuple[int, ...]:
    return (foreign, 403, ok, ok, ok)


def admins(ok: int) -> tuple[int, ...]:
    return (403, 403, 403, 403, ok)


C, R, Q = "/v1/containers", "/v1/registries", "/v1/quotas/p1"
IMAGES, N = "/v1/images", "/v1/networks"
CAPSULES = "/v1/capsules"
CAPSULE = {
    "template": {"kind": "capsule", "metadata": {}, "spec": {"containers": [{"image": "busybox"}]}}
}
running, stopped, paused = _a(), _a(status=Status.STOPPED), _a(status=Status.PAUSED)
interactive = _a(interactive=True)
SERVICE = "host={h}&binary=zun-compute"

ROWS: dict[tuple[str, str], list[Row]] = {
    ("GET", "/"): [Row("/", everybody(200))],
    ("GET", "/v1"): [Row("/v1", everybody(200))],
    ("GET", "/v1/openapi.json"): [Row("/v1/openapi.json", everybody(200))],
    ("GET", C): [
        Row(C, everybody(200)),
        Row(C, admins(200), query="all_projects=true"),
        Row(C, admins(200), query="host=h"),
    ],
    ("POST", C): [
        Row(C, (202, 403, 202, 202, 202), json={"image": "busybox"}),
        Row(C, admins(202), json={"image": "busybox", "image_pull_policy": "never"}),
        Row(C, admins(202), json={"image": "busybox", "runtime": "runc"}),
        Row(C, admins(202), _host, json={"image": "busybox", "host": "{h}"}),
        Row(C, everybody(403), json={"image": "busybox", "privileged": False}),
        Row(C, (404, 403, 202, 202, 202), _registry, json={"image": "busybox", "registry": "{r}"}),
    ],
    ("GET", f"{C}/{{ident}}"): [
        Row(f"{C}/{{c}}", readers(200), running),
        Row(f"{C}/{{c}}", admins(200), running, query="all_projects=true"),
    ],
    ("PATCH", f"{C}/{{ident}}"): [Row(f"{C}/{{c}}", members(200), running, json={"name": "new"})],
    ("DELETE", f"{C}/{{ident}}"): [
        Row(f"{C}/{{c}}", members(204), stopped),
        Row(f"{C}/{{c}}", members(204), running, query="stop=true"),
        Row(f"{C}/{{c}}", (404, 403, 403, 403, 204), running, query="force=true"),
        Row(f"{C}/{{c}}", (404, 403, 403, 403, 204), stopped, query="all_projects=true"),
    ],
    ("POST", f"{C}/{{ident}}/start"): [Row(f"{C}/{{c}}/start", members(202), stopped)],
    ("POST", f"{C}/{{ident}}/stop"): [Row(f"{C}/{{c}}/stop", members(202), running)],
    ("POST", f"{C}/{{ident}}/reboot"): [Row(f"{C}/{{c}}/reboot", members(202), running)],
    ("POST", f"{C}/{{ident}}/pause"): [Row(f"{C}/{{c}}/pause", members(202), running)],
    ("POST", f"{C}/{{ident}}/unpause"): [Row(f"{C}/{{c}}/unpause", members(202), paused)],
    ("POST", f"{C}/{{ident}}/kill"): [Row(f"{C}/{{c}}/kill", members(202), running)],
    ("POST", f"{C}/{{ident}}/rebuild"): [Row(f"{C}/{{c}}/rebuild", members(202), running)],
    ("POST", f"{C}/{{ident}}/rename"): [
        Row(f"{C}/{{c}}/rename", members(200), running, query="name=new", version="1.13")
    ],
    ("GET", f"{C}/{{ident}}/logs"): [Row(f"{C}/{{c}}/logs", readers(200), running)],
    ("POST", f"{C}/{{ident}}/execute"): [
        Row(f"{C}/{{c}}/execute", members(200), running, query="command=ls")
    ],
    ("POST", f"{C}/{{ident}}/execute_resize"): [
        Row(f"{C}/{{c}}/execute_resize", members(200), running, query=f"h=1&w=1&exec_id={'a' * 64}")
    ],
    ("GET", f"{C}/{{ident}}/attach"): [Row(f"{C}/{{c}}/attach", members(200), interactive)],
    ("POST", f"{C}/{{ident}}/resize"): [
        Row(f"{C}/{{c}}/resize", members(200), running, query="h=1&w=1")
    ],
    ("GET", f"{C}/{{ident}}/top"): [Row(f"{C}/{{c}}/top", readers(200), running)],
    ("GET", f"{C}/{{ident}}/stats"): [Row(f"{C}/{{c}}/stats", readers(200), running)],
    ("GET", f"{C}/{{ident}}/get_archive"): [
        Row(f"{C}/{{c}}/get_archive", members(200), running, query="path=/tmp")
    ],
    ("POST", f"{C}/{{ident}}/put_archive"): [
        Row(f"{C}/{{c}}/put_archive", members(200), running, query="path=/tmp", json={"data": "dGFy"})
    ],
    ("POST", f"{C}/{{ident}}/resize_container"): [
        Row(f"{C}/{{c}}/resize_container", members(202), running, query="auto_heal=true")
    ],
    ("POST", f"{C}/{{ident}}/commit"): [
        Row(f"{C}/{{c}}/commit", members(202), running, query="repository=made-of-{c}")
    ],
    # No rule of its own (contract 2.1).
    ("GET", f"{C}/{{ident}}/network_list"): [Row(f"{C}/{{c}}/network_list", readers(200), running)],
    ("POST", f"{C}/{{ident}}/network_attach"): [
        Row(f"{C}/{{c}}/network_attach", members(200), running)
    ],
    ("POST", f"{C}/{{ident}}/network_detach"): [
        Row(f"{C}/{{c}}/network_detach", members(202), _attached, query="network={n}")
    ],
    # Without Neutron there are none, for nobody.
    ("POST", f"{C}/{{ident}}/add_security_group"): [
        Row(f"{C}/{{c}}/add_security_group", members(400), running, query="name=web", version="1.14")
    ],
    ("POST", f"{C}/{{ident}}/remove_security_group"): [
        Row(f"{C}/{{c}}/remove_security_group", members(400), running, query="name=web", version="1.14")
    ],
    ("GET", IMAGES): [Row(IMAGES, admins(200))],
    ("POST", IMAGES): [Row(IMAGES, admins(202), json={"repo": "alpine", "host": HOST})],
    ("GET", f"{IMAGES}/{{image}}"): [Row(f"{IMAGES}/{{i}}", admins(200), _image)],
    ("DELETE", f"{IMAGES}/{{image}}"): [Row(f"{IMAGES}/{{i}}", admins(200), _image)],
    ("GET", f"{IMAGES}/{{image}}/search"): [
        Row(f"{IMAGES}/alpine/search", everybody(200)),
        Row(f"{IMAGES}/r.example.com:5000/a/b/search", everybody(200)),
    ],
    ("POST", N): [Row(N, admins(200), json={"name": "blue"})],
    ("DELETE", f"{N}/{{network}}"): [Row(f"{N}/{{n}}", admins(204), _network)],
    ("GET", f"{C}/{{ident}}/container_actions"): [
        Row(f"{C}/{{c}}/container_actions", readers(200), running)
    ],
    ("GET", f"{C}/{{ident}}/container_actions/{{request_id}}"): [
        Row(f"{C}/{{c}}/container_actions/{{q}}", readers(200), _action)
    ],
    ("GET", "/v1/hosts"): [Row("/v1/hosts", admins(200))],
    ("GET", "/v1/hosts/{host}"): [Row("/v1/hosts/{h}", admins(200), _host)],
    ("DELETE", "/v1/hosts/{host}"): [Row("/v1/hosts/{h}", admins(409), _host)],  # it is up
    ("POST", "/v1/hosts/{host}/drain"): [Row("/v1/hosts/{h}/drain", admins(200), _host)],
    ("POST", "/v1/hosts/{host}/maintenance"): [
        Row("/v1/hosts/{h}/maintenance", admins(200), _host, query="reason=new+disks")
    ],
    ("POST", "/v1/hosts/{host}/enable"): [Row("/v1/hosts/{h}/enable", admins(200), _host)],
    ("GET", "/v1/services"): [Row("/v1/services", admins(200))],
    ("DELETE", "/v1/services"): [Row("/v1/services", admins(200), _host, query=SERVICE)],
    ("PUT", "/v1/services/enable"): [
        Row("/v1/services/enable", admins(200), _host, query=SERVICE)
    ],
    ("PUT", "/v1/services/disable"): [
        Row("/v1/services/disable", admins(200), _host, query=SERVICE)
    ],
    ("PUT", "/v1/services/force_down"): [
        Row("/v1/services/force_down", admins(200), _host, query=f"{SERVICE}&forced_down=True")
    ],
    # Allowed, and then not served: there is no server of long-lived answers beside this one.
    ("GET", "/v1/events"): [
        Row("/v1/events", everybody(503)),
        Row("/v1/events", admins(503), query="all_projects=true"),
    ],
    ("GET", "/v1/availability_zones"): [Row("/v1/availability_zones", everybody(200))],
    # Who may not see all projects is shown their own (contract 2.0).
    ("GET", CAPSULES): [
        Row(CAPSULES, everybody(200)),
        Row(CAPSULES, everybody(200), query="all_projects=true"),
    ],
    ("POST", CAPSULES): [Row(CAPSULES, (202, 403, 202, 202, 202), json=CAPSULE)],
    ("GET", f"{CAPSULES}/{{capsule}}"): [Row(f"{CAPSULES}/{{k}}", readers(200), _capsule)],
    ("DELETE", f"{CAPSULES}/{{capsule}}"): [
        Row(f"{CAPSULES}/{{k}}", members(204), _capsule),
        Row(f"{CAPSULES}/{{k}}", (404, 403, 403, 403, 204), _capsule, query="all_projects=true"),
    ],
    ("GET", R): [Row(R, everybody(200)), Row(R, admins(200), query="all_projects=true")],
    ("POST", R): [Row(R, (201, 403, 201, 201, 201), json={"registry": {"domain": "d.example.com"}})],
    ("GET", f"{R}/{{registry}}"): [Row(f"{R}/{{r}}", readers(200), _registry)],
    ("PATCH", f"{R}/{{registry}}"): [
        Row(f"{R}/{{r}}", members(200), _registry, json={"registry": {"name": "new"}})
    ],
    ("DELETE", f"{R}/{{registry}}"): [Row(f"{R}/{{r}}", members(204), _registry)],
    # A project is no row of ours: a foreign one is a 403 (contract 2.5).
    ("GET", "/v1/quotas/{project}"): [Row(Q, readers(200, foreign=403))],
    ("GET", "/v1/quotas/{project}/defaults"): [Row(f"{Q}/defaults", readers(200, foreign=403))],
    ("PUT", "/v1/quotas/{project}"): [Row(Q, admins(200), query="disk=-1")],
    ("DELETE", "/v1/quotas/{project}"): [Row(Q, admins(200))],
    ("GET", "/v1/quota_classes/{name}"): [Row("/v1/quota_classes/gold", admins(200))],
    ("PUT", "/v1/quota_classes/{name}"): [Row("/v1/quota_classes/gold", admins(200), query="cpu=1")],
}  # fmt: skip


ASKED = [
    pytest.param(method, row, id=f"{method} {template} {row.query or list(row.json or ())}")
    for (method, template), rows in ROWS.items()
    for row in rows
]


@pytest.fixture(scope="module")
def house(make_api: Any) -> Any:
    api = make_api()
    api.seed_host()
    return api


@pytest.fixture(scope="module")
def closed_house(make_api: Any, tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("nobody")
    (folder / "htpasswd").write_text("")
    (folder / "identities.yaml").write_text("")
    return make_api(
        authenticate=lambda app: HttpBasic(
            app, htpasswd=folder / "htpasswd", identities=folder / "identities.yaml"
        )
    )


def _ask(api: Any, method: str, row: Row, names: dict[str, str], **who: str) -> Any:
    def filled(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: filled(item) for key, item in value.items()}
        if isinstance(value, list):
            return [filled(item) for item in value]
        return value.format(**names) if isinstance(value, str) else value

    return api.request(
        method, filled(row.path), query=filled(row.query), json=filled(row.json), version=row.version, **who
    )  # fmt: skip


def test_every_route_has_a_row() -> None:
    routes = {
        (method, described_as(path)) for path, methods in ROUTES.items() for method in methods
    }
    assert routes == set(ROWS)


@pytest.mark.parametrize(("method", "row"), ASKED)
def test_who_may(house: Any, method: str, row: Row) -> None:
    got = []
    for roles, project in WHO.values():
        answer = _ask(house, method, row, row.needs(house), roles=roles, project=project)
        got.append(answer.status)
        if answer.status == 403:
            assert answer.error["code"] == "container.policy-not-authorized"
    assert dict(zip(WHO, got, strict=True)) == dict(zip(WHO, row.statuses, strict=True))


@pytest.mark.parametrize(("method", "row"), ASKED)
def test_nobody_gets_past_authentication(closed_house: Any, method: str, row: Row) -> None:
    names = dict.fromkeys("crhqink", "x")
    answer = _ask(closed_house, method, row, names, roles="admin", project="p1")
    assert answer.status == (200 if row.path in ("/", "/v1", "/v1/openapi.json") else 401)


def test_an_identity_without_a_role_of_ours_may_nothing(house: Any) -> None:
    for path in (C, R, Q, "/v1/availability_zones", CAPSULES, IMAGES, f"{IMAGES}/alpine/search"):
        assert house.get(path, roles="auditor").status == 403, path
    assert house.get(f"{C}/{running(house)['c']}", roles="auditor").status == 403
