"""Our schemas in the words of OpenAPI: keywords of our own become standard ones, and every field a sentence.

What a field means is looked up under `outer.name`, then under `name`: in the schema itself, in the resource's
`fields`, in the common ones. What a value must be is the `x-why` of the schema, which users get as an error too.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from zun.api.schemas.responses.base import Resource, Schema, ref
from zun.api.schemas.responses.common import FIELDS
from zun.api.schemas.types import BOOL, BOOL_EXTENDED, BOOL_LIST, UNSET
from zun.api.versions import Version

_OURS = frozenset({"x-why", "x-range", "x-bytes"})
_ONE_SCHEMA = frozenset({"items", "additionalProperties", "propertyNames", "not"})
_MANY_SCHEMAS = frozenset({"anyOf", "oneOf", "allOf"})
#: What the schema itself says as well.
_EVIDENT = "must be a string of "
_NUMBERS = frozenset({"integer", "number"})

#: The spellings of true and false, which would fill the document if they stood everywhere.
FLAGS: Mapping[str, list[Any]] = {
    "Flag": BOOL["enum"],
    "FlagInQuery": BOOL_EXTENDED["enum"],
    "FlagInList": BOOL_LIST["enum"],
}

#: Extensions: the range of microversions that know an operation, a parameter or a field.
SINCE = "x-openstack-min-version"
UNTIL = "x-openstack-max-version"


class Wording:
    """Describes what belongs to one resource."""

    def __init__(self, resource: Resource | None) -> None:
        self._fields = {**FIELDS, **(resource.fields if resource else {})}

    def sentence(self, outer: str, name: str, schema: Mapping[str, Any]) -> str:
        """What the field is, and what its value must be; empty where nobody said so."""
        what = schema.get("description") or self._fields.get(f"{outer}.{name}")
        what = what or self._fields.get(name, "")
        why = schema.get("x-why", "")
        if not what or not why or why.startswith(_EVIDENT):
            return str(what)
        return f"{what} {why[0].upper()}{why[1:]}."

    def schema(
        self, schema: Mapping[str, Any], outer: str, since: Mapping[str, Version] | None = None
    ) -> Schema:
        """`schema` for the document; `since` are microversions of its own fields."""
        for name, values in FLAGS.items():
            if schema.get("enum") == values:
                return ref(name)
        plain: Schema = {}
        for key, value in schema.items():
            if key == "properties":
                plain[key] = self._properties(value, outer, since or {})
            elif key in _ONE_SCHEMA and isinstance(value, Mapping):
                plain[key] = self.schema(value, outer)
            elif key in _MANY_SCHEMAS:
                plain[key] = [self.schema(item, outer) for item in value]
            elif key not in _OURS and not (key == "required" and not value):
                plain[key] = value
        if "x-range" in schema and _NUMBERS & set(_types(schema)):
            _as_number(plain, schema["x-range"])
        return plain

    def _properties(
        self, properties: Mapping[str, Schema], outer: str, since: Mapping[str, Version]
    ) -> Schema:
        described: Schema = {}
        for name, inner in properties.items():
            field = self.schema(inner, name)
            sentence = self.sentence(outer, name, inner)
            if sentence:
                field["description"] = sentence
            if name in since:
                field[SINCE] = str(since[name])
            described[name] = field
        return described


def _as_number(plain: Schema, bounds: Sequence[float]) -> None:
    """The digits of a number are taken as text, too; its bounds can't be told of a text, so only the number is."""
    kinds = [kind for kind in _types(plain) if kind != "string"]
    plain["type"] = kinds if len(kinds) > 1 else kinds[0]
    plain.pop("pattern", None)
    plain["minimum"], plain["maximum"] = bounds


def _types(schema: Mapping[str, Any]) -> list[str]:
    kind = schema.get("type", [])
    return [kind] if isinstance(kind, str) else list(kind)


def without_unset(schema: Schema) -> Schema:
    """What `schemas.types.parameters` wrapped around the schema of a parameter, taken off again."""
    unset = {"enum": list(UNSET)}
    match schema:
        case {"anyOf": [first, inner]} if first == unset:
            return dict(inner)
        case {"allOf": [{"not": first}, inner]} if first == unset:
            return dict(inner)
    return schema
