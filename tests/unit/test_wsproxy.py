"""The proxy on the wire, before an agent that is a stand-in: who gets a session, what goes through, how it ends."""

from __future__ import annotations

import json
import logging
import socket
import ssl
import threading
import urllib.error
import urllib.request
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from tests.support import rows
from tests.support.certificates import self_signed
from tests.support.house import PATIENCE, eventually
from tests.support.proxying import EXEC, Proxied, proxied, read_until, says, told
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import ClientConnection
from websockets.typing import Origin

from zun.bus.channel import DATA, END, STDERR, End, Wire, end_frame
from zun.model.names import new_uuid
from zun.model.session import StreamKind, Why
from zun.store import hosts
from zun.store.database import Database
from zun.store.errors import CommitUnknown, Contended, DatabaseError, Unavailable
from zun.wsproxy.settings import ProxySettings


@pytest.fixture
def proxy(db: Database) -> Iterator[Proxied]:
    with proxied(db) as proxy:
        yield proxy


def refused(proxy: Proxied, url: str, **kwargs: Any) -> tuple[int, str]:
    """Status and reason of a refusal."""
    with pytest.raises(InvalidStatus) as raised:
        proxy.connect(url, **kwargs)
    response = raised.value.response
    return response.status_code, (response.body or b"").decode().strip()


def closed(ws: ClientConnection) -> tuple[int, str]:
    """How the proxy closed it."""
    with pytest.raises(ConnectionClosed) as raised:
        while True:
            ws.recv(timeout=PATIENCE)
    assert raised.value.rcvd is not None, "no close frame came"
    return raised.value.rcvd.code, raised.value.rcvd.reason


def get(proxy: Proxied, path: str, **headers: str) -> tuple[int, str, dict[str, str]]:
    """A plain GET: status, body, headers."""
    url = f"http://127.0.0.1:{proxy.port}{path}"
    request = urllib.request.Request(
        url, headers={k.replace("_", "-"): v for k, v in headers.items()}
    )
    try:
        with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
            return answer.status, answer.read().decode(), dict(answer.headers)
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode().strip(), dict(error.headers)


# ---- who gets a session


def test_what_is_typed_reaches_the_agent_and_what_it_prints_comes_back(proxy: Proxied) -> None:
    with proxy.connect() as ws:
        assert ws.subprotocol == "binary"
        ws.send(b"hello")
        assert ws.recv(timeout=PATIENCE) == b"hello"
    (asked,) = proxy.agent.requests
    assert (asked["kind"], asked["uuid"], asked["arguments"]) == (
        "exec",
        proxy.uuid,
        {"exec_id": EXEC},
    )
    proxy.idle()
    assert proxy.count("zun_session_bytes_total", direction="in") == 5
    assert proxy.count("zun_sessions_ended_total", kind="exec", why="left") == 1


def test_an_attach_names_no_exec_and_brings_its_limits(proxy: Proxied) -> None:
    token = proxy.token(kind=StreamKind.ATTACH, exec_id=None, session_limit=7, idle_limit=5)
    url = f"ws://127.0.0.1:{proxy.port}/any/prefix?token={token}&uuid={proxy.uuid}"
    with proxy.connect(url) as ws:
        ws.send(b"x")
        assert ws.recv(timeout=PATIENCE) == b"x"
    (asked,) = proxy.agent.requests
    assert (asked["kind"], asked["arguments"]) == ("attach", {})
    assert (asked["session_limit"], asked["idle_limit"]) == (7, 5)


def test_defect_04_a_token_is_good_once(proxy: Proxied) -> None:
    url = proxy.url()
    with proxy.connect(url):
        assert refused(proxy, url)[0] == 410
    status, reason = refused(proxy, url)
    assert status == 410
    assert "has been used" in reason
    assert proxy.count("zun_sessions_refused_total", status="410", why="used") == 2


