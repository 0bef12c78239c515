"""`/healthcheck`: apart from the API, without authentication (contract 1)."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import TYPE_CHECKING

import orjson

from zun.api.errors import RoutingError, render, status_line

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

    from zun.service.health import Health

LOG = logging.getLogger(__name__)
PATH = "/healthcheck"


class HealthCheck:
    """200 when every part works, else 503; each part is named. A part that fails to answer has failed."""

    def __init__(self, app: WSGIApplication, health: Health) -> None:
        self._app = app
        self._health = health

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ.get("PATH_INFO", "").rstrip("/") != PATH:
            return self._app(environ, start_response)
        if environ["REQUEST_METHOD"] not in ("GET", "HEAD"):
            return _not_served(start_response)
        ok, body = self._report()
        headers = [
            ("Content-Type", "application/json"),
            ("Content-Length", str(len(body))),
            ("Cache-Control", "no-store"),
        ]
        start_response("200 OK" if ok else "503 Service Unavailable", headers)
        return [] if environ["REQUEST_METHOD"] == "HEAD" else [body]

    def _report(self) -> tuple[bool, bytes]:
        try:
            report = self._health.report()
        except Exception:
            LOG.exception("the health report itself failed")
            report = {"service": (False, "the health report itself failed")}
        checks = {
            name: {"status": "ok" if good else "failed", "detail": detail}
            for name, (good, detail) in report.items()
        }
        ok = all(good for good, _ in report.values())
        return ok, orjson.dumps({"status": "ok" if ok else "failed", "checks": checks})


def _not_served(start_response: StartResponse) -> list[bytes]:
    body = render(RoutingError(405, f"{PATH}: only GET is served here"))
    headers = [
        ("Content-Type", "application/json"),
        ("Content-Length", str(len(body))),
        ("Allow", "GET, HEAD"),
    ]
    start_response(status_line(405), headers)
    return [body]
