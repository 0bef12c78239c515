"""Benchmark 6: lists and shows with 100,000 rows beside the same with 100, by each filter and each order offered.

The application is called in this process, on two databases of each kind (--quick: of SQLite alone); every answer has as
many rows in the one as in the other.
A filter is tried with a value that all rows have, and with one that `PAGE` rows have; an order from its beginning and
from its middle, both ways; each within one project and over all. Shown is the worst of these.
"""

from __future__ import annotations

import io
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests.support import databases
from tests.support.house import Fakes, Rig, make, quick_settings
from tests.support.plans import analyze

from bench import rows
from bench.databases import NAMES, started
from bench.figures import Report, Row, number
from bench.house import say
from zun.api.app import build_app
from zun.api.middleware.noauth import NoAuth
from zun.api.settings import ApiSettings
from zun.model import capsule, container, image, registry

FEW, MANY, PAGE = 100, 100_000, 50
PROJECT, USER = "p" * 32, "u" * 32
#: A list may cost so many times what it costs with few rows: deeper trees, and pages that are not in a cache.
WANTED = 2.0

#: Of each list: its orders and, filter -> what all rows have, and what `PAGE` rows have.
_Values = Mapping[str, tuple[str | None, str | None]]
_LISTS: Mapping[str, tuple[Sequence[str], _Values]] = {
    "containers": (
        container.SORT_KEYS,
        {
            "name": (None, "web-7"),
            "image": ("docker.io/library/nginx:1.27", "rare"),
            "project_id": (PROJECT, None),
            "user_id": (USER, "rare"),
            "memory": ("512", "640"),
            "host": ("elsewhere", "rare"),
            "task_state": (None, "container_stopping"),
            "status": ("Running", "Paused"),
            "status, several": ("Running,Stopped", "Paused,Stopped"),
            "auto_remove": ("False", "True"),
            "name_prefix": ("web-", "rare-"),
            "labels": ("tier=front", "rare=yes"),
        },
    ),
    "capsules": (capsule.SORT_KEYS, {}),
    "registries": (
        registry.SORT_KEYS,
        {
            "name": (None, "web-7"),
            "domain": ("docker.io", "rare"),
            "username": ("robot", "rare"),
            "project_id": (PROJECT, None),
            "user_id": (USER, "rare"),
        },
    ),
    "images": (image.SORT_KEYS, {}),
}
#: A project's own list of these is all there is.
_OWN = frozenset({"images"})


def flat(report: Report, quick: bool) -> None:
    """Ratios of the large to the small, in turns."""
    assert {key.partition(",")[0] for key in _LISTS["containers"][1]} >= set(container.FILTERS)
    assert set(_LISTS["registries"][1]) == set(registry.FILTERS)
    for kind in databases.KINDS[: 1 if quick else None]:
        with ExitStack() as stack:
            few = stack.enter_context(_Books.opened(kind, FEW))
            many = stack.enter_context(_Books.opened(kind, MANY))
            for name, paths in _cases().items():
                _case(report, f"{NAMES[kind]}: {name}", few, many, paths, 3 if quick else 11)


def _case(
    report: Report, name: str, few: _Books, many: _Books, paths: Sequence[Path_], rounds: int
) -> None:
    """One row: the worst of `paths`."""
    compared = (_compare(few, many, path, rounds) for path in paths)
    worst = max(compared, key=lambda one: one.ratio)
    good = worst.ratio <= WANTED
    report.rows.append(
        Row(
            name=f"{name}, {MANY:,} rows : {FEW}", ours=f"{number(worst.many)} ms",
            floor=f"{number(worst.few)} ms", ratio=worst.ratio, wanted=f"<= {WANTED:.2f}", good=good,
        )
    )  # fmt: skip
    if not good:
        report.notes.append(f"flat: {name}: {worst.path}")
    say(f"  {name}: {worst.ratio:.2f}")


Path_ = Callable[["_Books"], str]


