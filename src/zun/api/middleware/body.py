"""Bounds the request body before anybody parses it: 413 by its announced or by its true length."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from zun.api.errors import LengthRequired, TooLarge, clip
from zun.service.errors import Invalid

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

_CHUNK = 65536


class BodyBound:
    """Reads the body, at most `limit` bytes of it, and hands it on with its true length.

    Every body of the API is one JSON document, which has to be whole before it can be parsed, so
    reading it here costs nothing more and treats chunked bodies and announced ones alike.
    `limits`: the last segment of a path -> the limit there.
    """

    def __init__(self, app: WSGIApplication, limit: int, limits: Mapping[str, int]) -> None:
        self._app = app
        self._limit = limit
        self._limits = limits

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        last = environ.get("PATH_INFO", "").rpartition("/")[2]
        body = _Reader(self._limits.get(last, self._limit)).read(environ)
        environ["wsgi.input"] = io.BytesIO(body)
        environ["CONTENT_LENGTH"] = str(len(body))
        return self._app(environ, start_response)


class _Reader:
    """Reads one body of at most `limit` bytes."""

    def __init__(self, limit: int) -> None:
        self._limit = limit

    def read(self, environ: WSGIEnvironment) -> bytes:
        """The body. Raises TooLarge, LengthRequired, Invalid."""
        announced = environ.get("CONTENT_LENGTH") or ""
        stream: Any = environ["wsgi.input"]
        if not announced:
            if "HTTP_TRANSFER_ENCODING" not in environ:
                return b""
            if not environ.get("wsgi.input_terminated"):
                raise LengthRequired(
                    "Content-Length: is needed, this server can't read a chunked body"
                )
            return self._read_at_most(stream, self._limit + 1)
        if not (announced.isascii() and announced.isdigit()) or len(announced) > 18:
            raise Invalid(f"Content-Length: `{clip(announced)}` is not a length")
        length = int(announced)
        if length > self._limit:
            raise self._too_large()
        body = self._read_at_most(stream, length)
        if len(body) < length:
            raise Invalid(f"Content-Length: {length} bytes were announced, {len(body)} came")
        return body

    def _read_at_most(self, stream: Any, count: int) -> bytes:
        parts: list[bytes] = []
        left = count
        while left > 0:
            part = stream.read(min(left, _CHUNK))
            if not part:
                break
            parts.append(part)
            left -= len(part)
        body = b"".join(parts)
        if len(body) > self._limit:
            raise self._too_large()
        return body

    def _too_large(self) -> TooLarge:
        return TooLarge(
            f"The request body is larger than {self._limit} bytes, the most this service takes."
        )
