"""Containers (contract 2.1 to 2.4)."""

from __future__ import annotations

import signal
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import orjson

from zun.api.endpoint import Answer, Call, Handler, target_of
from zun.api.errors import clip
from zun.api.handlers import later, sessions
from zun.api.paging import list_query, next_link
from zun.api.policies.containers import FIELD_PREFIX
from zun.api.schemas.lift import lift, split_command, to_draft
from zun.api.schemas.types import as_bool
from zun.api.versions import EXEC_TIMEOUT, IDEMPOTENCY, LATER, LIST_FILTERS, Version
from zun.api.views import containers as views
from zun.api.views.later import executed
from zun.model.container import FILTERS, OWN_FILTERS, SORT_KEYS, Container
from zun.model.lifecycle import Action, Status
from zun.service.errors import Invalid
from zun.service.once import Once
from zun.service.queries import LogQuery

#: What a create may name only with a rule of its own (contract 2.2); `privileged` counts even when false.
_SUB_RULES: Mapping[str, str] = {
    "runtime": "container:create:runtime",
    "image_pull_policy": "container:create:image_pull_policy",
    "host": "container:create:requested_destination",
}
_STATUSES = {status.value: status for status in Status}


def _flag(call: Call, name: str, default: bool = False) -> bool:
    value = call.params.get(name)
    return default if value is None else as_bool(value)


def _hidden(call: Call) -> views.Hidden:
    def hidden(project_id: str, user_id: str) -> frozenset[str]:
        target = {"project_id": project_id, "user_id": user_id}
        return call.enforcer.hidden_fields(call.caller, FIELD_PREFIX, target)

    return hidden


def _now() -> datetime:
    return datetime.now(UTC).replace(tzinfo=None)


def _shown(call: Call, container: Container, status: int = 200) -> Answer:
    shown = views.one(
        container, urls=call.urls, hidden=_hidden(call), now=_now(), version=call.version
    )
    return Answer(status, shown)


def create(call: Call) -> Answer:
    """POST /containers: 202, and the rest happens later."""
    body = lift(call.body, call.version)
    call.authorize("container:create")
    for field, rule in _SUB_RULES.items():
        if body.get(field) is not None:
            call.authorize(rule)
    if "privileged" in body:
        call.authorize("container:create:privileged")
    run, headers = _flag(call, "run"), {}
    once = _once(call, run)
    if once is None:
        container = call.services.containers.create(call.caller, to_draft(body, run=run))
    else:
        container, again = call.services.containers.create_once(
            call.caller, to_draft(body, run=run), once
        )
        headers = {"Idempotency-Replayed": "true"} if again else {}
    shown = views.created(
        container, urls=call.urls, hidden=_hidden(call), now=_now(), version=call.version
    )
    headers["Location"] = call.urls.resource("containers", container.uuid)
    return Answer(202, shown, headers)


def _once(call: Call, run: bool) -> Once | None:
    """The client's key, from 1.43 on, and what it is the key of."""
    key = call.header("Idempotency-Key")
    if key is None or call.version < IDEMPOTENCY:
        return None
    if not 0 < len(key) <= 255 or not (key.isascii() and key.isprintable()):
        raise Invalid("Idempotency-Key: must be 1 to 255 printable ASCII characters")
    whole = {"body": call.body, "run": run}
    return Once(key, orjson.dumps(whole, option=orjson.OPT_SORT_KEYS))


def _filters(call: Call) -> dict[str, Any]:
    """Filters, as columns hold them; a field that policy hides can't be asked for either."""
    filters: dict[str, Any] = {}
    guarded = call.enforcer.field_rules(FIELD_PREFIX)
    for name in (*FILTERS, *OWN_FILTERS):
        value = call.params.get(name)
        if value is None:
            continue
        if name in guarded:
            call.authorize(FIELD_PREFIX + name)
        filters[name] = value
    if "memory" in filters:
        filters["memory"] = int(filters["memory"])
    if "auto_remove" in filters:  # any spelling, on any database (defect 13.2-28)
        filters["auto_remove"] = as_bool(filters["auto_remove"])
    if "labels" in filters:
        filters["labels"] = _selectors(filters["labels"])
    return filters


