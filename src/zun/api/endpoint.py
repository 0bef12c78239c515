"""What one URL and method means, as data, and the one resource that serves them all.

A request passes here in this order: media type, microversion, its range, caller, query, body, handler. Each
refusal is a `ServiceError`, which `app` renders; nothing about one request outlives it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

import falcon
import orjson

from zun.api.context import caller_of
from zun.api.errors import NotAcceptable, RoutingError, clip
from zun.api.middleware.observed import ROUTE
from zun.api.params import read_body, read_merged, read_query, require_json, without_unset
from zun.api.policies.enforcer import Enforcer
from zun.api.schemas.compiled import CompiledSchema, VersionedSchema
from zun.api.settings import ApiSettings
from zun.api.versions import (
    HEADER,
    HEADERS,
    MAX_VERSION,
    MIN_VERSION,
    RANGE_HEADERS,
    Version,
    negotiate,
)
from zun.api.views.links import Urls
from zun.model.container import Container
from zun.service.caller import Caller
from zun.service.errors import NotFound

if TYPE_CHECKING:
    from zun.service.house import Services

_JSON = "application/json"
EVENT_STREAM = "text/event-stream"
PLAIN = "application/octet-stream"
_IDENT_LIMIT = 255


class Takes(Enum):
    """Where an endpoint finds its parameters (contract 2.0, Parameter merge)."""

    NOTHING = "nothing"  # whatever comes is ignored
    QUERY = "query"
    MERGED = "merged"  # query and JSON object of the body, one set; unset values are absent
    CHANGES = "changes"  # likewise, but in the body a null is a value, and a wrong one
    DOCUMENT = "document"  # a JSON document, announced as such; the query apart


@dataclass(frozen=True, slots=True)
class Answer:
    """What a handler answers; a 204 has no body at all (defect 13.2-26).

    text, file: JSON as it is, in place of `body`; a file has `length` bytes of it, and is closed once it is sent.
    """

    status: int
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    text: bytes | None = None
    file: BinaryIO | None = None
    length: int = 0


@dataclass(frozen=True, slots=True)
class Call:
    """One request, as a handler sees it."""

    services: Services
    settings: ApiSettings
    enforcer: Enforcer
    caller: Caller
    version: Version
    urls: Urls
    path: Mapping[str, str]  # the variables of the path template
    params: Mapping[str, Any]  # validated; what was not given is absent
    body: Mapping[str, Any]  # validated; only with Takes.DOCUMENT
    header: Callable[[str], str | None] = lambda name: None

    def authorize(self, rule: str, target: Mapping[str, str] | None = None) -> None:
        """Raise Forbidden unless policy allows it; without a target, on the caller's own project."""
        self.enforcer.authorize(self.caller, rule, target)

    def container(self, *rules: str) -> Container:
        """The container of the path, on which all `rules` allow the caller to act.

        Found first, then judged: a row of another project is a 404, never a 403 (contract 13.1-9).
        Administrators reach every project without saying so.
        """
        ident = self.path["ident"]
        if len(ident) > _IDENT_LIMIT or not ident.isprintable():
            raise NotFound(f"There is no container {clip(ident)} in your project.")
        found = self.services.containers.find(self.caller, ident, any_project=self.caller.is_admin)
        for rule in rules:
            self.authorize(rule, target_of(found))
        return found


class _Owned(Protocol):
    @property
    def project_id(self) -> str: ...
    @property
    def user_id(self) -> str: ...


def target_of(row: _Owned) -> dict[str, str]:
    """What policy rules may look at of a container or registry."""
    return {"project_id": row.project_id, "user_id": row.user_id}


Handler = Callable[[Call], Answer]


@dataclass(frozen=True, slots=True, kw_only=True)
class Endpoint:
    """One method of one URL."""

    handler: Handler
    takes: Takes = Takes.NOTHING
    params: VersionedSchema | None = None  # the query, or the merged parameters
    document: VersionedSchema | None = None
    unwrap: Callable[[Any], Any] | None = None  # what the document stands for, before all else
    check: Callable[[object, Version], None] | None = None  # of the document, before its schema
    binary: frozenset[str] = frozenset()  # parameters whose text may hold NUL
    since: Version = MIN_VERSION
    until: Version = MAX_VERSION
    public: bool = False  # no caller: `/` and `/v1`
    versioned: bool = True  # `/` knows no microversion
    produces: tuple[str, ...] = ()  # media types of its long-lived answer, beside JSON


