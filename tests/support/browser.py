"""A real browser without a window: Debian's chromium, driven by selenium through Debian's chromedriver."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from selenium.webdriver import Chrome, ChromeOptions, ChromeService
from tests.support.house import eventually

HOW = "{} is not on the PATH. Install Debian's chromium and chromium-driver: apt-get install chromium chromium-driver"

#: It is never to reach out by itself, nor to show windows of its own.
_FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
    "--window-size=1000,640", "--force-device-scale-factor=1",
)  # fmt: skip


@contextmanager
def chromium(folder: Path) -> Iterator[Chrome]:
    """A browser with an empty profile in `folder`. Where there is none the test fails: it is never skipped."""
    found = {}
    for name in ("chromium", "chromedriver"):
        found[name] = shutil.which(name)
        if found[name] is None:
            pytest.fail(HOW.format(name), pytrace=False)
    options = ChromeOptions()
    options.binary_location = str(found["chromium"])
    for flag in (*_FLAGS, f"--user-data-dir={folder}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    driver = Chrome(options, ChromeService(str(found["chromedriver"])))
    try:
        yield driver
    finally:
        driver.quit()


class Page:
    """The console page, as somebody before it sees and does."""

    def __init__(self, browser: Chrome) -> None:
        self.browser = browser

    def open(self, url: str) -> None:
        self.browser.get(url)

    def run(self, script: str) -> Any:
        return self.browser.execute_script(script)  # type: ignore[no-untyped-call]

    @property
    def state(self) -> str:
        return str(self.run("return document.body.dataset.state"))

    @property
    def screen(self) -> str:
        return str(self.run("return document.querySelector('.xterm-rows').innerText")).replace(
            "\xa0", " "
        )

    @property
    def notice(self) -> str:
        return str(
            self.run(
                "const n = document.getElementById('notice'); return n.hidden ? '' : n.innerText"
            )
        )

    def type(self, *keys: str) -> None:
        """Keys and words, one after the other."""
        for key in keys:
            if max(key) > "\uffff":  # as an input method gives it: there is no key for it
                self.browser.execute_cdp_cmd("Input.insertText", {"text": key})
            else:
                self.browser.switch_to.active_element.send_keys(key)

    def size(self) -> tuple[int, int]:
        """Rows and columns of the terminal that is shown."""
        told = self.run("return document.getElementById('terminal').dataset.size")
        rows, columns = str(told).split()
        return int(rows), int(columns)

    def shows(self, text: str) -> None:
        eventually(lambda: text in self.screen, f"{text!r} shows, not {self.screen!r}")

    def becomes(self, state: str) -> None:
        eventually(lambda: self.state == state, f"{state}, not {self.state}: {self.notice}")

    def complaints(self) -> list[str]:
        """What the browser logged: breaches of the page's policy for one."""
        return [entry["message"] for entry in self.browser.get_log("browser")]
