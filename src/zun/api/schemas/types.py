"""Fragments that the schemas share (contract 2.0, 2.2). Bounds not in the contract are those of our columns."""

from __future__ import annotations

from typing import Any

Schema = dict[str, Any]

#: Characters that neither the database nor the engine take in a text.
NO_NUL = r"^[^\x00]*$"
INT32 = 2**31 - 1

_SHORT = ["true", "True", "false", "False"]
_EXTENDED = [
    *_SHORT, "TRUE", "FALSE", "1", "0", "on", "On", "ON", "off", "Off", "OFF", "yes", "Yes", "YES", "no", "No", "NO",
]  # fmt: skip

BOOL: Schema = {"enum": [True, False, *_SHORT], "x-why": "must be true or false"}
BOOL_EXTENDED: Schema = {"enum": [True, False, *_EXTENDED], "x-why": "must be true or false"}
#: Lists take these too (contract 2.0, all_projects).
BOOL_LIST: Schema = {
    "enum": [True, False, *_EXTENDED, "t", "y", "n", "f"],
    "x-why": "must be true or false",
}
BOOL_JSON: Schema = {
    "type": ["boolean", "null"],
    "x-why": "must be true or false, as JSON and not as text",
}

_TRUE = frozenset({"true", "1", "on", "yes", "t", "y"})

NAME_WHY = "must be 2 to 255 characters: letters, digits, `_`, `.` and `-`, beginning with a letter or a digit"
NAME_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9_.\-]+$"


def as_bool(value: bool | str) -> bool:
    """The truth of any accepted spelling."""
    return value if isinstance(value, bool) else value.lower() in _TRUE


def name(*, nullable: bool) -> Schema:
    """A container's name (contract 2.2)."""
    return {
        "type": ["string", "null"] if nullable else "string",
        "minLength": 2,
        "maxLength": 255,
        "pattern": NAME_PATTERN,
        "x-why": NAME_WHY,
    }


def text(low: int, high: int, *, nullable: bool = False) -> Schema:
    """A string without NUL."""
    kind = "a string" if low == 0 else f"a string of at least {low} and"
    return {
        "type": ["string", "null"] if nullable else "string",
        "minLength": low,
        "maxLength": high,
        "pattern": NO_NUL,
        "x-why": f"must be {kind} at most {high} characters, without NUL" if low else
        f"must be a string of at most {high} characters, without NUL",
    }  # fmt: skip


def integer(low: int, high: int, unit: str = "", *, nullable: bool = False) -> Schema:
    """An integer, or its digits as text."""
    suffix = f" ({unit})" if unit else ""
    return {
        "type": ["integer", "string", "null"] if nullable else ["integer", "string"],
        "pattern": "^[0-9]{1,18}$",
        "x-range": [low, high],
        "x-why": f"must be an integer from {low} to {high}{suffix}",
    }


def number(low: float, high: float) -> Schema:
    """A number, or its decimal text."""
    return {
        "type": ["number", "string"],
        "pattern": r"^[0-9]{1,9}(\.[0-9]{1,9})?$",
        "x-range": [low, high],
        "x-why": f"must be a number from {low} to {high}",
    }


def one_of(*values: str | None, what: str = "") -> Schema:
    """An enumeration."""
    shown = ", ".join("null" if value is None else value for value in values)
    return {"enum": list(values), "x-why": what or f"must be one of {shown}"}


def closed(properties: Schema, *, required: tuple[str, ...] = (), why: str | None = None) -> Schema:
    """An object that takes these keys and no other."""
    schema: Schema = {
        "type": "object",
        "properties": properties,
        "required": list(required),
        "additionalProperties": False,
    }
    return schema | {"x-why": why} if why else schema


#: What clients write for a value they do not set (contract 2.0, "None" strings).
UNSET = (None, "None")


def _optional(schema: Schema) -> Schema:
    return {"anyOf": [{"enum": list(UNSET)}, schema], "x-why": schema["x-why"]}


def _needed(schema: Schema) -> Schema:
    return {"allOf": [{"not": {"enum": list(UNSET)}, "x-why": "is required"}, schema]}


def parameters(
    properties: Schema, *, required: tuple[str, ...] = (), strict: bool = True
) -> Schema:
    """The parameters of a query or an action, each of which may be spelled unset; `strict`: and no other."""
    schema: Schema = {
        "type": "object",
        "properties": {
            key: _needed(value) if key in required else _optional(value)
            for key, value in properties.items()
        },
        "required": list(required),
    }
    return schema | {"additionalProperties": False} if strict else schema
