"""The document as a page for people: what can be called, what it takes, what it answers."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from zun.api.openapi.wording import SINCE, UNTIL
from zun.api.schemas.responses.common import ERRORS

_REF = "#/components/schemas/"
_COMMON = frozenset({400, 401, 403, 406, 411, 413, 500})


def render(document: Mapping[str, Any]) -> str:
    """Markdown, without a note on where it came from."""
    schemas = document["components"]["schemas"]
    parts = [_errors(schemas)]
    for tag in document["tags"]:
        parts.append(f"## {tag['name'].capitalize()}\n\n{tag['description']}\n")
        parts += [
            _operation(document, method.upper(), path, operation)
            for path, item in document["paths"].items()
            for method, operation in item.items()
            if tag["name"] in operation["tags"]
        ]
    parts.append("## Objects\n")
    parts += [_object(name, schema) for name, schema in schemas.items() if "properties" in schema]
    return f"{document['info']['description']}\n\n" + "\n".join(parts)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "".join(
        f"| {' | '.join(cell.replace('|', '&#124;') for cell in row)} |\n" for row in lines
    )


def _errors(schemas: Mapping[str, Any]) -> str:
    rows = (
        [str(status), what, "every call" if status in _COMMON else ""]
        for status, (_, what, _) in ERRORS.items()
    )
    shown = _type({"$ref": f"{_REF}Errors"}), _type({"$ref": f"{_REF}Unauthorized"})
    return f"""## Errors

The body of an error is {shown[0]}, but of a 401, which is {shown[1]}.

{_table(["status", "when", "of"], rows)}"""


def _operation(
    document: Mapping[str, Any], method: str, path: str, operation: Mapping[str, Any]
) -> str:
    lines = [f"### `{method} {path}`\n", f"{operation['summary']}."]
    if "description" in operation:
        lines.append(operation["description"])
    if SINCE in operation or UNTIL in operation:
        lines.append(f"Microversions: {_range(operation)}.")
    rules = [f"`{rule}`" for rule in operation.get("x-openstack-policy", ())]
    if rules:
        lines.append(f"Policy: {', '.join(rules)}.")
    elif operation.get("security") == []:
        lines.append("For everybody.")
    lines.append(_answers(operation))
    parameters = list(_parameters(document, operation))
    text = "\n".join(lines) + "\n"
    if parameters:
        text += "\n" + _table(["parameter", "in", "versions", "meaning"], parameters)
    return text


def _range(thing: Mapping[str, Any]) -> str:
    since, until = thing.get(SINCE), thing.get(UNTIL)
    if since and until:
        return f"{since} to {until}"
    return f"from {since}" if since else f"to {until}" if until else ""


def _answers(operation: Mapping[str, Any]) -> str:
    good: list[str] = []
    errors: list[str] = []
    for status, answer in operation["responses"].items():
        if "$ref" in answer:
            if int(status) not in _COMMON:
                errors.append(status)
            continue
        bodies = [_type(body["schema"]) for body in answer.get("content", {}).values()]
        good.append(f"{status}, {' or '.join(bodies) or 'no body'}")
    also = f" Errors besides those of every call: {', '.join(errors)}." if errors else ""
    return f"Answers: {'; '.join(good) or 'errors only'}.{also}"


def _parameters(document: Mapping[str, Any], operation: Mapping[str, Any]) -> Iterator[list[str]]:
    body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
    fields: Mapping[str, Any] = body.get("schema", {}).get("properties", {})
    required = body.get("schema", {}).get("required", ())
    in_query = set()
    for parameter in operation.get("parameters", ()):
        if "$ref" in parameter:
            continue
        name, where = parameter["name"], parameter["in"]
        if where == "query":
            in_query.add(name)
            if name in fields:
                where = "query or body"
        yield [_named(name, parameter["required"]), where, _range(parameter), _meaning(parameter)]
    for name, field in fields.items():
        if name not in in_query:
            yield [_named(name, name in required), "body", _range(field), _meaning(field)]


def _named(name: str, required: bool) -> str:
    return f"`{name}`, required" if required else f"`{name}`"


def _meaning(thing: Mapping[str, Any]) -> str:
    return " ".join(str(thing.get("description", "")).split())


def _object(name: str, schema: Mapping[str, Any]) -> str:
    rows = (
        [f"`{field}`", _type(value), _meaning(value)]
        for field, value in schema["properties"].items()
    )
    about = f"{schema['description']}\n\n" if "description" in schema else ""
    return f"### {name}\n\n{about}{_table(['field', 'type', 'meaning'], rows)}"


def _type(schema: Mapping[str, Any]) -> str:
    """A few words on what a value is."""
    if "$ref" in schema:
        name = schema["$ref"].removeprefix(_REF)
        return f"[{name}](#{name.lower()})"
    for key in ("anyOf", "oneOf"):
        if key in schema:
            return " or ".join(_type(item) for item in schema[key])
    if "const" in schema:
        return f"`{schema['const']}`"
    if "enum" in schema:
        return " or ".join("null" if value is None else f"`{value}`" for value in schema["enum"])
    kinds = schema.get("type", "any")
    return " or ".join(
        _plain(kind, schema) for kind in ([kinds] if isinstance(kinds, str) else kinds)
    )


def _plain(kind: str, schema: Mapping[str, Any]) -> str:
    if kind == "array":
        return f"list of {_type(schema['items'])}" if "items" in schema else "list"
    if kind == "object":
        values = schema.get("additionalProperties")
        if isinstance(values, Mapping):
            return f"object of {_type(values)}"
        names = ", ".join(f"`{name}`" for name in schema.get("properties", {}))
        return f"object of {names}" if names else "object"
    return kind
