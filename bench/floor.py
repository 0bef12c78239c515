"""The floor of an API on a database: Falcon, one statement by the driver alone, and an answer that is always the same.

`application` is for the WSGI server that serves ours. The variable ZUN_BENCH_FLOOR names a JSON file: the database's
URL, and by path the statement, its values, the answer's file and its status. A statement with 202 is committed.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import falcon
import MySQLdb
from sqlalchemy.engine import URL, make_url

VARIABLE = "ZUN_BENCH_FLOOR"


class _Connections(threading.local):
    """One a thread, made at its first request."""

    def __init__(self, url: URL) -> None:
        self._url = url
        self._own: Any = None

    def get(self) -> Any:
        """The thread's own."""
        if self._own is None:
            url = self._url
            self._own = MySQLdb.connect(
                host=url.host, port=url.port, user=url.username, passwd=url.password,
                db=url.database, charset="utf8mb4",
            )  # fmt: skip
        return self._own


class One:
    """One statement, and its answer."""

    def __init__(self, connections: _Connections, told: Mapping[str, Any]) -> None:
        self._connections = connections
        self._statement, self._values = told["statement"], told["values"]
        self._body, self._status = Path(told["file"]).read_bytes(), int(told["status"])

    def _answer(self, resp: falcon.Response) -> None:
        own = self._connections.get()
        cursor = own.cursor()
        cursor.execute(self._statement, self._values)
        if cursor.description is not None:
            cursor.fetchall()
        cursor.close()
        (own.commit if self._status == 202 else own.rollback)()
        resp.status = self._status
        resp.content_type = "application/json"
        resp.data = self._body

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """The answer."""
        self._answer(resp)

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """The answer, once the request has been read."""
        json.loads(req.bounded_stream.read())
        self._answer(resp)


class Healthy:
    """Answers."""

    def on_get(self, _req: falcon.Request, resp: falcon.Response) -> None:
        """200."""
        resp.media = {"checks": {}}


def _build() -> falcon.App[falcon.Request, falcon.Response]:
    told = json.loads(Path(os.environ[VARIABLE]).read_text())
    made: falcon.App[falcon.Request, falcon.Response] = falcon.App()
    connections = _Connections(make_url(told["url"]))
    made.add_route("/healthcheck", Healthy())
    for path, one in told["paths"].items():
        made.add_route(path, One(connections, one))
    return made


if VARIABLE in os.environ:
    application = _build()
