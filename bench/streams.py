"""Long-lived answers: how fast a log is followed, and what a thousand waits and five hundred event streams cost.

    PYTHONPATH=. python bench/streams.py [--megabytes 1024] [--waits 1000] [--streams 500]

Needs a Docker engine. Each figure stands beside its floor:
the same bytes moved with nothing of ours in between, the same requests with nobody waiting.
"""

from __future__ import annotations

import argparse
import http.client
import multiprocessing
import selectors
import socket
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import docker
from tests.support import images
from tests.support.house import Fakes
from tests.support.service import Service
from tests.support.streaming import front

from zun.drivers.docker.follow import PIECE
from zun.model.container import Draft

C = "/v1/containers"


def drain(sock: socket.socket) -> tuple[int, float]:
    """Bytes until the end, and the seconds from the first to the last."""
    buffer = memoryview(bytearray(1 << 20))
    total = sock.recv_into(buffer)
    begun = time.perf_counter()
    while count := sock.recv_into(buffer):
        total += count
    return total, time.perf_counter() - begun


# ---- a log, the source being free


def _serve(pipe: Any, megabytes: int) -> None:
    piece = b"x" * PIECE

    class Source:
        left = megabytes * (1 << 20) // PIECE

        def read(self) -> bytes:
            self.left -= 1
            return piece if self.left >= 0 else b""

        def end(self) -> None:
            pass

    with front(Path(tempfile.mkdtemp()), Fakes()) as house:
        house.rig.fakes.runtime.follow = lambda *_: Source()  # type: ignore[method-assign,assignment,return-value]
        box = house.rig.until(
            house.rig.create(Draft(image="busybox", command=["sleep"], run=True)).uuid, "Running"
        )
        while pipe.recv():
            pipe.send(house.first(f"{C}/{box.uuid}/logs?follow=1").headers["location"])


