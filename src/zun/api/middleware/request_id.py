"""Gives every request an id of ours, and every answer that id (contract 1).

A client's own header of that name is ignored: the id keys container actions, so it has to be unique.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from zun.api.context import REQUEST_ID

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

HEADER = "x-openstack-request-id"


class RequestId:
    """Outermost: nothing answers without it."""

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        request_id = f"req-{uuid.uuid4()}"
        environ[REQUEST_ID] = request_id

        def start(
            status: str, headers: list[tuple[str, str]], exc_info: Any = None
        ) -> Callable[[bytes], object]:
            named = [*headers, (HEADER, request_id)]
            return (
                start_response(status, named, exc_info)
                if exc_info
                else start_response(status, named)
            )

        return self._app(environ, start)