def _cases() -> dict[str, list[Path_]]:
    cases: dict[str, list[Path_]] = {
        "show": [lambda books: f"/v1/containers/{books.middle.uuid}"],
        "show by name": [lambda books: f"/v1/containers/{books.middle.name}"],
        "actions of one": [lambda books: f"/v1/containers/{books.middle.uuid}/container_actions"],
    }
    for resource, (orders, values) in _LISTS.items():
        scopes = (False,) if resource in _OWN else (False, True)
        for key, wanted in values.items():
            field = key.partition(",")[0]
            cases[f"{resource} by {key}"] = [
                _listing(resource, {field: value}, everybody)
                for value in wanted
                if value is not None
                for everybody in scopes
                # A project's own list has but one.
                if everybody or field != "project_id"
            ]
        for key in orders:
            cases[f"{resource} in order of {key}"] = [
                _listing(resource, {"sort_key": key, "sort_dir": direction}, everybody, deep=deep)
                for direction in ("asc", "desc")
                for everybody in scopes
                for deep in (False, True)
            ]
    return cases


def _listing(
    resource: str, query: Mapping[str, str], everybody: bool, *, deep: bool = False
) -> Path_:
    def path(books: _Books) -> str:
        more = {"limit": str(PAGE), **({"all_projects": "True"} if everybody else {})}
        if deep:
            more["marker"] = books.marker(resource, query["sort_key"])
        return f"/v1/{resource}?{urlencode({**query, **more})}"

    return path


@dataclass(frozen=True, slots=True)
class _Compared:
    path: str
    few: float
    many: float

    @property
    def ratio(self) -> float:
        return self.many / self.few


def _compare(few: _Books, many: _Books, path: Path_, rounds: int) -> _Compared:
    small, large = path(few), path(many)
    few.get(small), many.get(large)
    # The quickest: whatever else the machine does only adds to it.
    times = [(few.get(small), many.get(large)) for _ in range(rounds)]
    return _Compared(large, min(t[0] for t in times), min(t[1] for t in times))


class _Books:
    """An application on a database of so many rows of each list."""

    def __init__(self, rig: Rig, count: int) -> None:
        self._app = build_app(rig.house.services, ApiSettings(), NoAuth)
        self._rows = rows.of_lists(count, PAGE, PROJECT, USER)
        containers = self._rows["containers"]
        self.middle = containers[count // 2]
        rows.write(rig.db, self._rows, busy=containers[:: count // PAGE])
        if not rig.db.is_sqlite:
            analyze(rig.db.engine)  # as the servers do by themselves, a while after

    @classmethod
    @contextmanager
    def opened(cls, kind: str, count: int) -> Iterator[_Books]:
        """On a server of its own, or in a directory, for as long as the block takes."""
        say(f"  {NAMES[kind]}: writing {count:,} rows ...")
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="zun-bench-")))
            folder.chmod(0o755)
            databases.put_elsewhere(folder, stack.enter_context(started(kind, folder)))
            rig = make(folder, Fakes(), quick_settings())
            stack.callback(rig.db.close)
            yield cls(rig, count)

    def marker(self, resource: str, key: str) -> str:
        """A row in the middle of this order."""
        some = sorted(
            self._rows[resource], key=lambda r: (getattr(r, key) is not None, getattr(r, key))
        )
        return str(some[len(some) // 2].uuid)

    def get(self, path: str) -> float:
        """Milliseconds of one answer, which must be good and full."""
        where, _, query = path.partition("?")
        environ: dict[str, Any] = {
            "REQUEST_METHOD": "GET", "SCRIPT_NAME": "", "PATH_INFO": where, "QUERY_STRING": query,
            "SERVER_NAME": "x", "SERVER_PORT": "80", "SERVER_PROTOCOL": "HTTP/1.1", "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(), "wsgi.errors": io.StringIO(), "wsgi.version": (1, 0),
            "HTTP_X_USER_ID": USER, "HTTP_X_PROJECT_ID": PROJECT, "HTTP_X_ROLES": "admin",
            "HTTP_OPENSTACK_API_VERSION": "container 1.41",
        }  # fmt: skip
        told: list[str] = []
        begun = time.perf_counter()
        body = b"".join(self._app(environ, lambda status, *_: told.append(status)))  # type: ignore[arg-type,func-returns-value]
        took = (time.perf_counter() - begun) * 1000
        assert told == ["200 OK"], (path, told, body[:300])
        return took
