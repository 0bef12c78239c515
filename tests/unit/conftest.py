"""What the unit tests share: a migrated database a test, and the whole house on fakes."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from tests.support import databases
from tests.support import street as streets
from tests.support.house import Fakes, Rig, make, running
from tests.support.street import Street

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


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Tests marked `databases` run on each kind of database, or on each that the marker names."""
    marker = metafunc.definition.get_closest_marker("databases")
    if marker is not None and "kind" in metafunc.fixturenames:
        metafunc.parametrize("kind", marker.args or databases.KINDS, indirect=True)


@pytest.fixture
def kind(request: pytest.FixtureRequest) -> str:
    """The kind of database of this test."""
    return getattr(request, "param", databases.SQLITE)


@pytest.fixture
def folder(tmp_path: Path, template: Path, kind: str, request: pytest.FixtureRequest) -> Path:
    """A folder with an empty database in it, or on a server, where `house.make` looks for one."""
    if kind == databases.SQLITE:
        shutil.copy(template, tmp_path / "zun.sqlite")
    else:
        servers: databases.Servers = request.getfixturevalue("servers")
        databases.put_elsewhere(tmp_path, servers.get(kind).migrated())
    return tmp_path


@pytest.fixture
def db(folder: Path) -> Iterator[Database]:
    """The database alone."""
    database = Database(databases.url_in(folder))
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


@pytest.fixture
def street(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Street]:
    """Three hosts at work and a conductor, in a time of their own."""
    with streets.street(folder, monkeypatch) as made:
        yield made
