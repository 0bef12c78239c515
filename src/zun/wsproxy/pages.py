"""The console page, from files that come with us: nothing of it is fetched from elsewhere."""

from __future__ import annotations

import email.utils
import gzip
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from http import HTTPStatus
from importlib.resources import files

from websockets.datastructures import Headers
from websockets.http11 import Response

_HTML = "text/html; charset=utf-8"
_SCRIPT = "text/javascript; charset=utf-8"
_STYLE = "text/css; charset=utf-8"

#: Name in the URL -> where it is below `console/`, and what it is.
_FILES: dict[str, tuple[str, str]] = {
    "": ("index.html", _HTML),
    "console.js": ("console.js", _SCRIPT),
    "console.css": ("console.css", _STYLE),
    "icon.svg": ("icon.svg", "image/svg+xml"),
    "xterm.js": ("vendor/xterm.js", _SCRIPT),
    "xterm.css": ("vendor/xterm.css", _STYLE),
    "addon-fit.js": ("vendor/addon-fit.js", _SCRIPT),
    "LICENSES.txt": ("vendor/LICENSES.txt", "text/plain; charset=utf-8"),
}
#: Below any prefix, for a proxy before us may add one.
_PATH = re.compile(r"(?:/[^?#]*)?/console/([^/?#]*)")


@dataclass(frozen=True, slots=True)
class _Page:
    kind: str
    plain: bytes
    packed: bytes


class Pages:
    """`frame_ancestors`: the sources whose pages may show the console in a frame; none by default."""

    def __init__(self, frame_ancestors: Sequence[str] = ()) -> None:
        self._pages = _read()
        ancestors = " ".join(frame_ancestors) or "'none'"
        self._headers = {
            # The terminal sets its colours and sizes in a style element: no other inline thing is let in.
            "Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; "
            f"connect-src 'self'; img-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors {ancestors}",
            "Referrer-Policy": "no-referrer",
            "X-Content-Type-Options": "nosniff",
            "Cross-Origin-Opener-Policy": "same-origin",
            "Cross-Origin-Resource-Policy": "same-origin",
            "Cache-Control": "no-store",
        }
        if not frame_ancestors:
            self._headers["X-Frame-Options"] = "DENY"

    def find(self, path: str, accepted: str) -> Response | None:
        """The answer to a GET of `path`; None where it is none of ours. `accepted`: the encodings the client takes."""
        match = _PATH.fullmatch(path)
        page = self._pages.get(match[1]) if match else None
        if page is None:
            return None
        packed = bool(re.search(r"\bgzip\b(?!\s*;\s*q=0)", accepted))
        headers = {**self._headers, "Content-Type": page.kind, "Vary": "Accept-Encoding"}
        if packed:
            headers["Content-Encoding"] = "gzip"
        return answer(HTTPStatus.OK, page.packed if packed else page.plain, headers)


def answer(status: int, body: bytes, headers: Mapping[str, str]) -> Response:
    """A whole answer, after which the connection ends."""
    try:
        phrase = HTTPStatus(status).phrase
    except ValueError:
        phrase = ""
    standing = {
        "Date": email.utils.formatdate(usegmt=True),
        "Connection": "close",
        "Content-Length": str(len(body)),
    }
    return Response(status, phrase, Headers({**standing, **headers}), body)


def refused(status: int, reason: str) -> Response:
    """A refusal, with its reason in the body."""
    headers = {
        "Content-Type": "text/plain; charset=utf-8",
        "Cache-Control": "no-store",
        "X-Content-Type-Options": "nosniff",
    }
    if status == HTTPStatus.UPGRADE_REQUIRED:
        headers["Upgrade"] = "websocket"
    return answer(status, reason.encode() + b"\n", headers)


def _read() -> dict[str, _Page]:
    folder = files("zun.wsproxy") / "console"
    pages = {}
    for name, (file, kind) in _FILES.items():
        plain = folder.joinpath(file).read_bytes()
        pages[name] = _Page(kind, plain, gzip.compress(plain, mtime=0))
    return pages
