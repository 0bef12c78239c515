"""The console page in a real browser, before an agent that is a stand-in."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from selenium.webdriver import Chrome, Keys
from tests.support.browser import Page, chromium
from tests.support.house import eventually
from tests.support.proxying import Proxied, proxied, says

from zun.bus.channel import DATA, RESIZE, End, Wire
from zun.model.session import StreamKind, Why
from zun.store import migrate
from zun.store.database import Database


@pytest.fixture(scope="module")
def proxy(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Proxied]:
    folder = tmp_path_factory.mktemp("console")
    db = Database(f"sqlite:///{folder / 'zun.sqlite'}")
    migrate.upgrade(db)
    with proxied(db) as proxy:
        yield proxy
    db.close()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chrome]:
    with chromium(tmp_path_factory.mktemp("profile")) as driver:
        yield driver


class Links(Page):
    """With links to the proxy under test."""

    def __init__(self, browser: Chrome, proxy: Proxied) -> None:
        super().__init__(browser)
        self.proxy = proxy

    def follow(self, token: str, **changes: str) -> None:
        """Opens a console's link."""
        self.open(
            f"http://127.0.0.1:{self.proxy.port}/console/?{self.proxy.query(token, **changes)}"
        )


@pytest.fixture
def page(browser: Chrome, proxy: Proxied) -> Links:
    browser.set_window_size(1000, 640)
    browser.get_log("browser")
    return Links(browser, proxy)


async def shell(wire: Wire) -> None:
    """Says what it is given: a line, and each size."""
    await wire.send(DATA, b"\x1b[1;32m$\x1b[0m ")
    while (frame := await wire.receive()) is not None:
        if frame.kind == RESIZE:
            await wire.send(DATA, b"[" + frame.payload + b"]")
        else:
            await wire.send(DATA, frame.payload.replace(b"\r", b"\r\n"))


def test_type_see_and_resize(page: Links) -> None:
    page.proxy.agent.behave = shell
    page.follow(page.proxy.token())
    page.becomes("open")
    page.type("echo grüße 漢 😀", Keys.ENTER)
    page.shows("$ ")
    page.shows("echo grüße 漢")
    assert "token" not in str(page.run("return location.href")), "it does not stay in the history"
    first = str(page.run("return document.querySelector('.xterm-rows').children.length"))
    page.browser.set_window_size(700, 400)
    eventually(lambda: page.screen.count('{"h"') >= 2, f"a second size comes: {page.screen}")
    assert first != str(page.run("return document.querySelector('.xterm-rows').children.length"))
    assert page.complaints() == []


def test_a_long_paste_arrives_whole_and_in_order(page: Links) -> None:
    came = bytearray()

    async def swallow(wire: Wire) -> None:
        while (frame := await wire.receive()) is not None:
            if frame.kind == DATA:
                came.extend(frame.payload)
                await wire.send(DATA, b"\r\x1b[K%d" % len(came))

    page.proxy.agent.behave = swallow
    page.follow(page.proxy.token())
    page.becomes("open")
    text = "".join(f"{n:07d} " for n in range(40_000))
    page.run(
        "const d = new DataTransfer(); d.setData('text/plain', "
        "Array.from({length: 40000}, (_, n) => String(n).padStart(7, '0') + ' ').join(''));"
        "document.querySelector('textarea').dispatchEvent("
        "new ClipboardEvent('paste', {clipboardData: d, bubbles: true}))"
    )
    eventually(lambda: len(came) >= len(text), f"all comes: {len(came)}")
    assert bytes(came).decode() == text


def test_what_is_no_text_does_no_harm(page: Links) -> None:
    page.proxy.agent.behave = says(b"\xff\xfe\x00\x80<b>&amp;</b>\x1b]0;<script>\x07 end", end=None)
    page.follow(page.proxy.token())
    page.shows("<b>&amp;</b> end")
    page.becomes("ended")


def test_a_link_is_spent(page: Links) -> None:
    page.proxy.agent.behave = says(b"once", end=End(why=Why.EXITED, exit_code=3))
    token = page.proxy.token()
    page.follow(token)
    page.becomes("ended")
    assert "Session ended" in page.notice and "Exit code 3." in page.notice
    page.follow(token)
    page.becomes("refused")
    assert "This link is spent" in page.notice
    assert "Open a new console from" in page.notice
    assert f"openstack appcontainer exec --interactive {page.proxy.uuid} sh" in page.notice


def test_a_connection_that_is_lost_is_told(page: Links) -> None:
    page.proxy.agent.behave = says(b"half", end=None)
    page.follow(page.proxy.token())
    page.becomes("ended")
    assert "The connection was lost" in page.notice
    assert "Open a new console from" in page.notice


def test_the_agent_comes_back_and_the_page_tries_again(page: Links) -> None:
    page.proxy.agent.behave = shell
    with page.proxy.db.write() as conn:
        from zun.store import hosts

        hosts.set_stream_address(conn, "host-1", None)
    page.follow(page.proxy.token())
    page.becomes("waiting")
    eventually(lambda: "Trying again" in str(page.run("return document.body.innerText")))
    with page.proxy.db.write() as conn:
        hosts.set_stream_address(conn, "host-1", page.proxy.agent.address)
    page.becomes("open")


def test_links_that_are_none(page: Links) -> None:
    page.open(f"http://127.0.0.1:{page.proxy.port}/console/")
    page.becomes("refused")
    assert "needs a link" in page.notice
    page.follow("B" * 43)
    page.becomes("refused")
    assert "This link opens no session." in page.notice
    page.follow("B" * 43, uuid="x; rm -rf ~")
    assert "rm -rf" not in page.notice, "it is there to be copied into a shell"


def test_an_attach_below_a_prefix(page: Links) -> None:
    page.proxy.agent.behave = shell
    token = page.proxy.token(kind=StreamKind.ATTACH, exec_id=None)
    page.open(
        f"http://127.0.0.1:{page.proxy.port}/zun/console/?token={token}&uuid={page.proxy.uuid}"
    )
    page.becomes("open")
    assert "Press Enter" in str(page.run("return document.getElementById('state').textContent"))
