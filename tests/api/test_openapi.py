"""The OpenAPI document: whole, valid, true to the routes, and served to everybody.

That answers are as it says is checked with every answer of every test here, by the `api` fixture.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator
from tests.support.conformance import Conformance

from zun.api.openapi.document import (
    build,
    described_as,
    rules_of,
    shape_of,
    undocumented,
    unrouted,
)
from zun.api.policies import list_rules
from zun.api.routes import ROUTES
from zun.api.schemas.responses import RESOURCES
from zun.api.settings import ApiSettings

DOCUMENT = build(ROUTES, ApiSettings())
OPERATIONS = {
    f"{method.upper()} {path}": operation
    for path, item in DOCUMENT["paths"].items()
    for method, operation in item.items()
}
#: Operations that no policy rule is about, though they are not for everybody (contract 2.1).
WITHOUT_RULE = frozenset({"GET /v1/containers/{ident}/network_list"})
#: Rules about operations that are not served yet.
WITHOUT_ROUTE: frozenset[str] = frozenset()


def test_every_route_is_described() -> None:
    assert undocumented(ROUTES) == [], "add them to zun/api/schemas/responses/<resource>.py"
    assert unrouted(ROUTES) == [], "these describe no route"


def test_a_route_that_is_not_described_is_named_and_left_out() -> None:
    routes = {**ROUTES, "/v1/new": ROUTES["/v1/availability_zones"]}
    assert undocumented(routes) == ["GET /v1/new"]
    assert "/v1/new" not in build(routes, ApiSettings())["paths"]
    assert "GET /v1" in unrouted({})


def test_a_name_of_many_segments_is_described_once() -> None:
    search = "/v1/images/{image}/search"
    longer = "/v1/images/{image}/{part2}/{part3}/search"
    assert described_as(longer) == described_as(search) == search
    assert [path for path in DOCUMENT["paths"] if path.endswith("/search")] == [search]
    assert len([path for path in ROUTES if described_as(path) == search]) == 8
    # What answers otherwise is something else, whatever its variables are called.
    routes = {**ROUTES, longer: ROUTES["/v1/services"]}
    found = set(undocumented(routes)) - set(undocumented(ROUTES))
    assert found == {f"{method} {longer}" for method in routes[longer]}


def test_it_is_valid() -> None:
    assert [error.message for error in OpenAPIV31SpecValidator(DOCUMENT).iter_errors()] == []


def _nodes(node: Any, where: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    if isinstance(node, dict):
        yield where, node
        for key, value in node.items():
            yield from _nodes(value, f"{where}/{key}")
    elif isinstance(node, list):
        for index, value in enumerate(node):
            yield from _nodes(value, f"{where}/{index}")


def test_every_field_and_parameter_is_explained() -> None:
    silent = [
        f"{where}/{name}"
        for where, node in _nodes(DOCUMENT)
        if isinstance(node.get("properties"), dict) and "type" in node
        for name, field in node["properties"].items()
        if not field.get("description")
    ]
    silent += [
        f"{key}: {parameter['name']}"
        for key, operation in OPERATIONS.items()
        for parameter in operation.get("parameters", ())
        if "name" in parameter and not parameter["description"]
    ]
    assert silent == [], "add them to `fields` of the resource"


def test_nothing_of_ours_is_left_in_the_schemas() -> None:
    ours = {"x-why", "x-range", "x-bytes"}
    assert [where for where, node in _nodes(DOCUMENT) if ours & set(node)] == []


def test_names_are_unique() -> None:
    ids = [operation["operationId"] for operation in OPERATIONS.values()]
    assert len(ids) == len(set(ids))
    names = [name for resource in RESOURCES for name in resource.schemas]
    assert len(names) == len(set(names))
    keys = [key for resource in RESOURCES for key in resource.operations]
    assert len(keys) == len(set(keys))


def test_every_reference_leads_somewhere() -> None:
    for _, node in _nodes(DOCUMENT):
        if "$ref" in node:
            kind, name = node["$ref"].split("/")[2:]
            assert name in DOCUMENT["components"][kind]


def test_operations_and_rules_fit_together() -> None:
    without = {
        key
        for key, operation in OPERATIONS.items()
        if operation.get("security") != [] and "x-openstack-policy" not in operation
    }
    assert without == WITHOUT_RULE
    known = {(key.split(" ")[0], shape_of(key.split(" ")[1])) for key in OPERATIONS}
    lost = {
        rule.name
        for rule in list_rules()
        for about in getattr(rule, "operations", ())
        if (about["method"], shape_of(about["path"])) not in known
    }
    assert lost == WITHOUT_ROUTE
    assert rules_of("POST", "/v1/containers/{ident}/kill") == ["container:kill"]


def test_microversions_are_told() -> None:
    create = OPERATIONS["POST /v1/containers"]
    fields = create["requestBody"]["content"]["application/json"]["schema"]["properties"]
    since = {
        name: field["x-openstack-min-version"]
        for name, field in fields.items()
        if "x-openstack-min-version" in field
    }
    assert since == {
        "auto_remove": "1.3", "runtime": "1.5", "hostname": "1.9", "mounts": "1.11", "privileged": "1.21",
        "healthcheck": "1.22", "exposed_ports": "1.24", "registry": "1.31", "host": "1.39", "entrypoint": "1.40",
        "max_run_time": "1.44",
    }  # fmt: skip
    assert OPERATIONS["GET /v1/hosts"]["x-openstack-min-version"] == "1.4"
    assert OPERATIONS["POST /v1/containers/{ident}/rename"]["x-openstack-max-version"] == "1.13"
    assert "x-openstack-max-version" not in create


def test_bounds_are_those_of_the_operator() -> None:
    document = build(ROUTES, ApiSettings(maximum_memory=123_456))
    body = document["paths"]["/v1/containers"]["post"]["requestBody"]
    memory = body["content"]["application/json"]["schema"]["properties"]["memory"]
    assert memory["maximum"] == 123_456
    assert "123456 (MiB)" in memory["description"]


def test_an_object_is_told_in_the_body_alone() -> None:
    change = OPERATIONS["PATCH /v1/registries/{registry}"]
    assert {parameter.get("in") for parameter in change["parameters"]} == {"path", None}
    body = change["requestBody"]
    assert (body["required"], "description" in body) == (True, False)
    assert body["content"]["application/json"]["schema"]["required"] == ["registry"]


@pytest.mark.parametrize("path", ["/v1/openapi.json", "/openapi.json", "/v1/openapi.json/"])
def test_it_is_served_to_everybody(make_api: Any, path: str) -> None:
    def nobody(_app: Any) -> Any:
        raise_for: Any = AssertionError("authentication was asked")

        def refuse(_environ: Any, _start_response: Any) -> Any:
            raise raise_for

        return refuse

    api = make_api(authenticate=nobody, settings=ApiSettings(maximum_cpus=3.5))
    result = api.get(path)
    assert (result.status, result.headers["content-type"]) == (200, "application/json")
    assert result.json == build(ROUTES, ApiSettings(maximum_cpus=3.5))


# ---- what checks the answers of all other tests


CONFORMANCE = Conformance(DOCUMENT)
OK = {
    "content-type": "application/json", "x-openstack-request-id": "req-1",
    "openstack-api-version": "container 1.1", "openstack-api-minimum-version": "container 1.1",
    "openstack-api-maximum-version": "container 1.40", "vary": "OpenStack-API-Version",
}  # fmt: skip
LISTED = b'{"services": []}'


@dataclasses.dataclass(frozen=True)
class Seen:
    """An answer."""

    status: int = 200
    headers: tuple[tuple[str, str], ...] = tuple(OK.items())
    body: bytes = LISTED
    path: str = "/v1/services"
    method: str = "GET"

    def breaches(self) -> list[str]:
        headers = dict(self.headers)
        return list(CONFORMANCE.breaches(self.method, self.path, self.status, headers, self.body))


def _with(**headers: str) -> tuple[tuple[str, str], ...]:
    return tuple(
        {**OK, **{name.replace("_", "-"): value for name, value in headers.items()}}.items()
    )


@pytest.mark.parametrize("path", ["/v1/services", "/services", "//v1//services/"])
def test_a_good_answer_passes(path: str) -> None:
    assert Seen(path=path).breaches() == []


@pytest.mark.parametrize(
    ("seen", "expected"),
    [
        (Seen(status=201), "201 is not documented"),
        (Seen(status=418), "418 is not documented"),
        (Seen(status=404), "404 is not documented"),
        (Seen(path="/v1/nosuch"), "200 is not documented"),
        (Seen(method="PUT"), "200 is not documented"),
        (Seen(method="PUT", status=405, body=b'{"errors": []}'), "header allow is missing"),
        (Seen(headers=tuple(OK.items())[:2]), "header vary is missing"),
        (Seen(headers=_with(location="/x")), "header location is not documented"),
        (Seen(headers=_with(content_type="text/plain")), "media type text/plain is not documented"),
        (Seen(body=b"{}"), '"services" is a required property'),
        (Seen(body=b'{"services": [], "next": null}'), "Additional properties"),
        (Seen(body=b'{"services": [{}]}'), '"id" is a required property'),
        (Seen(body=b"null"), "is not of type"),
        (Seen(status=403, body=b'{"errors": []}'), "has less than 1 item"),
        (Seen(status=401, body=b'{"error": {"code": 401}}'), '"title" is a required property'),
        (Seen(method="DELETE", path="/v1/containers/x", status=204), "a body of application/json"),
    ],
)  # fmt: skip
def test_a_wrong_answer_is_told(seen: Seen, expected: str) -> None:
    assert any(expected in breach for breach in seen.breaches()), seen.breaches()
