"""How a resource tells what it answers: the values that `zun.api.openapi` makes the document from.

One file a resource here, with one `RESOURCE`; a route without its entry fails tests/api/test_openapi.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from zun.api.versions import Version

Schema = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Success:
    """One answer that is not an error.

    `schema` is that of the JSON body; without it there is no body. `other` are bodies of further media types,
    `headers` those sent every time besides the common ones, `sometimes` those that may be: name -> meaning.
    """

    what: str
    schema: Schema | None = None
    other: Mapping[str, Schema] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)
    sometimes: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """What users read about one method of one path; parameters, body and versions come from its route.

    `errors` are those that do not follow from the route, `since` the microversions of parameters and fields
    that the request schema itself knows at every version.
    """

    summary: str
    answers: Mapping[int, Success]
    description: str = ""
    errors: tuple[int, ...] = ()
    since: Mapping[str, Version] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Resource:
    """One resource. `operations` by `METHOD /path`; `fields` says what a field or parameter means, under its
    name or, where names repeat, `outer.name`. `routed` is False for what answers before the routes."""

    name: str
    what: str
    operations: Mapping[str, Operation]
    schemas: Mapping[str, Schema] = field(default_factory=dict)
    fields: Mapping[str, str] = field(default_factory=dict)
    routed: bool = True


STRING: Schema = {"type": "string"}
INTEGER: Schema = {"type": "integer"}
NUMBER: Schema = {"type": "number"}
BOOLEAN: Schema = {"type": "boolean"}
UUID: Schema = {
    "type": "string",
    "pattern": "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$",
}
#: Naive UTC as actions and services show it; containers have a blank for the T, and microseconds only if any.
TIME: Schema = {
    "type": "string",
    "pattern": r"^\d{4}-\d{2}-\d{2}T\d{2}:\d{2}:\d{2}\.\d{6}$",
}
STRINGS: Schema = {"type": "array", "items": STRING}
TEXTS: Schema = {"type": "object", "additionalProperties": STRING}

#: An empty success is JSON `null` (contract 2.0).
NULL = {"type": "null"}
ACCEPTED = Success(what="Accepted; it happens later.", schema=NULL)
SENT_ON = Success(
    what="The answer may be long in coming: it is at `Location`, once, within seconds.",
    schema=NULL,
    headers={"Location": "Where the answer is, with a ticket.", "Cache-Control": "no-store"},
)
GONE = Success(what="Accepted; there is no body.")


def ref(name: str) -> Schema:
    """The schema of that name, of any resource."""
    return {"$ref": f"#/components/schemas/{name}"}


def nullable(schema: Schema) -> Schema:
    """`schema`, or null."""
    kind = schema.get("type")
    if isinstance(kind, str) and "enum" not in schema:
        return {**schema, "type": [kind, "null"]}
    return {"anyOf": [schema, {"type": "null"}]}


def listing(item: Schema) -> Schema:
    """An array."""
    return {"type": "array", "items": item}


def shape(properties: Mapping[str, Schema], *, optional: tuple[str, ...] = ()) -> Schema:
    """An object with these properties, all of which are there but the `optional` ones.

    Later versions may add properties, so the published schema is open; the tests close it.
    """
    return {
        "type": "object",
        "properties": dict(properties),
        "required": [name for name in properties if name not in optional],
    }


def page(collection: str, item: Schema) -> Schema:
    """A page of a collection."""
    return shape({collection: listing(item), "next": nullable(STRING)})
