"""Answers that are rendered later, elsewhere: what the ticket has to hold for it, and how it is used."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from zun.api.versions import Version
from zun.api.views import containers as views
from zun.api.views.links import Urls
from zun.model.container import Container
from zun.service.queries import ExecAnswer


def pack(urls: Urls, hidden: frozenset[str], version: Version) -> dict[str, Any]:
    """How one caller sees one container, as JSON-like value."""
    return {"urls": [urls.host, urls.mount], "hidden": sorted(hidden), "version": list(version)}


def container(row: Container, packed: Mapping[str, Any]) -> bytes:
    """A container as its caller sees it, with links."""
    hidden = frozenset(packed["hidden"])
    shown = views.one(
        row,
        urls=Urls(*packed["urls"]),
        hidden=lambda project_id, user_id: hidden,
        now=datetime.now(UTC).replace(tzinfo=None),
        version=Version(*packed["version"]),
    )
    return orjson.dumps(shown, default=dict)


def executed(answer: ExecAnswer) -> dict[str, Any]:
    """What a command gave (contract 5.1)."""
    return {
        "output": answer.output,
        "exit_code": answer.exit_code,
        "exec_id": None,
        "proxy_url": None,
    }


def executed_later(answer: Mapping[str, Any]) -> bytes:
    """Likewise, from what the host answered."""
    text = answer["output"].decode("utf-8", "replace")
    return orjson.dumps(executed(ExecAnswer(output=text, exit_code=answer["exit_code"])))
