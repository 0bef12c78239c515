"""The command `zun-wsproxy`: what it refuses to start with, and a certificate that is renewed under it."""

from __future__ import annotations

import resource
import signal
import socket
import ssl
import urllib.request
from pathlib import Path

import pytest
from tests.support.certificates import self_signed
from tests.support.house import PATIENCE, eventually
from tests.support.proxying import proxy_process

from zun.cmd import process, wsproxy
from zun.cmd.arguments import CannotServe
from zun.conf import ConfigError, load
from zun.store.database import Database


def refusal(folder: Path, db: Database, **options: object) -> str:
    """What it says instead of starting."""
    config = folder / "zun.conf"
    lines = "".join(f"{name} = {value}\n" for name, value in {"wsproxy_port": 0, **options}.items())
    config.write_text(f"[database]\nconnection = {db.url}\n[websocket_proxy]\n{lines}")
    with pytest.raises((ConfigError, CannotServe, OSError)) as raised:
        wsproxy.serve(load([config]))
    return str(raised.value)


def test_what_it_does_not_start_with(folder: Path, db: Database) -> None:
    assert "ssl_only" in refusal(folder, db, ssl_only=True)
    assert "nothing.pem" in refusal(folder, db, cert=folder / "nothing.pem")
    (folder / "bad.pem").write_text("no certificate")
    assert "[websocket_proxy] cert" in refusal(folder, db, cert=folder / "bad.pem")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert f"127.0.0.1:{port}" in refusal(folder, db, wsproxy_port=port)
    assert "base_url" in refusal(folder, db, base_url="http://x")
    empty = Database(f"sqlite:///{folder / 'empty.sqlite'}")
    assert "zun-db-manage upgrade" in refusal(folder, empty)
    empty.close()


def presented(port: int) -> bytes:
    """The certificate a client is shown now."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    with (
        socket.create_connection(("127.0.0.1", port), PATIENCE) as sock,
        context.wrap_socket(sock) as tls,
    ):
        shown = tls.getpeercert(binary_form=True)
        assert shown
        return shown


def test_a_renewed_certificate_is_read_on_sighup(folder: Path, db: Database) -> None:
    cert = self_signed(folder / "cert.pem")
    trust = ssl.create_default_context(cafile=str(cert))
    with proxy_process(db, folder, cert=cert) as (proxy, process):
        url = proxy.url().replace("ws://127.0.0.1", "wss://localhost")
        with proxy.connect(url, ssl=trust) as ws:
            before = presented(proxy.port)
            cert.write_text("half written")
            process.send_signal(signal.SIGHUP)
            log = folder / "wsproxy.log"
            eventually(lambda: "the certificate read before stays" in log.read_text())
            assert presented(proxy.port) == before
            self_signed(cert)
            process.send_signal(signal.SIGHUP)
            eventually(lambda: presented(proxy.port) != before, "the new one is shown")
            ws.send(b"goes on")
            assert ws.recv(timeout=PATIENCE) == b"goes on"


def test_it_ends_when_told_and_serves_its_figures(folder: Path, db: Database) -> None:
    with proxy_process(db, folder) as (proxy, process):
        log = folder / "wsproxy.log"
        with proxy.connect() as ws:
            line = next(x for x in log.read_text().splitlines() if "metrics on http://" in x)
            url = line.split("metrics on ")[1].strip()

            def figures() -> str:
                with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
                    return str(answer.read().decode())

            # The client is let in a moment before the session is counted.
            eventually(lambda: 'zun_sessions_open{kind="exec"} 1.0' in figures(), "it is counted")
            process.terminate()
            with pytest.raises(Exception, match="1001"):
                ws.send(b"x")
                while True:
                    ws.recv(timeout=PATIENCE)
        assert process.wait(PATIENCE) == 0


def test_the_limit_of_files_is_raised_as_far_as_it_may(caplog: pytest.LogCaptureFixture) -> None:
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (512, limits[1]))
        assert wsproxy.descriptors_for(10, 2) == 10
        assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] == process.more_files(20, "it")
        assert process.more_files() == limits[1] or limits[1] == resource.RLIM_INFINITY
        assert not caplog.records
        process.more_files(10**9, "this and that")
        assert "this and that may need 1000000000" in caplog.text
        caplog.clear()
        assert wsproxy.descriptors_for(10**9, 2) < 10**9
        assert "LimitNOFILE" in caplog.text
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
