"""Long-lived answers: everything is decided here, and served elsewhere.

A worker of a WSGI server is worth too much to wait for something: the client is sent on, with a ticket (307, so the
method stays). See docs/decisions/0002-long-lived-answers.md.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from zun.api.endpoint import Answer, Call
from zun.api.errors import clip
from zun.api.schemas.types import as_bool
from zun.api.versions import HEADERS
from zun.api.views import later as views
from zun.model.container import Container
from zun.model.lifecycle import Status
from zun.model.names import uuid_or_none
from zun.model.operation import EventKind
from zun.service.containers import arguments_of
from zun.service.errors import Invalid, Unavailable
from zun.service.queries import LogQuery

_STATUSES = {status.value for status in Status}
_KINDS = {kind.value for kind in EventKind}
_CURSOR = re.compile(r"[0-9]{1,18}\Z")
_WAIT = 60  # seconds, where the client names none


def send_on(call: Call, path: str, content: Mapping[str, Any]) -> Answer:
    """Where the answer is, with a ticket that says what it is."""
    base = _base(call)
    named = {**HEADERS[call.version], "x-openstack-request-id": call.caller.request_id}
    ticket = call.services.ticketing().issue(call.caller, path, {**content, "headers": named})
    location = f"{base}/v1/{path}?ticket={ticket}"
    return Answer(307, None, {"Location": location, "Cache-Control": "no-store"})


def _base(call: Call) -> str:
    settings = call.settings
    if settings.streams_url:
        return settings.streams_url.rstrip("/")
    if settings.streams_port is None:
        raise Unavailable("Long-lived answers are not served here: [streams] base_url is not set.")
    url = urlsplit(call.urls.host)
    host = url.hostname or ""
    return f"{url.scheme}://{f'[{host}]' if ':' in host else host}:{settings.streams_port}"


def events(call: Call) -> Answer:
    """GET /events: server-sent events, from `Last-Event-ID` on."""
    call.authorize("event:get_all")
    every = "all_projects" in call.params and as_bool(call.params["all_projects"])
    if every:
        call.authorize("event:get_all_all_projects")
    content = {
        "all_projects": every and call.caller.is_admin,
        "container": _container(call),
        "kinds": _words("kind", call.params.get("kind"), _KINDS),
        "cursor": _cursor(call),
        "reasons": call.enforcer.allows(call.caller, "container:action:events"),
    }
    return send_on(call, "events", content)


def _container(call: Call) -> str | None:
    """A uuid is taken as it is - its events outlive the container, and projects are kept apart anyway."""
    ident = call.params.get("container")
    if ident is None:
        return None
    uuid = uuid_or_none(ident)
    if uuid is None:
        uuid = call.services.containers.find(call.caller, ident).uuid
    return uuid


def _cursor(call: Call) -> int | None:
    given = call.header("Last-Event-ID")
    if given is None or not given.strip():
        return None
    if not _CURSOR.match(given.strip()):
        raise Invalid(f"Last-Event-ID: must be the id of an event, not `{clip(given)}`")
    cursor = int(given)
    call.services.ticketing().check_cursor(cursor)
    return cursor


def _words(name: str, text: str | None, known: set[str]) -> list[str]:
    """One or several of `known`, with commas between them."""
    words = [] if text is None else list(dict.fromkeys(text.split(",")))
    for word in words:
        if word not in known:
            raise Invalid(f"{name}: `{clip(word)}` is not one of {', '.join(sorted(known))}")
    return words


def wait(call: Call, container: Container, hidden: frozenset[str]) -> Answer | Container:
    """Where to wait until `container` has one of the statuses; the container itself if there is nothing to wait for."""
    wanted = _words("wait", call.params["wait"], _STATUSES)
    mark = call.services.ticketing().mark(container.uuid)
    # Read again after the mark: whatever happens from now on is behind it.
    now = call.services.containers.find(call.caller, container.uuid)
    seconds = int(call.params.get("timeout", min(_WAIT, call.settings.max_wait)))
    if now.status in wanted or seconds == 0:
        return now
    content = {
        "container": now.uuid,
        "wanted": wanted,
        "timeout": seconds,
        "mark": mark,
        "view": views.pack(call.urls, hidden, call.version),
    }
    return send_on(call, f"containers/{now.uuid}", content)


def follow(call: Call, container: Container, query: LogQuery) -> Answer:
    """Where the log is followed."""
    call.services.containers.check_logs(container)
    content = {"host": container.host, "arguments": arguments_of(container, query, 0)}
    return send_on(call, f"containers/{container.uuid}/logs", content)


def execute(call: Call, container: Container, words: list[str], stdin: str | None) -> Answer:
    """Where a command is run and waited for."""
    params = call.params
    content = {
        "host": container.host,
        "arguments": call.services.containers.check_execute(container, words, stdin),
        "seconds": int(params["timeout"]),
        "kill_on_close": as_bool(params.get("kill_on_close", True)),
        "version": list(call.version),
    }
    return send_on(call, f"containers/{container.uuid}/execute", content)
