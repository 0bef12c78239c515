"""Errors on the wire (contract 7): one body for everything but the 401, which authentication writes."""

from __future__ import annotations

from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

import orjson

from zun.service.errors import ServiceError

#: A value of the caller is repeated in an error up to here.
ECHO_LIMIT = 100


class NotAcceptable(ServiceError):
    """406: no media type or microversion that the caller named can be served."""

    status = 406
    slug = ""


class VersionUnsupported(NotAcceptable):
    """406: a well-formed microversion outside the range (contract 1, intended behaviour; defect 13.2-19)."""

    def __init__(self, message: str, *, minimum: str, maximum: str) -> None:
        super().__init__(message)
        self.minimum, self.maximum = minimum, maximum


class UnsupportedMediaType(ServiceError):
    """415: a body that is not JSON (defect 13.2-20)."""

    status = 415
    slug = "unsupported-media-type"


class TooLarge(ServiceError):
    """413: the body is larger than the operator allows."""

    status = 413
    slug = "request-entity-too-large"


class LengthRequired(ServiceError):
    """411: the server can't tell where the body ends."""

    status = 411
    slug = "length-required"


class RoutingError(ServiceError):
    """404 or 405 of the router: the slug is empty (contract 7)."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message, slug="")
        self.status = status


def clip(value: object) -> str:
    """`value` as text, short enough and without control characters, to be shown in an error."""
    text = value if isinstance(value, str) else repr(value)
    cut = text[:ECHO_LIMIT]
    shown = "".join(char if char.isprintable() else "\N{REPLACEMENT CHARACTER}" for char in cut)
    return shown + "..." if len(text) > ECHO_LIMIT else shown


def body_of(
    status: int, title: str, *, code: str, detail: str | None = None, **extra: Any
) -> dict[str, Any]:
    """The common error body. Clients show `title` and need every key (contract 7)."""
    error = {
        "request_id": "",
        "code": code,
        "status": status,
        "title": title,
        "detail": title if detail is None else detail,
        "links": [],
    }
    return {"errors": [error | extra]}


def render(error: ServiceError) -> bytes:
    """The body of an error that was foreseen."""
    if isinstance(error, VersionUnsupported):
        extra: Mapping[str, Any] = {
            "min_version": error.minimum,
            "max_version": error.maximum,
            "links": [
                {
                    "rel": "help",
                    "href": "https://docs.openstack.org/api-guide/compute/microversions.html",
                }
            ],
        }
        body = body_of(error.status, error.message, code="zun.microversion-unsupported", **extra)
    else:
        body = body_of(error.status, error.message, code=f"container.{error.slug}")
    return orjson.dumps(body)


def render_unforeseen(correlation: str) -> bytes:
    """The body of a 500: nothing of ours leaks, the correlation id finds the traceback in the log."""
    detail = f"The service failed unexpectedly. Tell the operator this id, it is in the log: {correlation}"
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    return orjson.dumps(body_of(status, status.phrase, code="container.", detail=detail))


def status_line(status: int) -> str:
    """`404 Not Found`."""
    return f"{status} {HTTPStatus(status).phrase}"
