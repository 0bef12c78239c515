"""The last net: whatever nobody foresaw becomes a 500 with an opaque id (contract 7)."""

from __future__ import annotations

import logging
import sys
import uuid
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from zun.api.context import REQUEST_ID
from zun.api.errors import render, render_unforeseen, status_line
from zun.service.errors import ServiceError

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

LOG = logging.getLogger(__name__)


def log_unforeseen(environ: WSGIEnvironment, error: Exception) -> str:
    """Write the traceback of `error` to the log; the id by which to find it."""
    correlation = str(uuid.uuid4())
    LOG.error(
        "unforeseen error %s in %s %s (%s)",
        correlation,
        environ.get("REQUEST_METHOD"),
        repr(environ.get("PATH_INFO"))[:300],
        environ.get(REQUEST_ID),
        exc_info=error,
    )
    return correlation


class Faults:
    """Turns exceptions of the layers within into the common error body."""

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        try:
            return self._app(environ, start_response)
        except ServiceError as error:
            return _answer(start_response, error.status, render(error), exc_info=False)
        except Exception as error:
            correlation = log_unforeseen(environ, error)
            return _answer(start_response, 500, render_unforeseen(correlation), exc_info=True)


def _answer(
    start_response: StartResponse, status: int, body: bytes, *, exc_info: bool
) -> list[bytes]:
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    info: Any = sys.exc_info() if exc_info else None
    if info:
        start_response(status_line(status), headers, info)
    else:
        start_response(status_line(status), headers)
    return [body]
