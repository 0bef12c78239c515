"""The whole API as one WSGI callable.

The order, outermost first, and why:

1. `RequestId`    every answer carries an id, those of all layers below included.
2. `Observed`     counts, times and logs whatever is answered, with the id.
3. the front      proxies' headers and CORS, where configured; refusals of all layers below need its headers, too.
4. `Faults`       what any layer below raises becomes the common error body; it needs the id for the log.
5. `HealthCheck`  must answer without credentials and without the API's own path rules.
6. `Paths`        one spelling of the path, before anybody decides anything by it.
7. `Access`       what is public goes past authentication; by the path, hence after 6.
8. authentication nobody's body is read, nor any work done, for a caller who is not known.
9. `ArchiveGate`  few of the requests that may be large are read at a time.
10. `BodyBound`   nothing is parsed before its size is known to be bounded.
11. Falcon        routing, then the endpoint; its error handlers keep the version headers on errors.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import falcon
from falcon.constants import COMBINED_METHODS
from prometheus_client import CollectorRegistry

from zun.api.context import REQUEST_ID
from zun.api.endpoint import Endpoint, Frame, Resource
from zun.api.errors import RoutingError, clip, render, render_unforeseen
from zun.api.middleware.access import Access
from zun.api.middleware.archives import PUT, ArchiveGate
from zun.api.middleware.body import BodyBound
from zun.api.middleware.faults import Faults, log_unforeseen
from zun.api.middleware.health import HealthCheck
from zun.api.middleware.observed import HttpMetrics, Observed
from zun.api.middleware.paths import Paths
from zun.api.middleware.request_id import RequestId
from zun.api.policies.enforcer import Enforcer
from zun.api.routes import ROUTES, Routes
from zun.api.schemas.compiled import CompiledSchema, VersionedSchema
from zun.api.settings import ApiSettings
from zun.service.errors import ServiceError, of_database
from zun.store.errors import DatabaseError

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

    from zun.service.house import Services

LOG = logging.getLogger(__name__)

#: Wraps an application into authentication: `NoAuth`, `HttpBasic` with its files bound, keystonemiddleware.
Middleware = Callable[["WSGIApplication"], "WSGIApplication"]


def build_app(
    services: Services,
    settings: ApiSettings,
    authenticate: Middleware,
    enforcer: Enforcer | None = None,
    registry: CollectorRegistry | None = None,
    front: Middleware | None = None,
) -> WSGIApplication:
    """The API of `services`. Without an `enforcer`, policy is that of the defaults; `registry` counts requests.

    `front` sees each request first and each answer last, errors included.
    """
    router = _router(
        Frame(services, settings, enforcer or Enforcer(), _compile(settings, ROUTES)), ROUTES
    )
    bounded = ArchiveGate(BodyBound(router, settings.max_body, {PUT: settings.max_archive}))
    access = Access(bounded, authenticate(bounded), _public(ROUTES))
    faults: WSGIApplication = Faults(HealthCheck(Paths(access), services.health))
    if front is not None:
        faults = Faults(front(faults))
    return RequestId(Observed(faults, HttpMetrics(registry) if registry is not None else None))


def _public(routes: Routes) -> frozenset[str]:
    """Paths all of whose methods are for everybody."""
    return frozenset(
        path
        for path, methods in routes.items()
        if methods and all(endpoint.public for endpoint in methods.values())
    )


def _compile(settings: ApiSettings, routes: Routes) -> dict[VersionedSchema, CompiledSchema]:
    schemas: dict[VersionedSchema, CompiledSchema] = {}
    for methods in routes.values():
        for endpoint in methods.values():
            for schema in _schemas(endpoint):
                schemas.setdefault(schema, schema.compile(settings))
    return schemas


def _schemas(endpoint: Endpoint) -> list[VersionedSchema]:
    return [schema for schema in (endpoint.params, endpoint.document) if schema is not None]


def _router(frame: Frame, routes: Routes) -> WSGIApplication:
    app: falcon.App[falcon.Request, falcon.Response] = falcon.App()
    app.add_error_handler(Exception, _unforeseen)
    app.add_error_handler(falcon.HTTPError, _routing_errors(routes))
    app.add_error_handler(ServiceError, _refusal)
    app.add_error_handler(DatabaseError, _no_database)
    for template, methods in routes.items():
        app.add_route(template, Resource(frame, methods))
    return app


def _refusal(
    _req: falcon.Request, resp: falcon.Response, error: ServiceError, _params: dict[str, Any]
) -> None:
    resp.status = error.status
    resp.content_type = falcon.MEDIA_JSON
    resp.data = render(error)


def _no_database(
    req: falcon.Request, resp: falcon.Response, error: DatabaseError, params: dict[str, Any]
) -> None:
    LOG.error("%s: %s: %s", req.env.get(REQUEST_ID), type(error).__name__, error)
    _refusal(req, resp, of_database(error), params)


_ErrorHandler = Callable[[falcon.Request, falcon.Response, falcon.HTTPError, dict[str, Any]], None]


def _routing_errors(routes: Routes) -> _ErrorHandler:
    """Falcon's own refusals, which are those of its router, in the common shape (contract 7)."""
    known = [
        (re.compile(re.sub(r"\{\w+\}", "[^/]+", path)), methods) for path, methods in routes.items()
    ]

    def refuse(
        req: falcon.Request, resp: falcon.Response, error: falcon.HTTPError, params: dict[str, Any]
    ) -> None:
        status = error.status_code
        headers = dict(error.headers or {})
        if req.method not in COMBINED_METHODS:
            # Falcon calls a method it never heard of a bad request, whatever the path.
            allowed = [methods for path, methods in known if path.fullmatch(req.path)]
            status = 405 if allowed else 404
            headers = {"Allow": ", ".join(allowed[0])} if allowed else {}
        if status == 404:
            message = f"There is no resource at {clip(req.path)}."
        elif status == 405:
            message = f"{clip(req.method)}: this method is not served at {clip(req.path)}."
        else:
            message = error.title or "The request is not understood."
        for name, value in headers.items():
            # Falcon counts OPTIONS among what is allowed; here it is not.
            resp.set_header(name, value.replace("OPTIONS, ", "").replace("OPTIONS", ""))
        _refusal(req, resp, RoutingError(status, message), params)

    return refuse


def _unforeseen(
    req: falcon.Request, resp: falcon.Response, error: Exception, _params: dict[str, Any]
) -> None:
    resp.status = 500
    resp.content_type = falcon.MEDIA_JSON
    resp.data = render_unforeseen(log_unforeseen(req.env, error))
