"""Query strings and bodies, as they come, to plain values; wrong ones are the caller's 400 (contract 2.0)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

import orjson

from zun.api.errors import UnsupportedMediaType, clip
from zun.api.schemas.types import UNSET
from zun.service.errors import Invalid

#: Deeper bodies than any field needs are refused before anything walks them.
MAX_DEPTH = 16
_MAX_PARAMETERS = 100
_JSON = "application/json"


def read_query(query: str) -> dict[str, str]:
    """The parameters of a query string."""
    if not query:
        return {}
    try:
        pairs = parse_qsl(
            query, keep_blank_values=True, errors="strict", max_num_fields=_MAX_PARAMETERS
        )
    except UnicodeDecodeError:
        raise Invalid("query: is not valid UTF-8") from None
    except ValueError:
        raise Invalid(f"query: has more than {_MAX_PARAMETERS} parameters") from None
    params: dict[str, str] = {}
    for key, value in pairs:
        if key in params:
            raise Invalid(f"{clip(key)}: is given more than once")
        params[key] = value
    for key, value in params.items():
        if "\0" in key or "\0" in value:
            raise Invalid(f"{clip(key)}: must not hold a NUL character")
    return params


def without_unset(params: Mapping[str, Any]) -> dict[str, Any]:
    """Clients write unset values as `None` or null: to a handler they are absent (contract 2.0)."""
    return {key: value for key, value in params.items() if value not in UNSET}


def is_json(content_type: str) -> bool:
    """Whether a Content-Type announces JSON."""
    return content_type.partition(";")[0].strip().lower() == _JSON


def require_json(content_type: str) -> None:
    """415 for any other body (contract 2.0; defect 13.2-20)."""
    if not is_json(content_type):
        raise UnsupportedMediaType(f"Content-Type: must be {_JSON}, not `{clip(content_type)}`")


def read_body(raw: bytes, binary: frozenset[str] = frozenset()) -> Any:
    """The JSON value of a body, or a 400 that says what is wrong with it.

    `binary`: keys of the body whose text may hold NUL.
    """
    if not raw.strip():
        return None
    try:
        value = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise Invalid(f"body: is not valid JSON: {clip(str(error))}") from None
    _check_text(value, raw, binary)
    return value


def read_merged(
    query: Mapping[str, str], raw: bytes, content_type: str, binary: frozenset[str] = frozenset()
) -> dict[str, Any]:
    """Query and JSON body of an action as one set of parameters; the body speaks last.

    A body that is no JSON is somebody else's unless it says it is JSON: then it was meant, and acting without
    it would do something else than what was asked.
    """
    params: dict[str, Any] = dict(query)
    if not raw.strip():
        return params
    try:
        body = read_body(raw, binary)
    except Invalid:
        if is_json(content_type):
            raise
        return params
    if body is None:
        return params
    if not isinstance(body, dict):
        raise Invalid("body: must be a JSON object")
    params.update(body)
    return params


def _check_text(value: Any, raw: bytes, binary: frozenset[str]) -> None:
    """Refuse NUL, which no column and no engine takes, and needless depth. Most bodies can't have either."""
    suspicious = b"\\u0000" in raw or raw.count(b"[") + raw.count(b"{") > MAX_DEPTH
    if not suspicious:
        return
    stack: list[tuple[str, int, Any]] = [("body", 0, value)]
    while stack:
        where, depth, node = stack.pop()
        if depth > MAX_DEPTH:
            raise Invalid(f"{where}: is nested deeper than {MAX_DEPTH} levels")
        if isinstance(node, str) and "\0" in node:
            raise Invalid(f"{where}: must not hold a NUL character")
        if isinstance(node, list):
            stack.extend((where, depth + 1, item) for item in node)
        elif isinstance(node, dict):
            for key, item in node.items():
                if depth == 0 and key in binary and isinstance(item, str):
                    continue
                if "\0" in key:
                    raise Invalid(f"{where}: names must not hold a NUL character")
                stack.append((clip(key) if depth == 0 else where, depth + 1, item))
