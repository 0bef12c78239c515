"""What the unit tests share: a migrated database a test, and the whole house on fakes."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.support.house import Fakes, Rig, make, running

from zun.store import migrate
from zun.store.database import Database


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A migrated, empty database: copied, not migrated anew, for each test."""
    path = Path(tmp_path_factory.mktemp("template")) / "zun.sqlite"
    database = Database(f"sqlite:///{path}")
    migrate.upgrade(database)
    database.close()
    return path


@pytest.fixture
def folder(tmp_path: Path, template: Path) -> Path:
    """A folder with an empty database in it, where `house.make` looks for one."""
    shutil.copy(template, tmp_path / "zun.sqlite")
    return tmp_path


@pytest.fixture
def db(folder: Path) -> Iterator[Database]:
    """The database alone."""
    database = Database(f"sqlite:///{folder / 'zun.sqlite'}")
    yield database
    database.close()


@pytest.fixture
def fakes() -> Fakes:
    """The drivers of the host."""
    return Fakes()


@pytest.fixture
def rig(folder: Path, fakes: Fakes) -> Iterator[Rig]:
    """A working house."""
    with running(folder, fakes) as rig:
        yield rig


Start = Callable[..., Rig]


@pytest.fixture
def start(folder: Path) -> Iterator[Start]:
    """Starts a house with what is given to `house.make`; all that were started are stopped at the end."""
    with ExitStack() as stack:

        def begin(fakes: Fakes | None = None, **kwargs: Any) -> Rig:
            return stack.enter_context(running(folder, fakes or Fakes(), **kwargs))

        yield begin


@pytest.fixture
def still(folder: Path, fakes: Fakes) -> Iterator[Rig]:
    """A house whose threads were never started: what is accepted stays accepted."""
    rig = make(folder, fakes)
    yield rig
    rig.db.close()
