"""What goes on in a container: processes, usage, files (contract 6)."""

from __future__ import annotations

import base64
import binascii

from zun.api.endpoint import Answer, Call
from zun.api.versions import Version
from zun.api.views import usage as views
from zun.service.errors import Invalid

_BASE64 = Version(1, 25)


def top(call: Call) -> Answer:
    """GET /containers/{ident}/top."""
    container = call.container("container:top")
    found = call.services.inside.top(container, call.params.get("ps_args", ""))
    return Answer(200, {"Titles": found["titles"], "Processes": found["rows"]})


def stats(call: Call) -> Answer:
    """GET /containers/{ident}/stats."""
    container = call.container("container:stats")
    return Answer(200, views.stats(container.name, call.services.inside.stats(container)))


def get_archive(call: Call) -> Answer:
    """GET /containers/{ident}/get_archive: in base64 from 1.25 on, as text below."""
    container = call.container("container:get_archive")
    archive = call.services.inside.get_archive(container, call.params["path"])
    stat = {
        "name": archive.name,
        "size": archive.size,
        "mode": archive.mode,
        "mtime": archive.mtime,
        "linkTarget": archive.link_target,
    }
    return Answer(200, {"data": _encoded(archive.data, call.version), "stat": stat})


def put_archive(call: Call) -> Answer:
    """POST /containers/{ident}/put_archive."""
    container = call.container("container:put_archive")
    data = _decoded(call.params["data"], call.version)
    call.services.inside.put_archive(container, call.params["path"], data)
    return Answer(200)


def _encoded(data: bytes, version: Version) -> str:
    if version >= _BASE64:
        return base64.b64encode(data).decode("ascii")
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise Invalid(
            f"data: these files are not text; ask at microversion {_BASE64} or later, which has base64"
        ) from None


def _decoded(data: str, version: Version) -> bytes:
    if version < _BASE64:
        return data.encode("utf-8")
    try:
        return base64.b64decode(data, validate=True)
    except (binascii.Error, ValueError):
        raise Invalid("data: is not valid base64", slug="base64-exception") from None