def _selectors(text: str) -> tuple[tuple[str, str | None], ...]:
    """`key` or `key=value`, several with commas between them: a container must have them all."""
    found = []
    for item in text.split(","):
        key, equals, value = item.partition("=")
        if not key:
            raise Invalid(f"labels: `{clip(item)}` is not of the form key or key=value")
        found.append((key, value if equals else None))
    return tuple(dict.fromkeys(found))


def _statuses(call: Call, text: str) -> Status | tuple[Status, ...] | None:
    """The status or, from 1.41 on, several with commas between them; None where nothing can have it."""
    if call.version < LIST_FILTERS:
        return _STATUSES.get(text)
    known = tuple(_STATUSES[word] for word in text.split(",") if word in _STATUSES)
    return known or None


def list_all(call: Call) -> Answer:
    """GET /containers: one page."""
    call.authorize("container:get_all")
    all_projects = _flag(call, "all_projects")
    if all_projects:
        call.authorize("container:get_all_all_projects")
    filters = _filters(call)
    query = list_query(
        call.params,
        max_limit=call.settings.max_limit,
        sort_keys=SORT_KEYS,
        default_sort="id",
        not_found="container-not-found",
        filters=filters,
        all_projects=all_projects and call.caller.is_admin,
    )
    if "status" in filters:
        statuses = _statuses(call, filters["status"])
        if statuses is None:
            return Answer(200, {"containers": [], "next": None})
        filters["status"] = statuses
    rows = call.services.containers.list(call.caller, query)
    repeated = filters | {key: call.params[key] for key in ("status", "labels") if key in filters}
    repeated |= {"all_projects": True} if all_projects else {}
    return Answer(
        200,
        {
            "containers": views.many(rows, hidden=_hidden(call), now=_now(), version=call.version),
            "next": next_link(call.urls, "containers", rows, query, repeated),
        },
    )


def show(call: Call) -> Answer:
    """GET /containers/{ident}, at once or, from 1.42 on, once it has one of the statuses of `wait`."""
    if _flag(call, "all_projects"):
        call.authorize("container:get_one_all_projects")
    container = call.container("container:get_one")
    if call.version < LATER or "wait" not in call.params:
        return _shown(call, container)
    hidden = _hidden(call)(container.project_id, container.user_id)
    waited = later.wait(call, container, hidden)
    if isinstance(waited, Answer):
        return waited
    shown = _shown(call, waited)
    met = waited.status in call.params["wait"].split(",")
    return replace(shown, headers={"Zun-Waited-For": waited.status}) if met else shown


def update(call: Call) -> Answer:
    """PATCH /containers/{ident}; nothing to change is fine."""
    container = call.container("container:update")
    return _shown(call, call.services.containers.update(call.caller, container, _changes(call)))


def resize_container(call: Call) -> Answer:
    """POST /containers/{ident}/resize_container: 202 with the container as it still is."""
    container = call.container("container:resize_container")
    resized = call.services.containers.resize(call.caller, container, _changes(call))
    return _shown(call, resized, 202)


def _changes(call: Call) -> dict[str, Any]:
    changes: dict[str, Any] = dict(call.params)
    for name, kind in (("cpu", float), ("memory", int), ("auto_heal", as_bool)):
        if name in changes:
            changes[name] = kind(changes[name])
    return changes


def delete(call: Call) -> Answer:
    """DELETE /containers/{ident} (contract 2.4). Force needs its rule with `stop` too (defect 13.2-2)."""
    force, stop = _flag(call, "force"), _flag(call, "stop")
    _needs(call, "force", force, Version(1, 7))
    _needs(call, "stop", stop, Version(1, 12))
    container = call.container("container:delete")
    target = target_of(container)
    if _flag(call, "all_projects"):
        call.authorize("container:delete_all_projects", target)
    if force:
        call.authorize("container:delete_force", target)
    if stop and container.status is Status.RUNNING:
        call.authorize("container:stop", target)
    call.services.containers.delete(call.caller, container, force=force, stop=stop)
    return Answer(204)


def _needs(call: Call, name: str, given: bool, since: Version) -> None:
    if given and call.version < since:
        raise Invalid(
            f"{name}: needs microversion {since} or later", slug="invalid-param-in-version"
        )


