"""Benchmark 6: what an interactive session costs beside the engine's own socket."""

from __future__ import annotations

import base64
import http.client
import json
import os
import resource
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any
from urllib.parse import quote, urlsplit

from tests.support.service import Service, free_port

from bench.figures import Report, Row, Sample, number, paired
from bench.footprint import memory
from bench.house import IMAGE, Api, running, say
from zun.model.names import runtime_name

SOCKET = "/var/run/docker.sock"
ECHO_MS = 3.0  # median overhead of a keystroke
_PATIENCE = 60.0


class Raw:
    """The engine's own stream, hijacked from a request on its socket."""

    def __init__(self, target: str, body: dict[str, Any] | None = None) -> None:
        self._sock = socket.socket(socket.AF_UNIX)
        self._sock.settimeout(_PATIENCE)
        self._sock.connect(SOCKET)
        data = json.dumps(body or {}).encode()
        head = (
            f"POST {target} HTTP/1.1\r\nHost: engine\r\nConnection: Upgrade\r\nUpgrade: tcp\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(data)}\r\n\r\n"
        )
        self._sock.sendall(head.encode() + data)
        answer = b""
        while not answer.endswith(b"\r\n\r\n"):
            answer += self._sock.recv(1)
        if b" 101 " not in answer.split(b"\r\n")[0]:
            raise RuntimeError(answer.decode())

    def type(self, keys: bytes) -> None:
        """Sends."""
        self._sock.sendall(keys)

    def read(self) -> bytes:
        """What has come; empty at the end."""
        return self._sock.recv(1 << 18)

    def close(self) -> None:
        """Ends it."""
        self._sock.close()


class Web:
    """A websocket by hand, as cheap as the raw stream: what is measured is the service, not a client's library."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._sock = socket.create_connection((str(parts.hostname), parts.port or 80), _PATIENCE)
        self._sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        key = base64.b64encode(os.urandom(16)).decode()
        self._sock.sendall(
            f"GET {parts.path}?{parts.query} HTTP/1.1\r\nHost: {parts.netloc}\r\nUpgrade: websocket\r\n"
            f"Connection: Upgrade\r\nSec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n"
            "Sec-WebSocket-Protocol: binary\r\n\r\n".encode()
        )
        self._left = b""
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += self._sock.recv(1)
        if b" 101 " not in head.split(b"\r\n")[0]:
            raise RuntimeError((head + self._sock.recv(1000)).decode())

    def type(self, keys: bytes) -> None:
        """Sends, in one small frame."""
        assert len(keys) < 126
        self._sock.sendall(bytes((0x82, 0x80 | len(keys))) + bytes(4) + keys)

    def read(self) -> bytes:
        """The next message; empty at the end."""
        head = self._exactly(2)
        size = head[1]
        if size >= 126:
            size = int.from_bytes(self._exactly(2 if size == 126 else 8), "big")
        payload = self._exactly(size)
        return b"" if head[0] & 15 == 8 else payload

    def _exactly(self, count: int) -> bytes:
        pieces = [self._left]
        have = len(self._left)
        while have < count:
            piece = self._sock.recv(1 << 18)
            if not piece:
                raise RuntimeError("the connection ended")
            pieces.append(piece)
            have += len(piece)
        whole = b"".join(pieces)
        self._left = whole[count:]
        return whole[:count]

    def close(self) -> None:
        """Ends it."""
        self._sock.close()


Stream = Raw | Web


def sessions(report: Report, quick: bool) -> None:
    """Keystrokes and bulk output in turns with the engine's socket; then a thousand idle sessions."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    port = free_port()
    with running(websocket_proxy={"wsproxy_port": port, "max_sessions": 2000}) as service:
        api = Api(service)
        uuid = _shell(api)
        _echo(report, api, uuid, 3 if quick else 15)
        _bulk(report, api, uuid, *((2, 16) if quick else (7, 64)))
        _idle(report, service, api, uuid, 100 if quick else 1000)
        api.remove(uuid)
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def _shell(api: Api) -> str:
    """A container whose main process reads what is typed."""
    wish = {
        "image": IMAGE,
        "command": ["cat"],
        "interactive": True,
        "tty": True,
        "cpu": 1,
        "memory": "256",
    }
    uuid = str(api.ask("POST", "/v1/containers/?run=true", wish)["uuid"])
    api.until(uuid, "Running")
    return uuid


def _attach(api: Api, uuid: str) -> Web:
    return Web(str(api.ask("GET", f"/v1/containers/{uuid}/attach")))


def _echo(report: Report, api: Api, uuid: str, rounds: int) -> None:
    ours: list[float] = []
    floor: list[float] = []
    target = f"/containers/{runtime_name(uuid)}/attach?stream=1&stdin=1&stdout=1&stderr=1"
    for turn in range(rounds):
        # One at a time: each attached stream gets every echo.
        for opened, into in ((lambda: _attach(api, uuid), ours), (lambda: Raw(target), floor)):
            with closing(opened()) as stream:
                _strokes(stream, 20)
                into.extend(_strokes(stream, 200))
        say(f"  keystrokes {turn + 1}/{rounds}")
    mine, engines = Sample(values=ours), Sample(values=floor)
    over = mine.median - engines.median
    report.rows += [
        Row(
            name="keystroke -> echo", ours=mine.text, floor=engines.text, ratio=mine.median / engines.median,
            wanted=f"<= {ECHO_MS:.0f} ms more", good=over <= ECHO_MS,
        ),
        Row(
            name="keystroke -> echo, p99", ours=f"{number(mine.quantile(0.99))} ms",
            floor=f"{number(engines.quantile(0.99))} ms", ratio=mine.quantile(0.99) / engines.quantile(0.99),
        ),
    ]  # fmt: skip
    report.notes.append(
        f"keystrokes: {number(over)} ms more than the engine's own attach, in the median."
    )


