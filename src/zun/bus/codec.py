"""Arguments and answers of questions as text: JSON, and bytes within it."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

_BYTES = "__bytes__"


def dumps(value: Any) -> str:
    """A JSON-like value, in which bytes may be, as text. Raises TypeError: it holds something else."""
    return orjson.dumps(_plain(value)).decode()


def loads(text: str) -> Any:
    """The value of `dumps`. Raises ValueError: it is no such text."""
    return _whole(orjson.loads(text))


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return {_BYTES: base64.b64encode(value).decode()}
    if isinstance(value, Mapping):
        if _BYTES in value:
            raise TypeError(f"a mapping can't have the key {_BYTES}")
        return {key: _plain(each) for key, each in value.items()}
    if isinstance(value, Sequence) and not isinstance(value, str):
        return [_plain(each) for each in value]
    return value


def _whole(value: Any) -> Any:
    if isinstance(value, dict):
        if value.keys() == {_BYTES}:
            try:
                return base64.b64decode(value[_BYTES], validate=True)
            except (binascii.Error, TypeError) as exc:
                raise ValueError(f"bytes that are none: {exc}") from exc
        return {key: _whole(each) for key, each in value.items()}
    if isinstance(value, list):
        return [_whole(each) for each in value]
    return value
