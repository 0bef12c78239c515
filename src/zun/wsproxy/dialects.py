"""What a client understands, by the sub-protocol it offers (contract 5.3 to 5.5).

`binary` is what the official client needs; browsers of zun-ui offer `null`, programs any word or none. To all of them
output is binary messages of valid UTF-8, for the official client decodes each by itself and strictly; what they send,
text or binary, is input.

`zun.console.v1` is our own page's, and anybody's who wants the bytes as they are: binary messages are data, both ways;
text messages are JSON. From the client `{"resize": {"rows": 24, "columns": 80}}`; from us first
`{"open": {"kind": "attach", "tty": true}}`, and last `{"end": {"why": ..., "exit_code": ..., "reason": ...}}`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from websockets.typing import Subprotocol

from zun.bus.channel import End
from zun.model.session import Session

BINARY = Subprotocol("binary")
CONSOLE = Subprotocol("zun.console.v1")

#: Browsers answer a ping while they do anything; the official client stops sending after one.
_PINGED = frozenset({CONSOLE, Subprotocol("null")})

_LARGEST = 10_000  # rows or columns of a terminal


class Misspoken(Exception):
    """A message that the sub-protocol does not know; its text is fit for the client."""


def chosen(offered: Sequence[Subprotocol]) -> Subprotocol | None:
    """The sub-protocol that is answered with; None where none was offered."""
    for known in (CONSOLE, BINARY):
        if known in offered:
            return known
    return offered[0] if offered else None


def is_pinged(subprotocol: str | None) -> bool:
    """Whether a client of this sub-protocol bears pings."""
    return subprotocol in _PINGED


def opening(session: Session, tty: bool) -> str:
    """The first message to a console."""
    return json.dumps({"open": {"kind": session.kind, "tty": tty}})


def ending(end: End) -> str:
    """The last message to a console."""
    told = {"why": end.why, "exit_code": end.exit_code, "reason": end.reason}
    return json.dumps({"end": told})


def size_of(message: str) -> tuple[int, int]:
    """Rows and columns that a console asks for. Raises Misspoken."""
    try:
        size = json.loads(message)["resize"]
        rows, columns = size["rows"], size["columns"]
    except (ValueError, LookupError, TypeError, RecursionError):
        raise Misspoken('text messages are {"resize": {"rows": ..., "columns": ...}}') from None
    for value in (rows, columns):
        if type(value) is not int or not 0 < value <= _LARGEST:
            raise Misspoken(f"rows, columns: are numbers from 1 to {_LARGEST}")
    return rows, columns
