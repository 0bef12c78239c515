"""Compiles schemas once per distinct version range, and words what is wrong for the user.

Three keywords of our own stand in the schemas beside the standard ones: `x-range` bounds a number even where it
comes as text, `x-bytes` bounds the JSON text of a whole value, and `x-why` is the sentence shown when the value
is refused. A sentence names the field's path and, only where it is no secret, the value's beginning.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jsonschema_rs
import orjson

from zun.api.errors import clip
from zun.api.settings import ApiSettings
from zun.api.versions import MIN_VERSION, Version
from zun.service.errors import Invalid

Schema = dict[str, Any]

#: Values under these are never repeated: they may hold secrets, or be huge.
UNSPOKEN = frozenset(
    {
        "environment",
        "env",
        "args",
        "annotations",
        "command",
        "entrypoint",
        "mounts",
        "labels",
        "hints",
        "healthcheck",
        "password",
        "data",
    }
)
_SHOWN = 3  # mistakes told at once


class _Range:
    """`x-range: [low, high]` for numbers and numeric strings; other types are another keyword's business."""

    def __init__(self, _parent: Schema, value: Sequence[float], _path: object) -> None:
        self._low, self._high = value

    def validate(self, instance: Any) -> None:
        if isinstance(instance, str):
            try:
                instance = float(instance)
            except ValueError:
                return
        if isinstance(instance, bool) or not isinstance(instance, int | float):
            return
        if not self._low <= instance <= self._high:
            raise ValueError(f"must be from {self._low} to {self._high}")


class _Bytes:
    """`x-bytes: N`: the value's JSON text has at most N bytes. It ends in a column of bounded width."""

    def __init__(self, _parent: Schema, value: int, _path: object) -> None:
        self._limit = value

    def validate(self, instance: Any) -> None:
        if isinstance(instance, dict | list | str) and len(orjson.dumps(instance)) > self._limit:
            raise ValueError(f"must be at most {self._limit} bytes of JSON")


_KEYWORDS = {"x-range": _Range, "x-bytes": _Bytes}


@dataclass(frozen=True, slots=True)
class VersionedSchema:
    """A schema as data: `build` makes it for one version; it only changes at the versions named."""

    build: Callable[[ApiSettings, Version], Schema]
    changes_at: tuple[Version, ...] = ()

    def compile(self, settings: ApiSettings) -> CompiledSchema:
        """Compile every distinct shape."""
        starts = (MIN_VERSION, *self.changes_at)
        return CompiledSchema(starts, [self.build(settings, start) for start in starts])


class CompiledSchema:
    """Validators by the version they begin at."""

    def __init__(self, starts: Sequence[Version], schemas: Sequence[Schema]) -> None:
        self._starts = tuple(starts)
        self._schemas = tuple(schemas)
        self._validators = tuple(
            jsonschema_rs.Draft202012Validator(schema, keywords=_KEYWORDS, mask="the value")
            for schema in schemas
        )

    def check(self, version: Version, instance: Any) -> None:
        """Raise Invalid, naming the first few mistakes, unless `instance` fits."""
        index = bisect_right(self._starts, version) - 1
        validator = self._validators[index]
        if validator.is_valid(instance):
            return
        sentences: list[str] = []
        for error in validator.iter_errors(instance):
            sentence = _sentence(error, self._schemas[index], instance)
            if sentence not in sentences:
                sentences.append(sentence)
            if len(sentences) == _SHOWN:
                break
        raise Invalid("; ".join(sentences), slug="schema-validation-error")


def _walk(path: Sequence[str | int], instance: Any) -> tuple[str, Any]:
    """`mounts[0].size`, keys shortened, and the value there.

    The library gives a key of digits only as a number; what it is, the instance knows.
    """
    text, value = "", instance
    for part in path:
        if isinstance(value, list) and isinstance(part, int) and part < len(value):
            text, value = f"{text}[{part}]", value[part]
        else:
            text = f"{text}.{clip(str(part))}" if text else clip(str(part))
            value = value.get(str(part)) if isinstance(value, Mapping) else None
    return text, value


def _sentence(error: jsonschema_rs.ValidationError, schema: Schema, instance: Any) -> str:
    path = error.instance_path
    kind = error.kind
    where, given = _walk(path, instance)
    prefix = f"{where}: " if where else ""
    value = getattr(kind, "value", None)
    if isinstance(kind, jsonschema_rs.ValidationErrorKind.Required):
        return (
            f"{prefix}{clip(value)}: is required"
            if prefix
            else f"{clip(value)}: is required and missing"
        )
    if isinstance(kind, jsonschema_rs.ValidationErrorKind.AdditionalProperties):
        names = ", ".join(clip(name) for name in list(value or [])[:5])
        return f"{prefix}{names}: no such field is accepted here"
    if isinstance(kind, jsonschema_rs.ValidationErrorKind.Custom):
        return f"{prefix}{_why(error, schema) or error.message}"
    why = _why(error, schema) or error.message
    wrong_type = isinstance(kind, jsonschema_rs.ValidationErrorKind.Type)
    if isinstance(given, dict | list) and not wrong_type:
        return f"{prefix}{why}"
    return f"{prefix}{why}{_got(path, given)}"


def _why(error: jsonschema_rs.ValidationError, schema: Schema) -> str | None:
    """The nearest `x-why` above the keyword that failed."""
    node: Any = schema
    found: str | None = None
    for step in error.schema_path:
        if isinstance(node, Mapping) and isinstance(node.get("x-why"), str):
            found = node["x-why"]
        node = _step(node, step)
        if node is None:
            break
    return found


def _step(node: Any, step: str | int) -> Any:
    if isinstance(node, Mapping):
        return node.get(str(step))
    if isinstance(node, list) and isinstance(step, int) and step < len(node):
        return node[step]
    return None


def _got(path: Sequence[str | int], value: Any) -> str:
    """What was given, where it may be shown: numbers, booleans, null and short texts of harmless fields."""
    if not path or any(part in UNSPOKEN for part in path):
        return ""
    if value is None:
        return ", not null"
    if isinstance(value, dict):
        return ", not an object"
    if isinstance(value, list):
        return ", not a list"
    if isinstance(value, bool):
        return f", not {'true' if value else 'false'}"
    return f", not `{clip(value)}`"
