"""Compares answers with the OpenAPI document: status, headers, media type and body.

Published schemas are open, so that later versions may add fields; here every object with `properties` is closed,
so that none is added without being described.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import jsonschema_rs
import orjson

from zun.api.middleware.paths import normalise
from zun.api.openapi.document import build, described_as
from zun.api.routes import ROUTES
from zun.api.schemas.responses.common import ERRORS
from zun.api.settings import ApiSettings

#: Answers of the layers before the routes, to anything at all.
BEFORE_ROUTES = frozenset({400, 401, 404, 405, 411, 413, 500})
#: Headers that say nothing of their own.
_PLAIN = frozenset({"content-type", "content-length", "cache-control"})
#: These come from within an endpoint only, so the microversion is known.
_VERSIONED = frozenset({403, 409, 415})
_VERSION = "openstack-api-version"


def closed(node: Any) -> Any:
    """`node` with every object closed that does not say otherwise."""
    if isinstance(node, list):
        return [closed(item) for item in node]
    if not isinstance(node, dict):
        return node
    made = {key: closed(value) for key, value in node.items()}
    if isinstance(node.get("properties"), dict) and "type" in node:
        made.setdefault("additionalProperties", False)
    return made


class Conformance:
    """What the document of one application allows."""

    def __init__(self, document: Mapping[str, Any]) -> None:
        self._components = closed(document["components"])
        self._paths = [
            (
                re.compile(re.sub(r"\{\w+\}", "[^/]+", path)),
                path,
                document["paths"][described_as(path)],
            )
            for path in {**document["paths"], **ROUTES}
            if described_as(path) in document["paths"]
        ]
        # A path without variables goes before one with.
        self._paths.sort(key=lambda entry: entry[1].count("{"))
        self._validators: dict[str, Any] = {}

    @classmethod
    def of(cls, settings: ApiSettings, *, hiding: bool = False) -> Conformance:
        """That of an application with these settings, `hiding` fields of resources by a policy of its own."""
        document = build(ROUTES, settings)
        if hiding:
            for schema in document["components"]["schemas"].values():
                if "uuid" in schema.get("properties", {}):
                    del schema["required"]
        return cls(document)

    def breaches(
        self, method: str, path: str, status: int, headers: Mapping[str, str], body: bytes
    ) -> Iterator[str]:
        """What an answer does that the document does not say; `headers` in lower case."""
        item = self._item(normalise(path) if path.rstrip("/") != "/healthcheck" else "/healthcheck")
        operation = (item or {}).get(method.lower())
        if operation is not None:
            answer = self._resolved(operation["responses"].get(str(status)))
        elif status in BEFORE_ROUTES:
            answer = self._shared(status)
        else:
            answer = None
        if answer is None:
            yield f"{status} is not documented"
            return
        yield from self._headers(answer, status, headers, described=operation is not None)
        yield from self._body(answer, headers, body)

    def _item(self, path: str) -> Mapping[str, Any] | None:
        return next((item for pattern, _, item in self._paths if pattern.fullmatch(path)), None)

    def _resolved(self, answer: Any) -> Any:
        if answer is not None and "$ref" in answer:
            return self._components["responses"][answer["$ref"].rsplit("/", 1)[-1]]
        return answer

    def _shared(self, status: int) -> Any:
        return self._components["responses"][ERRORS[status][0]]

    def _headers(
        self, answer: Any, status: int, headers: Mapping[str, str], *, described: bool
    ) -> Iterator[str]:
        known = {}
        for name, header in answer["headers"].items():
            if "$ref" in header:
                header = self._components["headers"][header["$ref"].rsplit("/", 1)[-1]]
            known[name.lower()] = header
        for name, header in known.items():
            if header["required"] and name not in headers:
                yield f"the header {name} is missing"
        if described and status in _VERSIONED and _VERSION not in headers:
            yield f"the header {_VERSION} is missing"
        for name in set(headers) - set(known) - _PLAIN:
            yield f"the header {name} is not documented"

    def _body(self, answer: Any, headers: Mapping[str, str], body: bytes) -> Iterator[str]:
        content = answer.get("content", {})
        media = headers.get("content-type", "").partition(";")[0]
        if not content:
            if body or media:
                yield f"a body of {media or 'no type'} is not documented"
            return
        if media not in content:
            yield f"the media type {media} is not documented"
        elif media == "application/json":
            yield from self._wrong(content[media]["schema"], body)

    def _wrong(self, schema: Any, body: bytes) -> Iterator[str]:
        key = repr(schema)
        if key not in self._validators:
            whole = {**closed(schema), "components": self._components}
            self._validators[key] = jsonschema_rs.Draft202012Validator(whole)
        for error in self._validators[key].iter_errors(orjson.loads(body)):
            where = "/".join(str(part) for part in error.instance_path)
            yield f"body {where or 'as a whole'}: {error.message[:300]}"
