"""Who gets past without a token: `/` and `/v1` (contract 1), and what describes them."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from zun.api.context import strip_identity

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


class Access:
    """Sends `public` paths straight to the application, everything else through authentication.

    Behind it no authentication needs to know the paths, so any WSGI middleware fits.
    """

    def __init__(
        self, app: WSGIApplication, authenticated: WSGIApplication, public: frozenset[str]
    ) -> None:
        self._app = app
        self._authenticated = authenticated
        self._public = public

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] in self._public:
            strip_identity(environ)
            return self._app(environ, start_response)
        return self._authenticated(environ, start_response)