def _strokes(stream: Stream, count: int) -> list[float]:
    """Milliseconds from a key to its echo, which is the terminal's own; each line is ended, and read by `cat`."""
    taken = []
    for _ in range(count):
        begun = time.perf_counter()
        stream.type(b"x")
        if stream.read() != b"x":
            raise RuntimeError("something else than the echo came")
        taken.append((time.perf_counter() - begun) * 1000)
        stream.type(b"\r")
        came = b""
        while came != b"\r\nx\r\n":
            came += stream.read()
    return taken


def _bulk(report: Report, api: Api, uuid: str, rounds: int, megabytes: int) -> None:
    """What a command with a terminal prints, through us and from the engine's socket."""
    command = "cat /tmp/bulk"
    made = (
        f"sh -c 'yes 0123456789abcdefghijklmnopqrstuvwxyz | head -c {megabytes}000000 > /tmp/bulk'"
    )
    _ran(api, uuid, made)
    ours: list[float] = []
    floor: list[float] = []
    for turn in range(rounds):
        ours.append(_rate(lambda: _exec_ours(api, uuid, command), megabytes))
        floor.append(_rate(lambda: _exec_engine(uuid, command), megabytes))
        say(f"  bulk {turn + 1}/{rounds}: {ours[-1]:.0f} and {floor[-1]:.0f} MB/s")
    report.rows.append(
        paired(
            f"output of a command with a terminal, {megabytes} MB",
            Sample(values=ours, unit="MB/s"), Sample(values=floor, unit="MB/s"), at_least=0.5,
        )
    )  # fmt: skip


def _ran(api: Api, uuid: str, command: str) -> None:
    answer = api.ask("POST", f"/v1/containers/{uuid}/execute?run=true&command={quote(command)}")
    if answer["exit_code"]:
        raise RuntimeError(str(answer))


def _exec_ours(api: Api, uuid: str, command: str) -> Web:
    query = f"run=false&interactive=true&command={quote(command)}"
    answer = api.ask("POST", f"/v1/containers/{uuid}/execute?{query}")
    return Web(str(answer["proxy_url"]))


def _exec_engine(uuid: str, command: str) -> Raw:
    with closing(_Engine()) as engine:
        wish = {
            "AttachStdin": True,
            "AttachStdout": True,
            "AttachStderr": True,
            "Tty": True,
            "Cmd": command.split(),
        }
        made = engine.post(f"/containers/{runtime_name(uuid)}/exec", wish)
    return Raw(f"/exec/{made['Id']}/start", {"Detach": False, "Tty": True})


class _Engine(http.client.HTTPConnection):
    def __init__(self) -> None:
        super().__init__("engine", timeout=_PATIENCE)

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(SOCKET)

    def post(self, target: str, body: Any) -> Any:
        """One call."""
        self.request("POST", target, json.dumps(body), {"Content-Type": "application/json"})
        return json.loads(self.getresponse().read())


def _rate(opened: Callable[[], Stream], megabytes: int) -> float:
    """MB/s from the first byte to the last."""
    with closing(opened()) as stream:
        total = len(stream.read())
        begun = time.perf_counter()
        while piece := stream.read():
            total += len(piece)
        seconds = time.perf_counter() - begun
    if total < megabytes * 1_000_000:
        raise RuntimeError(f"only {total} bytes came")
    return total / seconds / 1e6


def _idle(report: Report, service: Service, api: Api, uuid: str, count: int) -> None:
    """Memory with many sessions in which nothing happens: proxy and agent are one process here."""
    before = memory(service.pid)
    with _many(api, uuid, count):
        time.sleep(2)
        during = memory(service.pid)
        other = _shell(api)
        with closing(_attach(api, other)) as stream:
            crowded = Sample(values=_strokes(stream, 200))
        api.remove(other)
    each = (during[1] - before[1]) * 1024 / count
    report.rows.append(
        Row(
            name=f"memory, {count} idle sessions (proxy and agent)",
            ours=f"RSS {number(during[0])} MiB, PSS {number(during[1])} MiB",
            floor=f"RSS {number(before[0])} MiB, PSS {number(before[1])} MiB (none)", ratio=during[1] / before[1],
        )
    )  # fmt: skip
    report.notes.append(
        f"idle sessions: {number(each)} KiB each, proxy and agent together; beside them a keystroke's echo "
        f"takes {crowded.text}."
    )


@contextmanager
def _many(api: Api, uuid: str, count: int) -> Iterator[None]:
    with ExitStack() as stack:
        for n in range(count):
            stack.enter_context(closing(_attach(api, uuid)))
            if not (n + 1) % 100:
                say(f"  session {n + 1}/{count}")
        yield