@dataclass(frozen=True, slots=True)
class Frame:
    """What all endpoints of one application share."""

    services: Services
    settings: ApiSettings
    enforcer: Enforcer
    schemas: Mapping[VersionedSchema, CompiledSchema]


_NOBODY = Caller(user_id="", project_id="", roles=frozenset(), request_id="")


class Resource:
    """Falcon's view of one path: an `on_<method>` for each endpoint, 405 for the rest."""

    def __init__(self, frame: Frame, endpoints: Mapping[str, Endpoint]) -> None:
        self._frame = frame
        self._allowed = ", ".join(endpoints)
        for method, endpoint in endpoints.items():
            setattr(self, f"on_{method.lower()}", self._responder(endpoint))

    def on_options(self, _req: falcon.Request, resp: falcon.Response, **_path: str) -> None:
        """Falcon would answer OPTIONS itself; the contract says 405 (2.0, Other verbs)."""
        resp.set_header("Allow", self._allowed)
        raise RoutingError(405, "OPTIONS: this method is not served here")

    def _responder(self, endpoint: Endpoint) -> Callable[..., None]:
        def respond(req: falcon.Request, resp: falcon.Response, **path: str) -> None:
            answer = endpoint.handler(self._call(endpoint, req, resp, path))
            write(resp, answer)

        return respond

    def _call(
        self,
        endpoint: Endpoint,
        req: falcon.Request,
        resp: falcon.Response,
        path: Mapping[str, str],
    ) -> Call:
        req.env[ROUTE] = req.uri_template
        if not any(req.client_accepts(kind) for kind in (_JSON, *endpoint.produces)):
            raise NotAcceptable(f"Accept: only {_JSON} is served, not `{clip(req.accept)}`")
        version = MIN_VERSION
        if endpoint.versioned:
            resp.set_headers(RANGE_HEADERS)
            version = negotiate(req.get_header(HEADER))
            resp.set_headers(HEADERS[version])
            _check_range(endpoint, version, req)
        environ = req.env
        caller = _NOBODY if endpoint.public else caller_of(environ, self._frame.enforcer)
        params, body = self._parameters(endpoint, version, req)
        return Call(
            services=self._frame.services,
            settings=self._frame.settings,
            enforcer=self._frame.enforcer,
            caller=caller,
            version=version,
            urls=Urls.of(environ),
            path=path,
            params=params,
            body=body,
            header=req.get_header,
        )

    def _parameters(
        self, endpoint: Endpoint, version: Version, req: falcon.Request
    ) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
        takes = endpoint.takes
        if takes is Takes.NOTHING:
            return {}, {}
        if takes is Takes.DOCUMENT:
            require_json(req.content_type or "")
        params: dict[str, Any] = read_query(req.query_string)
        if takes is Takes.CHANGES:
            params = without_unset(params)
        if takes in (Takes.MERGED, Takes.CHANGES):
            params = read_merged(
                params, req.bounded_stream.read(), req.content_type or _JSON, endpoint.binary
            )
        if endpoint.params is not None:
            self._frame.schemas[endpoint.params].check(version, params)
        if takes is not Takes.CHANGES:
            params = without_unset(params)
        if takes is not Takes.DOCUMENT or endpoint.document is None:
            return params, {}
        document = read_body(req.bounded_stream.read())
        if document is None:
            document = {}
        if endpoint.unwrap is not None:
            document = endpoint.unwrap(document)
        if endpoint.check is not None:
            endpoint.check(document, version)
        self._frame.schemas[endpoint.document].check(version, document)
        return params, document


def _check_range(endpoint: Endpoint, version: Version, req: falcon.Request) -> None:
    if not endpoint.since <= version <= endpoint.until:
        raise NotAcceptable(
            f"{HEADER}: {req.method} {clip(req.path)} is not supported at version {version}; "
            f"it is from {endpoint.since} to {endpoint.until}"
        )


def write(resp: falcon.Response, answer: Answer) -> None:
    """Put an answer on the wire; an empty success is JSON `null` (contract 2.0), a 204 is nothing."""
    resp.status = answer.status
    resp.set_headers(answer.headers)
    if answer.file is not None:
        resp.content_type = _JSON
        resp.set_stream(answer.file, answer.length)
    elif answer.status != 204:
        resp.content_type = _JSON
        resp.data = (
            orjson.dumps(answer.body, default=_plain) if answer.text is None else answer.text
        )


def _plain(value: Any) -> Any:
    """Frozen collections of the model, which orjson does not know."""
    if isinstance(value, Mapping):
        return dict(value)
    if isinstance(value, frozenset | set):
        return sorted(value)
    raise TypeError(f"not for JSON: {type(value).__name__}")
