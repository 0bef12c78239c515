"""One spelling of every path (contract 2.0, Slashes; 1, Unversioned alias).

Doubled and trailing slashes mean nothing, a first segment other than `v1` is served as if `/v1` preceded
it, and there are no redirects. File extensions mean nothing either: `web.txt` is a name (defect 13.2-24).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from zun.api.errors import RoutingError

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment


def normalise(path: str) -> str:
    """The one spelling of `path`, as WSGI gives it (bytes in latin-1)."""
    segments = [segment for segment in path.split("/") if segment]
    if not segments:
        return "/"
    if segments[0] != "v1":
        segments.insert(0, "v1")
    return "/" + "/".join(segments)


class Paths:
    """Rewrites PATH_INFO; a path that is not UTF-8 names nothing."""

    def __init__(self, app: WSGIApplication) -> None:
        self._app = app

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        try:
            path.encode("latin-1").decode("utf-8")
        except UnicodeError:
            raise RoutingError(
                404, "The path is not valid UTF-8: there is no such resource."
            ) from None
        environ["PATH_INFO"] = normalise(path)
        return self._app(environ, start_response)
