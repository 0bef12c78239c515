"""Benchmark 6: lists and shows with 100,000 rows beside the same with 100, by each filter and each order offered.

The application is called in this process, on two databases; every answer has as many rows in the one as in the other.
A filter is tried with a value that all rows have, and with one that `PAGE` rows have; an order from its beginning and
from its middle, both ways; each within one project and over all. Shown is the worst of these.
"""

from __future__ import annotations

import io
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

from tests.support.house import Fakes, make, quick_settings

from bench.figures import Report, Row, number
from bench.house import say
from bench.reads import row
from zun.api.app import build_app
from zun.api.middleware.noauth import NoAuth
from zun.api.settings import ApiSettings
from zun.model.container import FILTERS, SORT_KEYS, Container
from zun.model.lifecycle import Action, Status
from zun.model.operation import CONDUCTOR_QUEUE, Operation, OperationState
from zun.store import containers, operations
from zun.store.database import Database
from zun.work.clock import utcnow

FEW, MANY, PAGE = 100, 100_000, 50
PROJECT, USER = "p" * 32, "u" * 32
#: A list may cost so many times what it costs with few rows: deeper trees, and pages that are not in a cache.
WANTED = 2.0

#: Filter -> what all rows have, and what `PAGE` rows have.
_VALUES: Mapping[str, tuple[str | None, str | None]] = {
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
}


def flat(report: Report, quick: bool) -> None:
    """Ratios of the large to the small, in turns."""
    assert {key.partition(",")[0] for key in _VALUES} >= set(FILTERS)
    rounds = 3 if quick else 11
    with ExitStack() as stack:
        few = stack.enter_context(_Books.opened(FEW))
        many = stack.enter_context(_Books.opened(MANY))
        for name, paths in _cases().items():
            worst = max(
                (_compare(few, many, path, rounds) for path in paths), key=lambda one: one.ratio
            )
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
    for key, values in _VALUES.items():
        field = key.partition(",")[0]
        cases[f"list by {key}"] = [
            _listing({field: value}, everybody)
            for value in values
            if value is not None
            for everybody in (False, True)
            # A project's own list has but one.
            if everybody or field != "project_id"
        ]
    for key in SORT_KEYS:
        cases[f"list in order of {key}"] = [
            _listing({"sort_key": key, "sort_dir": direction}, everybody, deep=deep)
            for direction in ("asc", "desc")
            for everybody in (False, True)
            for deep in (False, True)
        ]
    return cases


def _listing(query: Mapping[str, str], everybody: bool, *, deep: bool = False) -> Path_:
    def path(books: _Books) -> str:
        more = {"limit": str(PAGE), **({"all_projects": "True"} if everybody else {})}
        if deep:
            more["marker"] = books.marker(query["sort_key"], query["sort_dir"])
        return f"/v1/containers?{urlencode({**query, **more})}"

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
    """An application on a database of so many rows."""

    def __init__(self, folder: Path, count: int) -> None:
        rig = make(folder, Fakes(), quick_settings())
        self._db = rig.db
        self._app = build_app(rig.house.services, ApiSettings(), NoAuth)
        self._rows = _rows(count)
        with self._db.write() as conn:
            for container in self._rows:
                containers.insert(conn, container)
        _busy(self._db, self._rows)
        self.middle = self._rows[count // 2]

    @classmethod
    @contextmanager
    def opened(cls, count: int) -> Iterator[_Books]:
        """In a directory of its own, for as long as the block takes."""
        say(f"  writing {count:,} rows ...")
        with tempfile.TemporaryDirectory(prefix="zun-bench-") as folder:
            books = cls(Path(folder), count)
            try:
                yield books
            finally:
                books._db.close()

    def marker(self, key: str, direction: str) -> str:
        """A row in the middle of this order."""
        some = sorted(self._rows, key=lambda r: (getattr(r, key) is not None, getattr(r, key)))
        del direction
        return some[len(some) // 2].uuid

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


def _rows(count: int) -> list[Container]:
    made = []
    for index in range(count):
        one = row(index, PROJECT, USER)
        if index % (count // PAGE) == 0:
            one = replace(
                one, image="rare", user_id="rare", memory=640, host="rare", status=Status.PAUSED, auto_remove=True,
                name=f"rare-{index}", labels={**one.labels, "rare": "yes"},
            )  # fmt: skip
        moment = one.created_at or utcnow()
        made.append(replace(one, created_at=moment - timedelta(seconds=index * 7919 % count)))
    return made


def _busy(db: Database, rows: list[Container]) -> None:
    """As many as fill a page are being stopped."""
    with db.write() as conn:
        for one in rows[:: len(rows) // PAGE]:
            operations.open_(
                conn,
                Operation(
                    uuid=one.uuid, action=Action.STOP, container_uuid=one.uuid, project_id=PROJECT, user_id=USER,
                    request_id="req-bench", queue=CONDUCTOR_QUEUE, state=OperationState.RUNNING, steps=(), begun=True,
                    prior_status=Status.RUNNING, deadline=utcnow() + timedelta(days=1), created_at=utcnow(),
                ),
            )  # fmt: skip
