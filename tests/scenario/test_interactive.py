"""The unmodified official clients on a terminal, as a person uses them: run -i, attach, exec -i."""

from __future__ import annotations

import hashlib
import os
import signal
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import Popen
from typing import Any
from urllib.parse import urlsplit

import docker
import pytest
from selenium.webdriver import Keys
from tests.support.browser import Page, chromium
from tests.support.clients import Clients, Identity
from tests.support.house import PATIENCE, eventually
from tests.support.images import NAME, ensure_busybox
from tests.support.service import Service, free_port
from tests.support.terminal import Terminal, terminal
from websockets.sync.client import connect
from websockets.typing import Origin, Subprotocol

from zun.model.names import new_uuid, runtime_name

pytestmark = pytest.mark.engine

IMAGE = f"{NAME}:latest"

#: Where a picture of the console page is written, for the documentation.
SHOT = os.environ.get("ZUN_TEST_SCREENSHOT")
OPENSTACK, ZUN = "openstack", "zun"


@dataclass
class Desk:
    """A service, and the clients that are pointed at it."""

    service: Service
    clients: Clients
    engine: docker.APIClient
    options: dict[str, tuple[str, ...]]
    program: str = OPENSTACK

    def terminal(self, *words: str, size: tuple[int, int] = (24, 80)) -> Any:
        """A terminal with a command of whichever client this is."""
        return terminal(self.clients, self.program, *self.options[self.program], *words, size=size)

    def shell(self) -> tuple[str, str]:
        """Name and uuid of an interactive container in which a shell runs."""
        name = f"sh-{new_uuid()[:8]}"
        body = {
            "name": name, "image": IMAGE, "command": ["sh"], "interactive": True, "tty": True, "cpu": 0.5, "memory": 64,
        }  # fmt: skip
        status, made = self.service.ask("POST", "/v1/containers?run=true", body)
        assert status == 202, made
        self.service.until(made["uuid"], "Running")
        return name, made["uuid"]

    def remove(self, uuid: str) -> None:
        self.service.ask("DELETE", f"/v1/containers/{uuid}?force=true")
        self.service.gone(uuid)

    def running_execs(self, uuid: str) -> list[str]:
        """What runs inside beside the main process."""
        top = self.engine.top(runtime_name(uuid))
        return [" ".join(row) for row in top["Processes"][1:]]

    def status(self, uuid: str) -> str:
        shown = self.service.show(uuid)
        assert shown is not None
        return str(shown["status"])