def acting(action: Action) -> Handler:
    """POST /containers/{ident}/<action>, for actions that take a timeout or nothing."""

    def act(call: Call) -> Answer:
        container = call.container(f"container:{action}")
        params = {"timeout": int(call.params["timeout"])} if "timeout" in call.params else {}
        call.services.containers.act(call.caller, container, action, **params)
        return Answer(202)

    return act


def signal_name(value: str | int) -> str:
    """The name of a signal given as `SIGX`, `X`, in lower case, or as a number (contract 2.1)."""
    text = str(value).strip().upper()
    if text.isascii() and text.isdigit() and len(text) <= 2:
        number = int(text)
        if number in signal.valid_signals():
            known = {member.value for member in signal.Signals}
            return signal.Signals(number).name if number in known else str(number)
    else:
        name = text if text.startswith("SIG") else f"SIG{text}"
        if name in signal.Signals.__members__:
            return name
    raise Invalid(f"signal: `{clip(str(value))}` is not a signal")


def kill(call: Call) -> Answer:
    """POST /containers/{ident}/kill."""
    params = {"signal": signal_name(call.params["signal"])} if "signal" in call.params else {}
    container = call.container("container:kill")
    call.services.containers.act(call.caller, container, Action.KILL, **params)
    return Answer(202)


def rebuild(call: Call) -> Answer:
    """POST /containers/{ident}/rebuild, from another image or the same."""
    container = call.container("container:rebuild")
    params = {name: call.params[name] for name in ("image", "image_driver") if name in call.params}
    call.services.containers.act(call.caller, container, Action.REBUILD, **params)
    return Answer(202)


def rename(call: Call) -> Answer:
    """POST /containers/{ident}/rename, up to microversion 1.13."""
    container = call.container("container:rename")
    return _shown(
        call, call.services.containers.rename(call.caller, container, call.params["name"])
    )


def _since(text: str) -> float:
    """Seconds of the epoch, or a date and time in UTC (contract 2.1)."""
    if text.isascii() and text.isdigit() and len(text) <= 12:
        return float(text)
    try:
        moment = datetime.strptime(text, "%Y-%m-%d %H:%M:%S,%f").replace(tzinfo=UTC)
    except ValueError:
        raise Invalid(
            f"since: must be seconds of the epoch or `YYYY-MM-DD HH:MM:SS,fff`, not `{clip(text)}`"
        ) from None
    return max(0.0, moment.timestamp())


def logs(call: Call) -> Answer:
    """GET /containers/{ident}/logs: one JSON string."""
    params = call.params
    tail, since = params.get("tail", "all"), params.get("since")
    query = LogQuery(
        stdout=_flag(call, "stdout", True),
        stderr=_flag(call, "stderr", True),
        timestamps=_flag(call, "timestamps"),
        tail=None if tail == "all" else int(tail),
        since=None if since is None else _since(since),
    )
    if not query.stdout and not query.stderr:
        raise Invalid("stdout, stderr: one of them must be true")
    container = call.container("container:logs")
    if _flag(call, "follow"):
        return later.follow(call, container, query)
    return Answer(200, call.services.containers.logs(call.caller, container, query))


def execute(call: Call) -> Answer:
    """POST /containers/{ident}/execute (contract 5.1)."""
    words = split_command("command", call.params["command"])
    if not words:
        raise Invalid("command: is empty")
    container = call.container("container:execute")
    _check_together(call.params)
    if not _flag(call, "run", True):
        return sessions.enter(call, container, words)
    stdin = call.params.get("stdin")
    if "timeout" in call.params and call.version >= EXEC_TIMEOUT:
        return later.execute(call, container, words, stdin)
    found = call.services.containers.execute(call.caller, container, words, stdin)
    return Answer(200, executed(found, call.version))


def _check_together(params: Mapping[str, Any]) -> None:
    """What is said of a command that is waited for, and of one that is talked to, does not mix (from 1.47 on)."""
    run = as_bool(params.get("run", True))
    if not run and "stdin" in params:
        raise Invalid("stdin: is for run=true; to a session it is sent")
    if run and "kill_on_close" in params and "timeout" not in params:
        raise Invalid("kill_on_close: needs run=false, or a timeout")