def _bare(pipe: Any, megabytes: int) -> None:
    """The floor: the same pieces over one socket, by blocking calls."""
    piece = b"x" * PIECE
    with socket.create_server(("127.0.0.1", 0)) as server:
        pipe.send(server.getsockname()[1])
        while pipe.recv():
            client, _ = server.accept()
            with client:
                for _ in range(megabytes * (1 << 20) // PIECE):
                    client.sendall(piece)


@contextmanager
def child(target: Callable[..., None], megabytes: int) -> Iterator[Any]:
    """`target` in a process of its own, and the pipe to it."""
    context = multiprocessing.get_context("spawn")
    mine, theirs = context.Pipe()
    process = context.Process(target=target, args=(theirs, megabytes))
    process.start()
    try:
        yield mine
    finally:
        mine.send(None)
        process.join(20)


def request(location: str) -> socket.socket:
    """A connection on which the answer of `location` comes."""
    url = urlsplit(location)
    sock = socket.create_connection((url.hostname, url.port))
    sock.sendall(
        f"GET {url.path}?{url.query} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
    )
    return sock


def free_source(megabytes: int) -> None:
    """Our part of following a log, alone."""
    ours, floor = [], []
    with child(_serve, megabytes) as served, child(_bare, megabytes) as bare:
        port = bare.recv()
        for _ in range(3):
            served.send(True)
            with request(served.recv()) as sock:
                size, seconds = drain(sock)
            ours.append(size / seconds / 1e6)
            bare.send(True)
            with socket.create_connection(("127.0.0.1", port)) as sock:
                size, seconds = drain(sock)
            floor.append(size / seconds / 1e6)
    row(f"follow, {megabytes} MB, the source free", ours, "MB/s", floor, ">= 200")


# ---- a log of the engine


def engine_log(service: Service, megabytes: int, width: int) -> None:
    """A log of `width` bytes a line, through us and straight from the engine."""
    script = f"dd if=/dev/zero bs=1M count={megabytes} 2>/dev/null | tr '\\0' x | fold -w {width}"
    uuid = run(service, "sh", "-c", script)
    until(service, uuid, "Stopped")
    ours, floor, grown = [], [], []
    for _ in range(2):
        before = memory(service)
        with request(location(service, f"{C}/{uuid}/logs?follow=true")) as sock:
            size, seconds = drain(sock)
        assert size > megabytes << 20
        ours.append(size / seconds / 1e6)
        grown.append(memory(service) - before)
        with socket.socket(socket.AF_UNIX) as sock:
            sock.connect("/var/run/docker.sock")
            query = "stdout=1&stderr=1&follow=1"
            sock.sendall(f"GET /containers/zun-{uuid}/logs?{query} HTTP/1.0\r\n\r\n".encode())
            size, seconds = drain(sock)
        floor.append(size / seconds / 1e6)
    row(
        f"follow, {megabytes} MB of the engine, {width} bytes a line",
        ours,
        "MB/s",
        floor,
        "the engine's",
    )
    row("  memory it grew by", grown, "MB", [], "<= 30")
    service.ask("DELETE", f"{C}/{uuid}?force=true")


# ---- many who wait


def crowd(service: Service, waits: int, streams: int) -> None:
    """`waits` and `streams` on the process, what they cost, and how soon all are let go."""
    uuid = run(service, "sleep", "600")
    until(service, uuid, "Running")
    alone, before = gets(service, uuid), memory(service)
    socks = [request(location(service, "/v1/events?kind=progress")) for _ in range(streams)]
    waiting = [
        request(location(service, f"{C}/{uuid}?wait=Stopped&timeout=600")) for _ in range(waits)
    ]
    time.sleep(2)
    row(
        f"memory of the process with {waits} waits, {streams} event streams",
        [memory(service)],
        "MB",
        [before],
        "<= 150",
    )
    crowded, again = [], []
    for _ in range(3):
        crowded += gets(service, uuid)
    selector = selectors.DefaultSelector()
    for sock in waiting:
        selector.register(sock, selectors.EVENT_READ)
    assert service.ask("POST", f"{C}/{uuid}/kill")[0] == 202
    left, first = len(waiting), 0.0
    while left:
        for key, _ in selector.select():
            first = first or time.perf_counter()
            selector.unregister(key.fileobj)
            left -= 1
    row(
        f"{waits} waits let go, first to last", [(time.perf_counter() - first) * 1000], "ms", [], ""
    )
    for sock in (*socks, *waiting):
        sock.close()
    time.sleep(1)
    for _ in range(2):
        again += gets(service, uuid)
    row("GET of a container meanwhile", crowded, "ms", alone + again, "<= 1.20 of the floor")
    service.ask("DELETE", f"{C}/{uuid}?force=true")


def gets(service: Service, uuid: str, count: int = 400) -> list[float]:
    """Milliseconds of GETs, one after the other on one connection."""
    conn = http.client.HTTPConnection("127.0.0.1", service.port)
    headers = {"Authorization": service._authorization()}
    taken = []
    for _ in range(count):
        begun = time.perf_counter()
        conn.request("GET", f"{C}/{uuid}", headers=headers)
        conn.getresponse().read()
        taken.append((time.perf_counter() - begun) * 1000)
    conn.close()
    return taken


# ---- helpers


def row(what: str, ours: list[float], unit: str, floor: list[float], wanted: str) -> None:
    """One line of the table: medians."""
    mine = statistics.median(ours)
    beside = f"{statistics.median(floor):,.2f} {unit}" if floor else ""
    ratio = f"{mine / statistics.median(floor):.2f}" if floor else ""
    print(f"| {what} | {mine:,.2f} {unit} | {beside} | {ratio} | {wanted} |", flush=True)


def memory(service: Service) -> float:
    """Megabytes the process holds."""
    text = Path(f"/proc/{service.pid}/status").read_text()
    return int(text.split("VmRSS:")[1].split()[0]) / 1024


def run(service: Service, *command: str) -> str:
    """A container; its uuid."""
    body = {
        "image": images.NAME,
        "image_pull_policy": "never",
        "command": list(command),
        "memory": 64,
    }
    status, made = service.ask("POST", f"{C}?run=true", body)
    assert status == 202, made
    return str(made["uuid"])


def until(service: Service, uuid: str, status: str) -> None:
    """Waits, as a client does."""
    service.ask("GET", f"{C}/{uuid}?wait={status}&timeout=50", version="1.42")
    service.until(uuid, status)


def location(service: Service, path: str) -> str:
    """Where the API sends a client on to."""
    conn = http.client.HTTPConnection("127.0.0.1", service.port)
    headers = {
        "Authorization": service._authorization(),
        "OpenStack-API-Version": "container latest",
    }
    conn.request("GET", path, headers=headers)
    answer = conn.getresponse()
    answer.read()
    conn.close()
    assert answer.status == 307, answer.status
    return str(answer.getheader("Location"))


def main() -> None:
    """All of it, as a table."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--megabytes", type=int, default=256)
    parser.add_argument("--waits", type=int, default=1000)
    parser.add_argument("--streams", type=int, default=500)
    args = parser.parse_args()
    engine = docker.APIClient(base_url="unix:///var/run/docker.sock", version="auto")
    images.ensure_busybox(engine)
    engine.close()
    print("| what | ours | floor | ratio | target |\n|---|---|---|---|---|")
    free_source(1024)
    service = Service(Path(tempfile.mkdtemp()) / "state", options={"streams": {"port": 0}})
    service.start()
    try:
        crowd(service, args.waits, args.streams)
        engine_log(service, args.megabytes, 999)
        engine_log(service, args.megabytes // 4, 99)
    finally:
        service.stop()


if __name__ == "__main__":
    main()
