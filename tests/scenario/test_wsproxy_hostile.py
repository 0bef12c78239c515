"""Hostile clients of `zun-wsproxy`, a process of its own: memory stays bounded, and who is honest notices nothing."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from tests.support.house import PATIENCE, eventually
from tests.support.proxying import Proxied, many_files, proxy_process
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection

from zun.store import migrate
from zun.store.database import Database
from zun.wsproxy.settings import ProxySettings

#: Megabytes the proxy may grow by, whatever is done to it here. Sent to it is many times that.
GROWTH = 64


@dataclass
class Honest:
    """Somebody at work: types, and waits for the echo, again and again."""

    ws: ClientConnection
    echoes: int = 0
    problems: list[BaseException] = field(default_factory=list)
    _stop: threading.Event = field(default_factory=threading.Event)

    def work(self) -> None:
        try:
            while not self._stop.is_set():
                word = b"%d " % self.echoes
                self.ws.send(word)
                assert self.ws.recv(timeout=PATIENCE) == word
                self.echoes += 1
                self._stop.wait(0.005)
        except BaseException as exc:
            self.problems.append(exc)

    def still_works(self) -> None:
        before = self.echoes
        eventually(lambda: self.problems or self.echoes > before + 3, "echoes come")
        assert not self.problems, self.problems

    def stop(self) -> None:
        self._stop.set()


class Target:
    """The proxy under attack."""

    def __init__(self, proxy: Proxied, pid: int, honest: Honest) -> None:
        self.proxy = proxy
        self.pid = pid
        self.honest = honest

    @property
    def memory(self) -> float:
        """Megabytes resident."""
        text = Path(f"/proc/{self.pid}/status").read_text()
        return int(text.split("VmRSS:")[1].split()[0]) / 1024

    def socket(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.proxy.port), PATIENCE)

    def upgraded(self) -> socket.socket:
        """A socket on which frames may be sent."""
        sock = self.socket()
        sock.sendall(
            f"GET /?{self.proxy.query(self.proxy.token())} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
            "Connection: upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
            "Sec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        head = b""
        while not head.endswith(b"\r\n\r\n"):
            head += sock.recv(1)
        assert b" 101 " in head, head
        return sock


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    folder = tmp_path_factory.mktemp("hostile")
    db = Database(f"sqlite:///{folder / 'zun.sqlite'}")
    migrate.upgrade(db)
    with many_files(), proxy_process(db, folder) as (proxy, process), proxy.connect() as ws:
        honest = Honest(ws)
        thread = threading.Thread(target=honest.work)
        thread.start()
        try:
            yield Target(proxy, process.pid, honest)
        finally:
            honest.stop()
            thread.join(PATIENCE)
        assert process.poll() is None
    assert process.returncode == 0
    db.close()


@pytest.fixture(autouse=True)
def bounded(target: Target) -> Iterator[None]:
    """Each case: memory before and after, and the honest one."""
    target.honest.still_works()
    before = target.memory
    yield
    target.honest.still_works()
    assert target.memory < before + GROWTH
    with target.proxy.connect() as ws:
        ws.send(b"a new one")
        assert ws.recv(timeout=PATIENCE) == b"a new one"


def frame(opcode: int, payload: bytes, *, fin: bool = True, claimed: int | None = None) -> bytes:
    """A frame as clients send them, with a mask of zeros; `claimed` bytes, if those are others than there are."""
    size = len(payload) if claimed is None else claimed
    head = bytes([opcode | (0x80 if fin else 0)])
    if size < 126:
        head += bytes([0x80 | size])
    elif size < 1 << 16:
        head += bytes([0x80 | 126]) + struct.pack(">H", size)
    else:
        head += bytes([0x80 | 127]) + struct.pack(">Q", size)
    return head + bytes(4) + payload


def pour(sock: socket.socket, pieces: Callable[[int], bytes], most: int) -> int:
    """Sends until the other side ends it or stops reading; the bytes it took of `most`."""
    sent, n = 0, 0
    sock.settimeout(3)
    with contextlib.suppress(OSError):
        while sent < most:
            piece = pieces(n)
            sock.sendall(piece)
            sent, n = sent + len(piece), n + 1
    return sent


def close_code(sock: socket.socket) -> int | None:
    """The code of the close frame that comes; None where the connection ends without one."""
    sock.settimeout(PATIENCE)
    came = b""
    with contextlib.suppress(ConnectionError):
        while piece := sock.recv(65536):
            came += piece
    at = came.rfind(b"\x88")
    return struct.unpack(">H", came[at + 2 : at + 4])[0] if at >= 0 else None


def test_a_frame_of_100_megabytes_is_refused_by_its_head(target: Target) -> None:
    with target.upgraded() as sock:
        sock.sendall(frame(2, b"", claimed=100 << 20))
        assert close_code(sock) == 1009
    socks = [target.upgraded() for _ in range(20)]
    with ThreadPoolExecutor(20) as pool:
        whole = frame(2, b"x" * (1 << 20), claimed=100 << 20)
        list(
            pool.map(
                lambda sock: pour(sock, lambda n: whole if not n else b"x" * (1 << 20), 100 << 20),
                socks,
            )
        )
    for sock in socks:
        sock.close()


def test_a_message_without_an_end(target: Target) -> None:
    with target.upgraded() as sock:
        pour(sock, lambda n: frame(0 if n else 2, b"x" * 65535, fin=False), 100 << 20)
        assert close_code(sock) == 1009
    with target.upgraded() as sock:  # its pieces are empty: none makes it too long
        pour(sock, lambda n: frame(0 if n else 2, b"", fin=False) * (1000 if n else 1), 50 << 20)
        assert close_code(sock) in (1002, 1008, 1009)


def test_pings_of_who_reads_no_answers(target: Target) -> None:
    with target.upgraded() as sock:
        taken = pour(sock, lambda _: frame(9, b"x" * 125) * 1000, 200 << 20)
    assert taken < 200 << 20, "it was dropped"


def test_frames_that_are_none(target: Target) -> None:
    for raw in (
        b"\xff" * 64,
        frame(3, b"x"),
        frame(2, b"x").replace(b"\x81", b"\x01"),
        b"GET / HTTP/1.1\r\n\r\n",
    ):
        with target.upgraded() as sock:
            sock.sendall(raw)
            assert close_code(sock) == 1002


def test_text_that_is_none(target: Target) -> None:
    with target.upgraded() as sock:
        sock.sendall(frame(1, b"\xff\xfe\xc3("))
        assert close_code(sock) == 1007
    with target.proxy.connect() as ws:
        ws.send(b"\xff")  # as data it is bytes like any
        assert ws.recv(timeout=PATIENCE) == "\ufffd".encode()


def test_heads_of_requests_that_never_end(target: Target) -> None:
    def attack(_: int) -> int:
        with target.socket() as sock:
            return pour(
                sock,
                lambda n: b"x-%d: %s\r\n" % (n, b"y" * 8000) if n else b"GET / HTTP/1.1\r\n",
                10 << 20,
            )

    with ThreadPoolExecutor(8) as pool:
        assert max(pool.map(attack, range(16))) < 8 << 20


def test_slow_upgrades_are_dropped_and_let_others_in(target: Target) -> None:
    count = ProxySettings().max_waiting + 100
    socks = []
    for _ in range(count):
        sock = target.socket()
        sock.sendall(b"GET / HTTP/1.1\r\nHost: x\r\nX-Slow: ")
        socks.append(sock)
    with target.proxy.connect() as ws:  # the oldest of them makes room
        ws.send(b"in")
        assert ws.recv(timeout=PATIENCE) == b"in"
    poller = select.poll()
    left = {sock.fileno(): sock for sock in socks}
    for number in left:
        poller.register(number, select.POLLIN)

    def all_dropped() -> bool:
        for number, _ in poller.poll(100):
            poller.unregister(number)
            left.pop(number)
        for sock in left.values():  # a byte now and then keeps nothing alive
            with contextlib.suppress(OSError):
                sock.send(b"y")
        return not left

    eventually(all_dropped, "all slow ones are dropped")
    for sock in socks:
        sock.close()


def test_connections_that_say_nothing_or_vanish(target: Target) -> None:
    for _ in range(200):
        target.socket().close()
    socks = [target.upgraded() for _ in range(50)]
    for n, sock in enumerate(socks):
        if n % 2:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))  # a reset
        else:
            sock.shutdown(socket.SHUT_WR)
    for sock in socks[1::2]:
        sock.close()
    eventually(lambda: target.proxy.agent.open == 1, "only the honest one is left at the agent")
    for sock in socks[::2]:
        sock.close()


def test_ten_thousand_bad_tokens(target: Target) -> None:
    def guess(_: int) -> list[bytes]:
        answers = []
        for _ in range(1250):
            token = os.urandom(32).hex()[:43]
            with target.socket() as sock:
                sock.sendall(
                    f"GET /?{target.proxy.query(token)} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n"
                    "Connection: upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
                    "Sec-WebSocket-Version: 13\r\n\r\n".encode()
                )
                answers.append(sock.recv(64).split(b"\r\n")[0])
        return answers

    with ThreadPoolExecutor(8) as pool:
        statuses = [status for answers in pool.map(guess, range(8)) for status in answers]
    assert len(statuses) == 10_000
    assert set(statuses) == {b"HTTP/1.1 403 Forbidden"}


def test_a_client_that_reads_nothing_of_a_flood(target: Target) -> None:
    """Twenty of them, each with an agent that would send for ever."""

    async def flood(wire) -> None:  # type: ignore[no-untyped-def]
        while True:
            await wire.send(b"D", b"x" * 65536)

    usual, target.proxy.agent.behave = target.proxy.agent.behave, flood
    try:
        socks = [target.upgraded() for _ in range(20)]
    finally:
        target.proxy.agent.behave = usual
    target.honest.still_works()
    for sock in socks:
        sock.close()
    with pytest.raises((ConnectionClosed, OSError)), target.proxy.connect() as ws:
        ws.socket.close()
        ws.send(b"x")
    eventually(lambda: target.proxy.agent.open == 1)
