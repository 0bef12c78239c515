"""Answers that are rendered later, elsewhere: what the ticket has to hold for it, and how it is used."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import orjson

from zun.api.versions import SESSIONS, Version
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


#: What is shown beside the four keys of the contract, from 1.47 on; null where there is none.
NO_OUTPUT: dict[str, Any] = {"stdout": None, "stderr": None}
_NO_SESSION: dict[str, Any] = {"console_url": None, "expires_at": None}


def executed(answer: ExecAnswer, version: Version) -> dict[str, Any]:
    """What a command gave (contract 5.1)."""
    shown = {
        "output": answer.output,
        "exit_code": answer.exit_code,
        "exec_id": None,
        "proxy_url": None,
    }
    if version < SESSIONS:
        return shown
    return {**shown, **_NO_SESSION, "stdout": answer.stdout, "stderr": answer.stderr}


def executed_later(answer: Mapping[str, Any], ticket: Mapping[str, Any]) -> bytes:
    """Likewise, from what the host answered, and what the ticket says of who asked."""
    version = Version(*ticket["version"])
    return orjson.dumps(executed(ExecAnswer.of(answer), version))
