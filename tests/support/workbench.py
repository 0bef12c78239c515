"""The scripts' servers, for tests: they run in directories of their own, below one that other users may enter."""

from __future__ import annotations

import importlib
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from tests.support.certificates import self_signed
from tests.support.service import free_port

_SCRIPTS = str(Path(__file__).parents[2] / "scripts")


def module(name: str) -> Any:
    """The module `workbench.<name>` of the scripts."""
    if _SCRIPTS not in sys.path:
        sys.path.append(_SCRIPTS)
    return importlib.import_module(f"workbench.{name}")


@contextmanager
def directory() -> Iterator[Path]:
    """A directory that goes with all that is in it."""
    made = Path(tempfile.mkdtemp(prefix="zun-test-"))
    made.chmod(0o755)
    try:
        yield made
    finally:
        shutil.rmtree(made, ignore_errors=True)


@contextmanager
def broker() -> Iterator[Any]:
    """A RabbitMQ. Fails, saying what to install, where it can't be started."""
    with directory() as folder:
        home = folder / "rabbitmq"
        home.mkdir()
        made = module("rabbitmq").RabbitMQ(home, port=free_port(), tls_port=free_port())
        self_signed(made.certificate)
        _started(made)
        try:
            yield made
        finally:
            made.resume()
            made.stop()


@contextmanager
def identity() -> Iterator[Any]:
    """A Keystone with users, whose catalogue knows no right address of the container service yet."""
    with directory() as folder:
        made = module("keystone").Keystone(folder / "keystone", port=free_port())
        _started(made)
        try:
            made.bootstrap("http://127.0.0.1:9/v1")
            yield made
        finally:
            made.stop()


def _started(server: Any) -> None:
    try:
        server.start()
    except Exception as exc:
        way_out = getattr(exc, "way_out", "")
        pytest.fail(f"{exc}\n{way_out}\n./run-tests installs what tests need", pytrace=False)
