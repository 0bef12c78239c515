"""A real browser without a window: Debian's chromium, driven by selenium through Debian's chromedriver."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from selenium.webdriver import Chrome, ChromeOptions, ChromeService

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
