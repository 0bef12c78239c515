"""The document itself.

Everything comes from what the service runs by: paths, methods and microversions from the routes, parameters and
bodies from the request schemas, rules from the policies, answers from `schemas.responses`. A route without an
entry there is left out, and a test fails.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from zun.api.endpoint import Endpoint, Takes
from zun.api.middleware.request_id import HEADER as REQUEST_ID
from zun.api.openapi.requests import Requests, path_parameters
from zun.api.openapi.wording import FLAGS, SINCE, UNTIL, Wording
from zun.api.policies import list_rules
from zun.api.schemas.responses import RESOURCES
from zun.api.schemas.responses.base import Operation, Resource, Schema, Success
from zun.api.schemas.responses.common import ERRORS, SCHEMAS
from zun.api.settings import ApiSettings
from zun.api.versions import HEADER, MAX_VERSION, MIN_VERSION, RANGE_HEADERS, SERVICE

Routes = Mapping[str, Mapping[str, Endpoint]]

_JSON = "application/json"
#: What every request can meet, before or in the endpoint.
_ALWAYS = (400, 406, 411, 413, 500)
_SECURITY: list[Schema] = [{"token": []}, {"basic": []}]

_ABOUT = f"""Containers as resources of a cloud.

Ask for a microversion with the header `{HEADER}: {SERVICE} X.Y`; without it a request is taken as {MIN_VERSION}.
What is described is {MAX_VERSION}. Where an operation, a parameter or a field is not known to all versions,
`{SINCE}` and `{UNTIL}` say which know it. Answers hold all fields at every version.

