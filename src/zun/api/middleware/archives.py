"""Bounds how many archives are handled at a time: one that is put is in memory, one that is got is on the disk."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from typing import TYPE_CHECKING

from zun.service.errors import Unavailable

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

#: The last segments of the paths that are bounded.
PUT, GET = "put_archive", "get_archive"

_AT_ONCE = {PUT: 2, GET: 4}
_PATIENCE = 5.0  # seconds; more would keep threads from short requests


class ArchiveGate:
    """Lets few such requests pass at a time, and has others wait a little."""

    def __init__(self, app: WSGIApplication, patience: float = _PATIENCE) -> None:
        self._app = app
        self._patience = patience
        self._slots = {last: threading.BoundedSemaphore(most) for last, most in _AT_ONCE.items()}

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        slots = self._slots.get(environ.get("PATH_INFO", "").rpartition("/")[2])
        if slots is None:
            return self._app(environ, start_response)
        if not slots.acquire(timeout=self._patience):
            raise Unavailable("Other archives are under way; ask again in a moment.")
        try:
            return self._app(environ, start_response)
        finally:
            slots.release()
