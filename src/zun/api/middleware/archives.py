"""Bounds how many archives are in memory at a time: each is held whole, several times over, while it is handled."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING

from zun.service.errors import Unavailable

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

#: The last segments of the paths that are bounded.
PUT, GET = "put_archive", "get_archive"
_PATHS = frozenset({PUT, GET})

_AT_ONCE = 2
_PATIENCE = 5.0  # seconds; more would keep threads from short requests


class ArchiveGate:
    """Lets two such requests pass at a time, and has others wait a little."""

    def __init__(self, app: WSGIApplication, patience: float = _PATIENCE) -> None:
        self._app = app
        self._patience = patience
        self._slots = threading.BoundedSemaphore(_AT_ONCE)

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ.get("PATH_INFO", "").rpartition("/")[2] not in _PATHS:
            return self._app(environ, start_response)
        if not self._slots.acquire(timeout=self._patience):
            raise Unavailable("Other archives are under way; ask again in a moment.")
        try:
            return self._app(environ, start_response)
        finally:
            self._slots.release()