In queries, and in the bodies of actions, `None` and null mean that nothing is given. In bodies, the digits of a
number may come as text. Trailing and doubled slashes mean nothing, and a path may be written without `/v1`."""


def build(
    routes: Routes, settings: ApiSettings, resources: Sequence[Resource] = RESOURCES
) -> dict[str, Any]:
    """The document of an application with these routes and settings."""
    paths: dict[str, dict[str, Any]] = {}
    for resource in resources:
        wording = Wording(resource)
        for key, operation in resource.operations.items():
            method, path = key.split(" ", 1)
            endpoint = routes.get(path, {}).get(method)
            if endpoint is not None:
                made = _operation(method, path, endpoint, operation, resource, settings)
            elif not resource.routed:
                made = _unrouted(method, path, operation, resource, wording)
            else:
                continue
            paths.setdefault(path, {})[method.lower()] = made
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Container service",
            "version": str(MAX_VERSION),
            "description": _ABOUT,
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "security": _SECURITY,
        "tags": [{"name": resource.name, "description": resource.what} for resource in resources],
        "paths": paths,
        "components": _components(resources),
    }


def described_as(path: str) -> str:
    """The path under which a route is described: `part2`, `part3`, ... are no variables of their own, but further
    segments of the one before them."""
    return re.sub(r"(/\{part\d+\})+", "", path)


def undocumented(routes: Routes, resources: Sequence[Resource] = RESOURCES) -> list[str]:
    """`METHOD /path` of every route that no resource describes."""
    known = {key for resource in resources for key in resource.operations}
    return sorted(set(_keys(routes)) - known)


def unrouted(routes: Routes, resources: Sequence[Resource] = RESOURCES) -> list[str]:
    """`METHOD /path` of every description that no route is for."""
    known = {key for resource in resources if resource.routed for key in resource.operations}
    return sorted(known - set(_keys(routes)))


def _keys(routes: Routes) -> Iterator[str]:
    for path, methods in routes.items():
        for method, endpoint in methods.items():
            short = described_as(path)
            same = routes.get(short, {}).get(method) == endpoint
            yield f"{method} {short if same else path}"


def shape_of(path: str) -> str:
    """A path template, whatever its variables are called."""
    return re.sub(r"\{[^}]*\}", "{}", path)


def rules_of(method: str, path: str) -> list[str]:
    """The policy rules that say they are about this operation."""
    return [
        rule.name
        for rule in list_rules()
        for about in getattr(rule, "operations", ())
        if shape_of(about["path"]) == shape_of(path) and method in about["method"]
    ]


def _operation(
    method: str,
    path: str,
    endpoint: Endpoint,
    operation: Operation,
    resource: Resource,
    settings: ApiSettings,
) -> Schema:
    wording = Wording(resource)
    requests = Requests(endpoint, operation, path.rsplit("/", 1)[-1], wording, settings)
    made = _head(method, path, operation, resource)
    if endpoint.since > MIN_VERSION:
        made[SINCE] = str(endpoint.since)
    if endpoint.until < MAX_VERSION:
        made[UNTIL] = str(endpoint.until)
    if rules := rules_of(method, path):
        made["x-openstack-policy"] = rules
    if endpoint.public:
        made["security"] = []
    if parameters := requests.parameters(path):
        made["parameters"] = parameters
    body = requests.body()
    if body is not None:
        made["requestBody"] = body
    answers = {
        str(status): _answer(success, wording, versioned=endpoint.versioned)
        for status, success in operation.answers.items()
    }
    for status in errors_of(path, endpoint, operation, made):
        answers.setdefault(str(status), {"$ref": f"#/components/responses/{ERRORS[status][0]}"})
    made["responses"] = dict(sorted(answers.items()))
    return made


def _unrouted(
    method: str, path: str, operation: Operation, resource: Resource, wording: Wording
) -> Schema:
    made = _head(method, path, operation, resource)
    made["security"] = []
    if parameters := path_parameters(path, wording):
        made["parameters"] = parameters
    made["responses"] = {
        str(status): _answer(success, wording, versioned=False)
        for status, success in operation.answers.items()
    }
    return made


def _head(method: str, path: str, operation: Operation, resource: Resource) -> Schema:
    words = [word for word in re.split(r"[^A-Za-z0-9]+", path) if word]
    made: Schema = {
        "operationId": method.lower() + "".join(word[0].upper() + word[1:] for word in words),
        "tags": [resource.name],
        "summary": operation.summary,
    }
    if operation.description:
        made["description"] = operation.description
    return made


def errors_of(path: str, endpoint: Endpoint, operation: Operation, made: Schema) -> list[int]:
    """The statuses that follow from the route, and those the operation names."""
    found = {*_ALWAYS, *operation.errors}
    if not endpoint.public:
        found |= {401, 403}
    if endpoint.takes is Takes.DOCUMENT:
        found.add(415)
    names = {parameter.get("name") for parameter in made.get("parameters", ())}
    if "{" in path or "marker" in names:
        found.add(404)
    if "{ident}" in path:
        found.add(409)
    return sorted(found)


def _answer(success: Success, wording: Wording, *, versioned: bool) -> Schema:
    headers: Schema = {REQUEST_ID: {"$ref": "#/components/headers/RequestId"}}
    if versioned:
        headers[HEADER] = {"$ref": "#/components/headers/MicroVersion"}
        headers |= {
            name: {"$ref": f"#/components/headers/{_named(name)}"} for name in RANGE_HEADERS
        }
    for name, meaning in success.headers.items():
        headers[name] = _header(meaning)
    for name, meaning in success.sometimes.items():
        headers[name] = _header(meaning, required=False)
    bodies = dict(success.other)
    if success.schema is not None:
        bodies[_JSON] = success.schema
    answer: Schema = {"description": success.what, "headers": headers}
    if bodies:
        answer["content"] = {
            media: {"schema": wording.schema(schema, "")} for media, schema in bodies.items()
        }
    return answer


def _named(header: str) -> str:
    return header.removeprefix("OpenStack-API-").replace("-", "")


def _header(meaning: str, *, required: bool = True) -> Schema:
    return {"description": meaning, "required": required, "schema": {"type": "string"}}


def _components(resources: Sequence[Resource]) -> Schema:
    common = Wording(None)
    schemas = {name: {"enum": values} for name, values in FLAGS.items()}
    schemas |= {name: common.schema(schema, name) for name, schema in SCHEMAS.items()}
    for resource in resources:
        wording = Wording(resource)
        schemas |= {name: wording.schema(item, name) for name, item in resource.schemas.items()}
    version = {"type": "string", "pattern": rf"^{SERVICE} (\d+\.\d+|latest)$"}
    return {
        "schemas": schemas,
        "parameters": {
            "MicroVersion": {
                "name": HEADER,
                "in": "header",
                "required": False,
                "description": f"The microversion: `{SERVICE} {MAX_VERSION}`, or `{SERVICE} latest`.",
                "schema": version,
            }
        },
        "headers": {
            "RequestId": _header("The id of the request, for the log and for container actions."),
            "MicroVersion": _header("The microversion that was applied."),
            "MinimumVersion": _header("The lowest microversion."),
            "MaximumVersion": _header("The highest microversion."),
            "Vary": _header(f"`{HEADER}`."),
        },
        "responses": {name: _error(status) for status, (name, _, _) in ERRORS.items()},
        "securitySchemes": {
            "token": {
                "type": "apiKey",
                "in": "header",
                "name": "X-Auth-Token",
                "description": "A token of Keystone, where the service authenticates by Keystone.",
            },
            "basic": {
                "type": "http",
                "scheme": "basic",
                "description": "User and password, where the service authenticates by itself.",
            },
        },
    }


def _error(status: int) -> Schema:
    _, what, schema = ERRORS[status]
    headers: Schema = {REQUEST_ID: {"$ref": "#/components/headers/RequestId"}}
    if status == 401:
        headers["WWW-Authenticate"] = _header("How to authenticate.")
    elif status == 405:
        headers["Allow"] = _header("The methods that are served.")
    else:
        # Not on what is refused before the microversion is known.
        for name in (HEADER, *RANGE_HEADERS):
            headers[name] = _header("As in other answers.", required=False)
    body = {"schema": {"$ref": f"#/components/schemas/{schema}"}}
    return {"description": what, "headers": headers, "content": {_JSON: body}}