def test_of_many_at_once_one_gets_in(proxy: Proxied) -> None:
    url, results = proxy.url(), []

    def come() -> None:
        try:
            with proxy.connect(url) as ws:
                ws.send(b"x")
                results.append(ws.recv(timeout=PATIENCE))
        except InvalidStatus as exc:
            results.append(exc.response.status_code)

    threads = [threading.Thread(target=come) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    assert sorted(map(str, results)) == ["410"] * 7 + ["b'x'"]


def test_defect_04_an_expired_token(proxy: Proxied) -> None:
    url = proxy.url()
    proxy.now[0] = rows.NOW + timedelta(seconds=61)
    status, reason = refused(proxy, url)
    assert (status, "has expired" in reason) == (410, True)


@pytest.mark.parametrize(
    "changes", [{"uuid": new_uuid()}, {"exec_id": "f" * 64}, {"token": "B" * 43}]
)
def test_another_container_exec_or_token(proxy: Proxied, changes: dict[str, str]) -> None:
    query = proxy.query(**{"token": proxy.token(), **changes})
    url = f"ws://127.0.0.1:{proxy.port}/?{query}"
    status, reason = refused(proxy, url)
    assert status == 403
    assert reason == "This link opens no session. Ask for a new one: attach or execute again."


def test_a_container_that_has_stopped_keeps_the_token_good(proxy: Proxied) -> None:
    url = proxy.url()
    proxy.stop_container()
    assert refused(proxy, url)[0] == 409
    assert refused(proxy, url)[0] == 409


def test_what_the_agent_refuses_is_told(proxy: Proxied) -> None:
    proxy.agent.refuses = (404, "There is no such exec.")
    assert refused(proxy, proxy.url()) == (404, "There is no such exec.")


def test_somebody_who_only_looks_like_the_agent_gets_nothing(proxy: Proxied) -> None:
    proxy.agent.lies = True
    assert refused(proxy, proxy.url())[0] == 503
    proxy.idle()


def test_a_host_that_serves_no_sessions_keeps_the_token_good(proxy: Proxied) -> None:
    url = proxy.url()
    with proxy.db.write() as conn:
        hosts.set_stream_address(conn, "host-1", None)
    assert refused(proxy, url)[0] == 503
    with proxy.db.write() as conn:
        hosts.set_stream_address(conn, "host-1", "127.0.0.1:1")
    assert refused(proxy, url) == (503, "The host's agent can't be reached.")


def test_forged_origins(proxy: Proxied) -> None:
    url = proxy.url()
    assert refused(proxy, url, origin=Origin("https://evil.example.com"))[0] == 403
    assert refused(proxy, url, additional_headers={"Host": "another"})[0] == 400, "two of them"
    token = proxy.token()
    upgrade = "Upgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
    for host, status in (("evil.example.com", b" 403 "), ("127.0.0.1:1", b" 101 ")):
        with socket.create_connection(("127.0.0.1", proxy.port), PATIENCE) as sock:
            head = f"GET /?{proxy.query(token)} HTTP/1.1\r\nHost: {host}\r\nOrigin: http://127.0.0.1\r\n{upgrade}"
            sock.sendall(f"{head}Sec-WebSocket-Version: 13\r\n\r\n".encode())
            assert status in sock.recv(4096).split(b"\r\n")[0]
    assert refused(proxy, url, origin=Origin("https://127.0.0.1"))[0] == 403
    with proxy.connect(url, origin=Origin("http://127.0.0.1:None")) as ws:
        ws.send(b"the token is still good")
        assert ws.recv(timeout=PATIENCE) == b"the token is still good"


def test_a_handshake_that_is_none_costs_no_token(proxy: Proxied) -> None:
    token = proxy.token()
    for extra in ("", "Sec-WebSocket-Key: short\r\n", "Sec-WebSocket-Version: 12\r\n"):
        head = f"GET /?{proxy.query(token)} HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
        with socket.create_connection(("127.0.0.1", proxy.port), PATIENCE) as sock:
            sock.sendall(f"{head}{extra}\r\n".encode())
            assert b"400" in sock.recv(4096).split(b"\r\n")[0]
    assert proxy.count("zun_sessions_refused_total", status="400", why="handshake") == 3
    with proxy.connect(proxy.url(token)):
        pass


@pytest.mark.parametrize(
    ("what", "error"), [("read", Unavailable), ("write", Contended), ("write", CommitUnknown)]
)
def test_a_database_that_fails_is_no_defect(
    proxy: Proxied, monkeypatch: pytest.MonkeyPatch, what: str, error: type[DatabaseError]
) -> None:
    url = proxy.url()

    def away(*_: object, **__: object) -> None:
        raise error("gone")

    monkeypatch.setattr(proxy.db, what, away)
    assert refused(proxy, url) == (503, "The service can't reach its database; try again.")
    monkeypatch.undo()
    with proxy.connect(url):
        pass


def test_there_are_only_so_many_sessions(db: Database) -> None:
    with proxied(db, ProxySettings(max_sessions=2)) as proxy:
        url = proxy.url()

        def comes_in() -> bool:
            try:
                with proxy.connect(url):
                    return True
            except InvalidStatus:
                return False

        with proxy.connect():
            with proxy.connect():
                status, reason = refused(proxy, url)
                assert (status, "2 sessions" in reason) == (503, True)
            eventually(comes_in, "the place of who left is free, and the token still good")


# ---- without an upgrade


def test_a_plain_get_tells_what_an_upgrade_would_and_costs_no_token(proxy: Proxied) -> None:
    token = proxy.token()
    status, body, headers = get(proxy, f"/?{proxy.query(token)}")
    assert (status, headers["Upgrade"]) == (426, "websocket")
    with proxy.connect(proxy.url(token)):
        pass
    status, body, _ = get(proxy, f"/?{proxy.query(token)}")
    assert (status, "has been used" in body) == (410, True)
    assert get(proxy, "/")[:2] == (400, "token: is missing.")


def test_the_page_is_served(proxy: Proxied) -> None:
    status, body, headers = get(proxy, f"/console/?{proxy.query('A' * 43)}")
    assert status == 200
    assert "<title>Console</title>" in body
    assert "script-src 'self'" in headers["Content-Security-Policy"]
    assert get(proxy, "/console/console.js")[0] == 200
    assert get(proxy, "/console/nothing.js")[0] == 400


@pytest.mark.parametrize("method", ["POST", "HEAD", "DELETE", "OPTIONS"])
def test_other_methods(proxy: Proxied, method: str) -> None:
    with socket.create_connection(("127.0.0.1", proxy.port), PATIENCE) as sock:
        sock.sendall(f"{method} /console/ HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        assert b" 405 " in sock.recv(4096).split(b"\r\n")[0]


# ---- what goes through


@pytest.mark.parametrize("offered", [(), ("null",), ("something",), ("base64",)])
def test_defect_42_browsers_of_other_consoles_are_served(
    proxy: Proxied, offered: tuple[str, ...]
) -> None:
    """zun-ui offers `null`, sends text, first a carriage return, and renders binary messages (contract 5.5)."""
    with proxy.connect(subprotocols=offered, origin=Origin("http://127.0.0.1")) as ws:
        assert ws.subprotocol == (offered[0] if offered else None)
        ws.send("\r")
        assert ws.recv(timeout=PATIENCE) == b"\r"
        ws.send("grüße")
        assert read_until(ws, "grüße".encode()) == "grüße".encode()


def test_every_message_is_text_that_can_be_read_alone(proxy: Proxied) -> None:
    sent = "añ€😀漢".encode() * 50
    proxy.agent.behave = says(*(bytes([byte]) for byte in sent), b"\xff\xfe", b"\xe2\x82")
    came = b""
    with proxy.connect() as ws:
        for message in ws:
            assert isinstance(message, bytes) and message
            message.decode("utf-8", "strict")
            came += message
    assert came == sent + "\ufffd\ufffd\ufffd".encode()


def test_standard_error_comes_too_and_nothing_is_lost_at_the_end(proxy: Proxied) -> None:
    async def behave(wire: Wire) -> None:
        for n in range(200):
            await wire.send(STDERR if n % 2 else DATA, b"%03d " % n * 4096)
        await wire.send(END, end_frame(End(why=Why.EXITED, exit_code=3)))

    proxy.agent.behave = behave
    with proxy.connect() as ws:
        came = b"".join(m for m in ws if isinstance(m, bytes))
    assert came == b"".join(b"%03d " % n * 4096 for n in range(200))


def test_defect_42_a_client_that_reads_nothing_stops_the_agent(proxy: Proxied) -> None:
    sent = []

    async def behave(wire: Wire) -> None:
        while True:
            await wire.send(DATA, b"x" * 65536)
            sent.append(65536)

    proxy.agent.behave = behave
    with proxy.connect(max_queue=1, close_timeout=0.1) as ws:
        still = [-1]

        def stands() -> bool:
            before, still[0] = still[0], len(sent)
            threading.Event().wait(0.2)
            return 0 < before == len(sent)

        eventually(stands, "nothing more is taken from the agent")
        assert sum(sent) < 32 << 20, "what the sockets hold, and no more"
        assert ws.recv(timeout=PATIENCE)
    proxy.idle()


def test_the_bytes_as_they_are_for_who_speaks_our_protocol(proxy: Proxied) -> None:
    with proxy.connect(subprotocols=("zun.console.v1", "binary")) as ws:
        assert ws.subprotocol == "zun.console.v1"
        assert told(ws.recv(timeout=PATIENCE)) == {"open": {"kind": "exec", "tty": True}}
        ws.send(b"\xff\xe2\x82")
        assert ws.recv(timeout=PATIENCE) == b"\xff\xe2\x82"
        ws.send(json.dumps({"resize": {"rows": 30, "columns": 100}}))
        assert read_until(ws, b"}") == b'size {"h": 30, "w": 100}'
        ws.send(b"\x04")
        assert told(ws.recv(timeout=PATIENCE)) == {
            "end": {"why": "exited", "exit_code": 0, "reason": "The process has ended."}
        }
        assert closed(ws) == (1000, "The process has ended.")


def test_a_console_that_talks_nonsense_is_told(proxy: Proxied) -> None:
    with proxy.connect(subprotocols=("zun.console.v1",)) as ws:
        ws.send("resize me")
        code, reason = closed(ws)
    assert (code, "resize" in reason) == (1008, True)
    proxy.idle()


# ---- how it ends


@pytest.mark.parametrize(
    ("why", "code"),
    [(Why.EXITED, 1000), (Why.STOPPED, 1000), (Why.REMOVED, 1000), (Why.KILLED, 1000), (Why.IDLE, 1008),
     (Why.LIMIT, 1008), (Why.SHUTDOWN, 1001), (Why.ENGINE, 1011), (Why.ERROR, 1011)],
)  # fmt: skip
def test_each_end_has_its_code(proxy: Proxied, why: Why, code: int) -> None:
    proxy.agent.behave = says(
        b"bye", end=End(why=why, reason="é" * 200 if why is Why.ERROR else "")
    )
    with proxy.connect() as ws:
        assert ws.recv(timeout=PATIENCE) == b"bye"
        got, reason = closed(ws)
    assert got == code
    assert reason
    proxy.idle()
    assert proxy.count("zun_sessions_ended_total", kind="exec", why=str(why)) == 1
    assert proxy.count("zun_session_seconds_count") == 1


def test_an_agent_that_goes_away(proxy: Proxied) -> None:
    proxy.agent.behave = says(b"half", end=None)
    with proxy.connect() as ws:
        assert ws.recv(timeout=PATIENCE) == b"half"
        assert closed(ws) == (1011, "The connection to the container's host was lost.")


def test_when_the_proxy_stops_its_clients_are_told(proxy: Proxied) -> None:
    assert proxy.server is not None
    with proxy.connect() as ws, proxy.connect(subprotocols=("zun.console.v1",)) as console:
        ender = threading.Thread(target=proxy.server.stop, args=(PATIENCE,))
        ender.start()
        assert closed(ws) == (1001, "The service is being stopped.")
        assert closed(console)[0] == 1001
        ender.join(PATIENCE)
    assert not proxy.server.alive


def test_a_client_that_vanishes_ends_the_session_at_the_agent(proxy: Proxied) -> None:
    with proxy.connect() as ws:
        ws.send(b"x")
        assert ws.recv(timeout=PATIENCE) == b"x"
        ws.socket.shutdown(socket.SHUT_RDWR)
        proxy.idle()
    assert proxy.count("zun_sessions_ended_total", kind="exec", why="left") == 1


def test_a_client_that_reads_nothing_for_too_long_is_given_up(db: Database) -> None:
    async def flood(wire: Wire) -> None:
        while True:
            await wire.send(DATA, b"x" * 65536)

    with proxied(db, ProxySettings(stall=0.2)) as proxy:
        proxy.agent.behave = flood
        with proxy.connect(max_queue=1, close_timeout=0.1):
            proxy.idle()
        assert proxy.count("zun_sessions_ended_total", kind="exec", why="stalled") == 1


def test_a_peer_that_is_gone_is_found_out(proxy: Proxied) -> None:
    """The kernel asks it; nothing of ours is sent to clients that can't take it."""
    assert proxy.server is not None
    with proxy.connect() as ws:
        ws.send(b"x")
        ws.recv(timeout=PATIENCE)
        (relay,) = proxy.server._relays
        sock = relay._ws.transport.get_extra_info("socket")
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 60
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 300_000


# ---- what the log says


def test_the_log_tells_of_sessions_and_never_of_tokens_or_data(
    proxy: Proxied, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    logging.getLogger("websockets.client").setLevel(logging.WARNING)
    token, spare = proxy.token(), proxy.token()
    with proxy.connect(proxy.url(token)) as ws:
        ws.send(b"a-password")
        assert ws.recv(timeout=PATIENCE) == b"a-password"
    refused(proxy, proxy.url(token))
    refused(proxy, proxy.url(spare), origin=Origin("http://evil"))
    get(proxy, f"/?{proxy.query(spare)}", X_Forwarded_For="10.1.2.3, 10.9.9.9")
    proxy.idle()
    lines = [record.getMessage() for record in caplog.records]
    (begins,) = [line for line in lines if line.startswith("session begins")]
    assert f"container={proxy.uuid}" in begins and "project=p" in begins and "user=u" in begins
    (ended,) = [line for line in lines if line.startswith("session ended")]
    assert "why=left" in ended and "bytes_in=10" in ended and "bytes_out=10" in ended
    assert len([line for line in lines if line.startswith("session refused")]) == 3
    assert [line for line in lines if "for=10.1.2.3, 10.9.9.9" in line]
    whole = caplog.text
    assert token not in whole and spare not in whole and "a-password" not in whole


# ---- TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for localhost, with its key, that is its own CA."""
    return self_signed(tmp_path_factory.mktemp("tls") / "cert.pem")


def test_sessions_over_tls(db: Database, certificate: Path) -> None:
    tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    tls.load_cert_chain(certificate)
    with proxied(db, ProxySettings(secure=True), tls=tls) as proxy:
        proxy.agent.behave = says(b"x" * 1_000_000, end=None)
        url = proxy.url().replace("ws://127.0.0.1", "wss://localhost")
        trust = ssl.create_default_context(cafile=str(certificate))
        assert refused(proxy, url, ssl=trust, origin=Origin("http://localhost"))[0] == 403
        with proxy.connect(url, ssl=trust, origin=Origin("https://localhost:None")) as ws:
            came = b""
            while len(came) < 1_000_000:
                came += ws.recv(timeout=PATIENCE)  # type: ignore[operator]
        assert came == b"x" * 1_000_000


def test_nothing_is_left_open(proxy: Proxied) -> None:
    def descriptors() -> int:
        return len(list(Path("/proc/self/fd").iterdir()))

    with proxy.connect() as ws:
        ws.send(b"x")
        ws.recv(timeout=PATIENCE)
    proxy.idle()
    before = descriptors()
    for _ in range(20):
        with proxy.connect() as ws:
            ws.send(b"x")
            ws.recv(timeout=PATIENCE)
        refused(proxy, proxy.url("B" * 43))
    proxy.idle()
    eventually(lambda: descriptors() <= before + 2, "sockets are closed")
