"""What goes on in a container: processes, usage, files (contract 6)."""

from __future__ import annotations

from zun.api.archives import ArchiveAnswer, archive_in
from zun.api.endpoint import Answer, Call
from zun.api.views import usage as views


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
    made = ArchiveAnswer(call.version)
    try:
        stat = call.services.inside.get_archive(container, call.params["path"], made.add)
        return made.finish(views.path_stat(stat))
    except BaseException:
        made.close()
        raise


def put_archive(call: Call) -> Answer:
    """POST /containers/{ident}/put_archive."""
    container = call.container("container:put_archive")
    data = archive_in(call.params["data"], call.version)
    call.services.inside.put_archive(container, call.params["path"], data)
    return Answer(200)
