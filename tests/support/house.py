"""The whole service in this process, on SQLite and the fake drivers: for tests of everything above the drivers."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.support.databases import url_in

from zun.cmd import wiring
from zun.compute.agent import AgentSettings
from zun.compute.observer import ObserverSettings
from zun.compute.reaper import ReaperSettings
from zun.conductor.conductor import ConductorSettings
from zun.conductor.watch import WatchSettings
from zun.drivers.fake import FakeImages, FakeNetworks, FakeRuntime, FakeVolumes
from zun.drivers.fake.runtime import INVENTORY
from zun.model.container import Container, Draft
from zun.model.host import Inventory
from zun.service.caller import Caller
from zun.service.house import Services
from zun.service.settings import QuotaSettings, ServiceSettings
from zun.store import containers, migrate, operations
from zun.store.database import Database, Pool
from zun.work.context import WorkSettings
from zun.work.runner import RunnerSettings
from zun.work.scheduler import SchedulerSettings
from zun.work.secrets import Secrets

PROJECT = "11111111111111111111111111111111"
OTHER_PROJECT = "22222222222222222222222222222222"

#: Of the secrets in these houses' databases.
KEY = "0123456789abcdef" * 2

#: Long enough for any of it on a busy machine; nothing is asserted about how long it took.
PATIENCE = 120.0


def caller(project: str = PROJECT, *roles: str, request_id: str = "req-test") -> Caller:
    """A member of `project`, or one with `roles`."""
    names = frozenset(roles or ("member",))
    return Caller(
        user_id="user-" + project[:4],
        project_id=project,
        roles=names,
        request_id=request_id,
        is_admin="admin" in names,
    )


@dataclass
class Fakes:
    """The fake drivers of one host."""

    networks: FakeNetworks = field(default_factory=FakeNetworks)
    runtime: FakeRuntime = field(init=False)
    images: FakeImages = field(default_factory=lambda: FakeImages(anything=True))
    volumes: FakeVolumes = field(default_factory=FakeVolumes)
    inventory: Inventory = INVENTORY

    def __post_init__(self) -> None:
        self.runtime = FakeRuntime(
            inventory=self.inventory, networks=self.networks, images=self.images
        )


def eventually(what: Callable[[], Any], why: str = "", patience: float = PATIENCE) -> Any:
    """The first true answer of `what`; fails when it never comes. For waiting on other threads and processes."""
    end = time.monotonic() + patience
    pause = threading.Event()
    while True:
        answer = what()
        if answer:
            return answer
        if time.monotonic() > end:
            raise AssertionError(f"never became true: {why or what}; last answer {answer!r}")
        pause.wait(0.01)


class Records:
    """What a test asks of the records of containers, in whatever has a database."""

    if TYPE_CHECKING:

        @property
        def db(self) -> Database:
            """The database."""

    def row(self, uuid: str) -> Container | None:
        """The container's row."""
        with self.db.read() as conn:
            return containers.get(conn, uuid)

    def settled(self, uuid: str) -> Container | None:
        """The row once no operation is open; None if it is gone."""

        def done() -> tuple[Container | None] | None:
            with self.db.read() as conn:
                busy = operations.open_of(conn, uuid)
                return None if busy else (containers.get(conn, uuid),)

        answer: tuple[Container | None] = eventually(done, f"operations of {uuid} end")
        return answer[0]

    def until(self, uuid: str, status: str) -> Container:
        """The row once it has the status."""

        def has() -> Container | None:
            row = self.row(uuid)
            return row if row is not None and row.status == status else None

        answer: Container = eventually(has, f"{uuid} becomes {status}, is {self.row(uuid)}")
        return answer


@dataclass
class Rig(Records):
    """A running house with its fakes."""

    house: wiring.House
    fakes: Fakes

    @property
    def db(self) -> Database:
        """The database."""
        return self.house.db

    @property
    def services(self) -> Services:
        """The use cases."""
        return self.house.services

    def create(self, draft: Draft | None = None, who: Caller | None = None) -> Container:
        """Accepts a container, by default a running busybox."""
        return self.house.services.containers.create(
            who or caller(), draft or Draft(image="busybox", run=True)
        )


def quick_settings(**service: Any) -> wiring.Settings:
    """Settings under which nothing waits long; no quota unless a test is about quotas."""
    service.setdefault("quota", QuotaSettings(enforced=False))
    runner = RunnerSettings(workers=4, poll=0.2, lease=5.0)
    pool = wiring.subnets("10.201.0.0/16", 24)
    return wiring.Settings(
        service=ServiceSettings(**{"subnet_pool": pool, **service}),
        # How busy this machine's disks are is not to say where something is placed.
        work=WorkSettings(subnet_pool=pool, scheduler=SchedulerSettings(io_weight=0.0)),
        agent=AgentSettings(
            heartbeat=0.5,
            lease=PATIENCE,  # a slow machine is not a dead one
            fence_after=None,
            runner=runner,
            observer=ObserverSettings(listing_interval=3600),
            reaper=ReaperSettings(grace=0.0),
        ),
        conductor=ConductorSettings(
            round=0.5, runner=runner, watch=WatchSettings(round=0.2, recreate_after=None)
        ),
    )


def make(
    path: Path,
    fakes: Fakes,
    settings: wiring.Settings | None = None,
    pool: Pool | None = None,
    **kwargs: Any,
) -> Rig:
    """A house on the database in `path`, not started."""
    db = Database(url_in(path), pool=pool)
    migrate.upgrade(db)

    def drivers(owner: str) -> wiring.Drivers:
        return wiring.Drivers(
            runtime=fakes.runtime,
            images={"docker": fakes.images},
            network=fakes.networks,
            volumes=fakes.volumes,
        )

    kwargs.setdefault("secrets", Secrets([KEY]))
    house = wiring.build(db, "host-1", drivers, settings or quick_settings(), **kwargs)
    return Rig(house, fakes)


@contextmanager
def running(path: Path, fakes: Fakes | None = None, **kwargs: Any) -> Iterator[Rig]:
    """A house that works until the block ends."""
    rig = make(path, fakes or Fakes(), **kwargs)
    rig.house.start()
    try:
        eventually(rig.house.agent.observer.synced.is_set, "the first listing")
        yield rig
    finally:
        rig.house.stop(PATIENCE)
