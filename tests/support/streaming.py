"""A house with its API and its server of long-lived answers, and a client that follows redirects as curl -L does."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from threading import Thread
from typing import Any
from urllib.parse import urlsplit

from tests.support.house import PATIENCE, PROJECT, Fakes, Rig, running
from waitress.server import create_server

from zun.api.app import build_app
from zun.api.middleware.noauth import NoAuth
from zun.api.settings import ApiSettings
from zun.cmd.streams import make_streams, told_to
from zun.streams.server import StreamServer, StreamSettings

TIMEOUT = PATIENCE

#: Replies that were not read to their end; a test's fixture closes them.
OPEN: list[Reply] = []


def close_all() -> None:
    """Closes what is left open."""
    while OPEN:
        OPEN.pop().close()


@dataclass(frozen=True)
class Told:
    """One server-sent event."""

    id: int
    kind: str
    data: Mapping[str, Any]


class Reply:
    """An answer whose body may still be coming. Close it, or leave its `with` block, to go away."""

    def __init__(self, conn: http.client.HTTPConnection, answer: http.client.HTTPResponse) -> None:
        self.conn = conn
        self.answer = answer
        self.status = answer.status
        self.headers = {name.lower(): value for name, value in answer.getheaders()}

    def body(self) -> bytes:
        with self:
            return self.answer.read()

    def json(self) -> Any:
        return json.loads(self.body())

    def lines(self) -> Iterator[str]:
        while line := self.answer.readline():
            yield line.decode().rstrip("\n")

    def cursor(self) -> int:
        """What the stream says first: where it begins."""
        for line in self.lines():
            if line.startswith("id: "):
                return int(line[4:])
        raise AssertionError("no cursor came")

    def events(self) -> Iterator[Told]:
        fields: dict[str, str] = {}
        for line in self.lines():
            name, _, value = line.partition(": ")
            if line:
                fields[name] = value
            else:
                if "data" in fields:
                    yield Told(int(fields["id"]), fields["event"], json.loads(fields["data"]))
                fields = {}

    def close(self) -> None:
        self.answer.close()
        self.conn.close()

    def __enter__(self) -> Reply:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def ask(
    base: str, method: str, path: str, headers: Mapping[str, str], body: bytes | None = None
) -> Reply:
    """One request, as it is answered."""
    url = urlsplit(base)
    assert url.hostname
    conn = http.client.HTTPConnection(url.hostname, url.port, timeout=TIMEOUT)
    try:
        conn.request(method, path, body, dict(headers))
        reply = Reply(conn, conn.getresponse())
    except BaseException:
        conn.close()
        raise
    OPEN.append(reply)
    return reply


def follow(
    base: str, method: str, path: str, headers: Mapping[str, str], body: bytes | None = None
) -> Reply:
    """One request; sent on where a 307 says, without the credentials."""
    reply = ask(base, method, path, headers, body)
    if reply.status != 307:
        return reply
    reply.body()
    url = urlsplit(reply.headers["location"])
    kept = {name: value for name, value in headers.items() if name != "Authorization"}
    return ask(f"{url.scheme}://{url.netloc}", method, f"{url.path}?{url.query}", kept, body)


@dataclass
class Front:
    """The house as clients reach it."""

    rig: Rig
    streams: StreamServer
    base: str

    def headers(
        self, project: str = PROJECT, roles: str = "member", version: str = "latest", **more: str
    ) -> dict[str, str]:
        named = {name.replace("_", "-"): value for name, value in more.items()}
        return {
            "X-User-Id": "user",
            "X-Project-Id": project,
            "X-Roles": roles,
            "OpenStack-API-Version": f"container {version}",
            "Content-Type": "application/json",
            **named,
        }

    def get(self, path: str, **kwargs: str) -> Reply:
        return follow(self.base, "GET", path, self.headers(**kwargs))

    def first(self, path: str, method: str = "GET", **kwargs: str) -> Reply:
        """The API's own answer."""
        return ask(self.base, method, path, self.headers(**kwargs))

    def post(self, path: str, body: Any = None, **kwargs: str) -> Reply:
        sent = None if body is None else json.dumps(body).encode()
        return follow(self.base, "POST", path, self.headers(**kwargs), sent)


@contextmanager
def front(
    path: Path, fakes: Fakes | None = None, streams: StreamSettings | None = None, **kwargs: Any
) -> Iterator[Front]:
    """A running house with both servers, on fakes."""
    with running(path, fakes, **kwargs) as rig:
        server = make_streams(rig.house, streams)
        server.start()
        settings = told_to(replace(ApiSettings(), max_wait=60), server)
        app = build_app(rig.house.services, settings, NoAuth, registry=rig.house.metrics.registry)
        http_server = create_server(
            app, host="127.0.0.1", port=0, threads=4, asyncore_use_poll=True
        )
        thread = Thread(target=http_server.run, daemon=True)
        thread.start()
        port = http_server.effective_port
        try:
            yield Front(rig, server, f"http://127.0.0.1:{port}")
        finally:
            server.stop(5)
            # In its own thread, which may be waiting for the socket just now.
            http_server.trigger.pull_trigger(http_server.close)
            thread.join(PATIENCE)
