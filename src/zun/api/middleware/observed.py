"""Counts and times every request, and writes one line of log for it.

The line goes to the logger `zun.access` at INFO; an operator who does not want it sets
`default_log_levels = zun.access=WARNING`. It never has the query, in which commands and tickets travel.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, Counter, Histogram

from zun.api.context import REQUEST_ID

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

ACCESS = logging.getLogger("zun.access")

#: Where the endpoint that was found leaves its URL template.
ROUTE = "zun.route"

_METHODS = frozenset({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"})
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60)


class HttpMetrics:
    """What an operator's Prometheus may know of requests, in `registry`. Labels come from us, never from clients."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "zun_http_requests", "Requests answered, by URL template, method and class of status.",
            ["route", "method", "status"], registry=registry,
        )  # fmt: skip
        self.seconds = Histogram(
            "zun_http_request_seconds", "Time until a request was answered, by URL template and method.",
            ["route", "method"], registry=registry, buckets=_SECONDS,
        )  # fmt: skip


class Observed:
    """Outside everything that may answer, inside what gives the request its id."""

    def __init__(self, app: WSGIApplication, metrics: HttpMetrics | None) -> None:
        self._app = app
        self._metrics = metrics

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        begun = time.perf_counter()
        status = "500"

        def start(
            line: str, headers: list[tuple[str, str]], exc_info: Any = None
        ) -> Callable[[bytes], object]:
            nonlocal status
            status = line[:3]
            return (
                start_response(line, headers, exc_info)
                if exc_info
                else start_response(line, headers)
            )

        try:
            return self._app(environ, start)
        finally:
            self._note(environ, status, time.perf_counter() - begun)

    def _note(self, environ: WSGIEnvironment, status: str, seconds: float) -> None:
        method = environ["REQUEST_METHOD"]
        if self._metrics is not None:
            route = environ.get(ROUTE, "unmatched")
            shown = method if method in _METHODS else "other"
            self._metrics.requests.labels(route, shown, f"{status[0]}xx").inc()
            self._metrics.seconds.labels(route, shown).observe(seconds)
        if ACCESS.isEnabledFor(logging.INFO):
            ACCESS.info(
                "%s %s status=%s seconds=%.4f user=%s project=%s request=%s",
                repr(method)[1:-1][:20], repr(environ.get("PATH_INFO", ""))[1:-1][:300], status, seconds,
                environ.get("HTTP_X_USER_ID", "-"), environ.get("HTTP_X_PROJECT_ID", "-"),
                environ.get(REQUEST_ID, "-"),
            )  # fmt: skip