@pytest.fixture(scope="module")
def _desk(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    engine = docker.APIClient(version="auto")
    ensure_busybox(engine)
    options = {
        "api": {"auth_strategy": "noauth"},
        "docker_network": {"subnet_pool": "10.203.240.0/20"},
        "websocket_proxy": {"wsproxy_port": free_port()},
    }
    service = Service(tmp_path_factory.mktemp("interactive") / "state", options=options)
    service.start()
    identity = Identity()
    endpoint = f"http://127.0.0.1:{service.port}/v1"
    clients = Clients({"OS_AUTH_TYPE": "none", "OS_ENDPOINT": endpoint})
    zun = (
        "--os-username", "admin", "--os-password", "x", "--os-project-name", "admin",
        "--os-user-domain-name", "Default", "--os-project-domain-name", "Default",
        "--os-auth-url", identity.url, "--bypass-url", endpoint,
    )  # fmt: skip
    yield Desk(service, clients, engine, {OPENSTACK: ("appcontainer",), ZUN: zun})
    for row in service.ask("GET", "/v1/containers?all_projects=true")[1]["containers"]:
        service.ask("DELETE", f"/v1/containers/{row['uuid']}?force=true")
        service.gone(row["uuid"])
    clients.close()
    identity.close()
    service.stop()
    engine.close()


@pytest.fixture
def desk(_desk: Desk) -> Desk:
    _desk.program = OPENSTACK
    return _desk


@pytest.fixture(params=[OPENSTACK, ZUN])
def either(_desk: Desk, request: pytest.FixtureRequest) -> Desk:
    _desk.program = request.param
    return _desk


@pytest.fixture(scope="module")
def box(_desk: Desk) -> Iterator[tuple[str, str]]:
    """Name and uuid of an interactive container that the tests of this file share."""
    yield _desk.shell()


def prompt(seen: Terminal) -> None:
    """The shell inside is ready for the next command."""
    word = f"ready-{new_uuid()[:8]}"
    seen.type(f"echo {word[:8]}''{word[8:]}\r")
    seen.see(word)


def test_run_with_a_terminal_then_leave_and_attach_again(either: Desk) -> None:
    name = f"run-{new_uuid()[:8]}"
    words = ("run", "--interactive", "--name", name, "--cpu", "0.5", "--memory", "64", IMAGE, "sh")
    with either.terminal(*words) as seen:
        seen.connected()
        seen.type("\r")
        prompt(seen)
        seen.type("kept=$((40+2)); echo is-$kept\r")
        seen.see("is-42")
        seen.kill()  # the window is closed
    uuid = str(either.service.ask("GET", f"/v1/containers/{name}")[1]["uuid"])
    assert either.status(uuid) == "Running"
    with either.terminal("attach", name) as seen:
        seen.connected()
        seen.type("\recho still-$kept\r")
        seen.see("still-42")
        seen.type("exit 7\r")
        assert seen.code() == 0
    either.service.until(uuid, "Stopped")
    assert either.engine.inspect_container(runtime_name(uuid))["State"]["ExitCode"] == 7
    either.remove(uuid)


def test_exec_with_a_terminal(either: Desk, box: tuple[str, str]) -> None:
    name, uuid = box
    with either.terminal("exec", "--interactive", name, "sh") as seen:
        seen.connected()
        prompt(seen)
        seen.type("tty; echo code-$?\r")
        seen.see("/dev/pts/", "code-0")
        seen.type("sleep 1000\r")
        eventually(lambda: any("sleep 1000" in p for p in either.running_execs(uuid)))
        seen.type(b"\x03")
        prompt(seen)
        seen.type("echo gone-$?\r")
        seen.see("gone-0")
        assert not any("sleep 1000" in p for p in either.running_execs(uuid))
        seen.type(b"\x04")
        assert seen.code() == 0
    assert either.status(uuid) == "Running"


def test_the_terminal_inside_has_the_size_of_the_window(either: Desk, box: tuple[str, str]) -> None:
    name, _ = box
    for words in (("exec", "--interactive", name, "sh"), ("attach", name)):
        with either.terminal(*words, size=(33, 101)) as seen:
            seen.connected()
            seen.type("\r")
            prompt(seen)
            sized(seen, 33, 101)
            for rows, columns in ((24, 80), (50, 132)):
                seen.resize(rows, columns)
                sized(seen, rows, columns)
            if words[0] == "exec":
                seen.type(b"\x04")
                assert seen.code() == 0


def sized(seen: Terminal, rows: int, columns: int) -> None:
    """Asks inside until the size has come through; it goes another way than what is typed."""

    def told() -> bool:
        word = new_uuid()[:8]
        seen.type(f"stty size; echo {word[:4]}''{word[4:]}\r")
        return b"%d %d" % (rows, columns) in seen.see(word)

    eventually(told, f"the terminal inside is {rows} by {columns}")


def test_a_full_screen_editor(desk: Desk, box: tuple[str, str]) -> None:
    name, _ = box
    with desk.terminal("exec", "--interactive", name, "vi", "/tmp/letter") as seen:
        seen.see("/tmp/letter")
        seen.type("iDear Zoë,\rgoodbye\x1b")
        seen.see("goodbye")
        seen.type(":wq\r")
        assert seen.code() == 0
    status, ran = desk.service.ask(
        "POST", f"/v1/containers/{name}/execute?command=cat+/tmp/letter&run=true"
    )
    assert (status, ran["output"]) == (200, "Dear Zoë,\ngoodbye\n")


def test_a_screen_that_is_drawn_again_and_again(desk: Desk, box: tuple[str, str]) -> None:
    name, _ = box
    with desk.terminal("exec", "--interactive", name, "top", "-d", "1") as seen:
        seen.see("Mem:", "PID", "\x1b[H", "Mem:")
        seen.type("q")
        assert seen.code() == 0


def test_ten_megabytes_come_byte_for_byte(desk: Desk, box: tuple[str, str]) -> None:
    line = "0123456789 añ€ 漢字 😀 grüße\n"
    count = 10_000_000 // len(line.encode()) + 1
    expected = line.replace("\n", "\r\n").encode() * count
    name, _ = box
    with desk.terminal("exec", "--interactive", name, "sh") as seen:
        seen.connected()
        prompt(seen)
        seen.type(f"yes '{line.strip()}' | head -n {count} > /tmp/big; echo made''-it\r")
        seen.see("made-it")
        seen.type("stty -echo; PS1=; echo quiet''-now\r")
        seen.see("quiet-now\r\n")
        seen.type("cat /tmp/big; echo all''-of-it\r")
        came = seen.take(len(expected))
        assert hashlib.sha256(came).digest() == hashlib.sha256(expected).digest()
        assert seen.see("all-of-it\r\n") == b"all-of-it\r\n"
        seen.type(b"\x04")
        assert seen.code() == 0


def test_what_is_no_text_does_not_end_the_session(desk: Desk, box: tuple[str, str]) -> None:
    """The official client takes each message for UTF-8, and ends where it is not (contract 5.4)."""
    name, _ = box
    with desk.terminal("exec", "--interactive", name, "sh") as seen:
        seen.connected()
        prompt(seen)
        seen.type(
            "printf '<\\377\\376\\200\\303(\\360\\237>\\n'; head -c 100000 /dev/urandom; echo; echo on''-and-on\r"
        )
        seen.see("<\ufffd\ufffd\ufffd\ufffd(\ufffd>", "on-and-on")
        prompt(seen)
        seen.type(b"\x04")
        assert seen.code() == 0


def test_a_long_text_is_typed(desk: Desk, box: tuple[str, str]) -> None:
    name, _ = box
    lines = [f"{n:06d} " + "x" * 70 for n in range(3000)]
    text = "\n".join(lines) + "\n"
    with desk.terminal("exec", "--interactive", name, "sh") as seen:
        seen.connected()
        prompt(seen)
        seen.type("stty -echo; cat > /tmp/typed; echo taken''-in\r")
        eventually(lambda: any("cat" in p for p in desk.running_execs(box[1])))
        seen.type(text.replace("\n", "\r"))
        seen.type(b"\x04")
        seen.see("taken-in")
        seen.type("sha256sum /tmp/typed\r")
        seen.see(hashlib.sha256(text.encode()).hexdigest())
        seen.type(b"\x04")
        assert seen.code() == 0


def test_two_look_at_the_same_terminal(desk: Desk) -> None:
    name, uuid = desk.shell()
    with desk.terminal("attach", name) as one:
        one.connected()  # first: until then a second attach would make its token void
        with desk.terminal("attach", name) as other:
            other.connected()
            one.type("\recho both''-see\r")
            one.see("both-see")
            other.see("both-see")
            other.type("echo and''-back\r")
            one.see("and-back")
            other.kill()
            prompt(one)
    desk.remove(uuid)


def test_a_container_that_is_stopped_ends_its_sessions(desk: Desk) -> None:
    name, uuid = desk.shell()
    with (
        desk.terminal("attach", name) as attached,
        desk.terminal("exec", "--interactive", name, "sh") as inside,
    ):
        attached.connected()
        inside.connected()
        prompt(inside)
        desk.service.ask("POST", f"/v1/containers/{uuid}/kill")
        assert attached.code() == 0
        assert inside.code() == 0
    desk.service.until(uuid, "Stopped")
    with desk.terminal("attach", name) as seen:
        assert seen.code() != 0
    desk.remove(uuid)


def test_who_is_refused_is_told_in_words(desk: Desk) -> None:
    plain = f"plain-{new_uuid()[:8]}"
    body = {"name": plain, "image": IMAGE, "command": ["sleep", "1000"], "cpu": 0.1, "memory": 32}
    _, made = desk.service.ask("POST", "/v1/containers?run=true", body)
    desk.service.until(made["uuid"], "Running")
    with desk.terminal("attach", plain) as seen:
        assert seen.code() != 0
        assert b"interactive" in seen.screen
    desk.remove(made["uuid"])


# ---- time goes by


def test_ten_minutes_idle_do_no_harm_and_an_hour_ends_it(tmp_path: Path) -> None:
    """The service's clock leaps: every timer in proxy and agent that is due within the time goes off."""
    ensure = docker.APIClient(version="auto")
    ensure_busybox(ensure)
    service = Service(
        tmp_path / "state",
        options={
            "api": {"auth_strategy": "noauth"},
            "docker_network": {"subnet_pool": "10.203.240.0/20"},
        },
        command=(sys.executable, "-m", "tests.support.leaping"),
    )
    service.start()
    endpoint = f"http://127.0.0.1:{service.port}/v1"
    clients = Clients({"OS_AUTH_TYPE": "none", "OS_ENDPOINT": endpoint})
    desk = Desk(service, clients, ensure, {OPENSTACK: ("appcontainer",)})
    try:
        name, uuid = desk.shell()
        with desk.terminal("exec", "--interactive", name, "sh") as seen:
            seen.connected()
            prompt(seen)
            leap(service, 600)
            prompt(seen)
            for seconds in range(1200, 3600, 600):
                leap(service, seconds)
            prompt(seen)
            for seconds in range(3600, 7800, 600):
                leap(service, seconds)
            assert seen.code() == 0
        assert desk.status(uuid) == "Running"
        assert "why=idle code=1008" in service.log.read_text()
        desk.remove(uuid)
    finally:
        clients.close()
        service.stop()
        ensure.close()


def leap(service: Service, seconds: int) -> None:
    """Ten minutes, after which so many have gone by."""
    os.kill(service.pid, signal.SIGUSR1)
    eventually(lambda: f"leapt {seconds}" in service.log.read_text(), "the clock leaps")


# ---- in the browser


def test_a_console_in_the_browser(desk: Desk, tmp_path: Path) -> None:
    _, uuid = desk.shell()
    url = str(desk.service.ask("GET", f"/v1/containers/{uuid}/attach")[1])
    head, _, query = url.replace("ws://", "http://").partition("?")
    with chromium(tmp_path / "profile") as browser:
        page = Page(browser)
        page.open(f"{head}console/?{query}")
        page.becomes("open")
        page.type(Keys.ENTER, "echo sum-$((40+2)) grüße", Keys.ENTER)
        page.shows("sum-42 grüße")
        sized_in_browser(page)
        before = page.size()
        browser.set_window_size(700, 420)
        eventually(lambda: page.size() != before)
        sized_in_browser(page)
        browser.set_window_size(1000, 560)
        sized_in_browser(page)
        page.type("clear; cd /; ls -l; top -b -n 1 | head -n 6; echo 'grüße,' λ ✓", Keys.ENTER)
        page.shows("grüße, λ ✓")
        if SHOT:
            browser.save_screenshot(SHOT)
        page.type("exit 3", Keys.ENTER)
        page.becomes("ended")
        assert "Session ended" in page.notice and "Exit code 3." in page.notice
        page.open(f"{head}console/?{query}")
        page.becomes("refused")
        assert "This link is spent" in page.notice
        assert f"openstack appcontainer attach {uuid}" in page.notice
        assert not [line for line in page.complaints() if "Content Security" in line]
    desk.remove(uuid)


def sized_in_browser(page: Page) -> None:
    """Asks inside until the size has come through."""

    def told() -> bool:
        ready = f"{new_uuid()[:8]}"
        page.type(f"clear; stty size; echo {ready[:4]}''{ready[4:]}", Keys.ENTER)
        page.shows(ready)
        rows, columns = page.size()
        return f"{rows} {columns}" in page.screen

    eventually(told, "the terminal inside has the window's size")


# ---- as zun-ui does (contract 5.5)


def test_the_dashboards_own_console(desk: Desk) -> None:
    """A browser's WebSocket with the list `null`: text goes out, a carriage return first, and Blobs come in."""
    _, uuid = desk.shell()
    url = str(desk.service.ask("GET", f"/v1/containers/{uuid}/attach")[1])
    host = urlsplit(url).hostname
    with connect(
        url, subprotocols=[Subprotocol("null")], origin=Origin(f"http://{host}"), proxy=None, ping_interval=None
    ) as ws:  # fmt: skip
        assert ws.subprotocol == "null"
        ws.send("\r")
        ws.send("echo from''-the-dashboard\r")
        came = b""
        while b"from-the-dashboard" not in came:
            message = ws.recv(timeout=PATIENCE)
            assert isinstance(message, bytes) and message
            message.decode("utf-8", "strict")
            came += message
        status, _ = desk.service.ask("POST", f"/v1/containers/{uuid}/resize?h=31&w=99")
        assert status == 200
        ws.send("stty size\r")
        while b"31 99" not in came:
            came += ws.recv(timeout=PATIENCE, decode=False)
    desk.remove(uuid)


# ---- zun-wsproxy in a process of its own


def test_a_proxy_of_its_own(tmp_path: Path) -> None:
    """The service serves no sessions itself; a `zun-wsproxy` with its database does, and ends without harm."""
    engine = docker.APIClient(version="auto")
    ensure_busybox(engine)
    port = free_port()
    service = Service(
        tmp_path / "state",
        options={
            "api": {"auth_strategy": "noauth"},
            "docker_network": {"subnet_pool": "10.203.240.0/20"},
            "websocket_proxy": {"enabled": False, "base_url": f"ws://127.0.0.1:{port}/", "wsproxy_port": port},
        },
    )  # fmt: skip
    service.start()
    command = (
        sys.executable, "-m", "zun.cmd.wsproxy", "--config-file", str(tmp_path / "state.conf"),
        "--state-dir", str(tmp_path / "state"),
    )  # fmt: skip
    log = tmp_path / "wsproxy.log"
    with log.open("wb") as out:
        proxy = Popen(command, stdout=out, stderr=out)
    clients = Clients(
        {"OS_AUTH_TYPE": "none", "OS_ENDPOINT": f"http://127.0.0.1:{service.port}/v1"}
    )
    desk = Desk(service, clients, engine, {OPENSTACK: ("appcontainer",)})
    try:
        eventually(lambda: "interactive sessions on" in log.read_text(), "the proxy serves")
        name, uuid = desk.shell()
        with desk.terminal("attach", name) as seen:
            seen.connected()
            prompt(seen)
            proxy.terminate()
            assert seen.code() == 0
        assert proxy.wait(PATIENCE) == 0
        assert desk.status(uuid) == "Running"
        assert "why=shutdown code=1001" in log.read_text()
        desk.remove(uuid)
    finally:
        proxy.kill()
        proxy.wait(PATIENCE)
        clients.close()
        service.stop()
        engine.close()
