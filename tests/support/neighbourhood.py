"""Several hosts in this process, each with its own fakes and agent, over one database and one bus."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from prometheus_client import CollectorRegistry
from tests.support import databases
from tests.support.house import KEY, PATIENCE, Fakes, Records, caller, quick_settings

from zun.bus.local import LocalBus
from zun.cmd import wiring
from zun.compute.agent import Agent
from zun.conductor.conductor import Conductor
from zun.model.container import Draft
from zun.model.host import Host
from zun.model.operation import Operation
from zun.service.caller import Caller
from zun.service.house import Services
from zun.store import hosts, migrate, operations
from zun.store.database import Database
from zun.work.metrics import WorkMetrics
from zun.work.runner import Checkpoint
from zun.work.secrets import Secrets


class Died(BaseException):
    """As good as a SIGKILL: nothing below catches it."""


@dataclass
class Neighbour:
    """One host: its fakes outlive its agents, of which there is one after the other."""

    name: str
    fakes: Fakes
    agent: Agent | None = None

    @property
    def running(self) -> set[str]:
        """The uuids of what runs on its engine."""
        return {u for u in self.fakes.runtime.uuids() if self.fakes.runtime.is_up(u)}


@dataclass
class Neighbourhood(Records):
    """`hosts` by name; nothing works before `start`, `begin` or `conduct`."""

    db: Database
    settings: wiring.Settings
    checkpoint: Checkpoint = lambda name: None
    bus: LocalBus = field(default_factory=LocalBus)
    hosts: dict[str, Neighbour] = field(default_factory=dict)
    conductors: list[Conductor] = field(default_factory=list)
    metrics: WorkMetrics = field(default_factory=lambda: WorkMetrics(CollectorRegistry()))

    def __post_init__(self) -> None:
        self.secrets = Secrets([KEY])
        self.services: Services = wiring.build_api(self.ground, secrets=self.secrets, probes={})

    @property
    def ground(self) -> wiring.Ground:
        """What all processes stand on."""
        return wiring.Ground(
            db=self.db, bus=self.bus, settings=self.settings, checkpoint=self.checkpoint
        )

    # ---- life

    def add(self, name: str, fakes: Fakes | None = None) -> Neighbour:
        """A host whose agent has not begun."""
        self.hosts[name] = Neighbour(name, fakes or Fakes())
        return self.hosts[name]

    def begin(self, name: str, **agent: Any) -> Agent:
        """A life of a host's agent; `agent`: settings of this one."""
        one = self.hosts[name]
        one.fakes.runtime.reopen()

        def drivers(owner: str) -> wiring.Drivers:
            fakes = one.fakes
            return wiring.Drivers(
                runtime=fakes.runtime, images={"docker": fakes.images}, network=fakes.networks,
                volumes=fakes.volumes,
            )  # fmt: skip

        settings = replace(self.settings, agent=replace(self.settings.agent, **agent))
        made = wiring.build_compute(
            replace(self.ground, settings=settings), name, drivers, secrets=self.secrets,
            metrics=WorkMetrics(CollectorRegistry()),
        )  # fmt: skip
        one.agent = made.agent
        made.agent.start()
        return made.agent

    def conduct(self, number: int = 1) -> None:
        """Conductors begin."""
        for _ in range(number):
            name = f"c{len(self.conductors)}"
            conductor = wiring.build_conductor(self.ground, name, metrics=self.metrics)
            self.conductors.append(conductor)
            conductor.start()

    def rest(self) -> None:
        """All conductors end."""
        while self.conductors:
            assert self.conductors.pop().stop(PATIENCE)

    def end(self, name: str) -> None:
        """A host's agent ends, leaving everything as it is: as one that is killed, but without its threads."""
        one = self.hosts[name]
        if one.agent is not None:
            one.agent.stop(PATIENCE)
            one.agent = None

    def stop(self) -> None:
        """All end."""
        self.rest()
        for name in self.hosts:
            self.end(name)

    # ---- what there is

    def host(self, name: str) -> Host:
        """Its row."""
        with self.db.read() as conn:
            found = hosts.find(conn, name)
        assert found is not None
        return found

    def create(self, who: Caller | None = None, **draft: Any) -> str:
        """Accepts a container, by default a running busybox; its uuid."""
        values = {"image": "busybox", "run": True, **draft}
        return self.services.containers.create(who or caller(), Draft(**values)).uuid

    def journal(self, uuid: str) -> Sequence[Operation]:
        """Its operations, newest first."""
        with self.db.read() as conn:
            return operations.of_container(conn, uuid)

    def where(self, uuid: str) -> list[str]:
        """The hosts on whose engines it is."""
        return [n for n, one in self.hosts.items() if uuid in one.fakes.runtime.uuids()]


@contextmanager
def neighbourhood(
    path: Path,
    number: int,
    settings: wiring.Settings | None = None,
    kind: type[Neighbourhood] = Neighbourhood,
    **kwargs: Any,
) -> Iterator[Neighbourhood]:
    """`number` hosts, host-1 and on, on the migrated database in `path`; nobody works yet."""
    db = Database(databases.url_in(path))
    migrate.upgrade(db)
    all_ = kind(db, settings or quick_settings(), **kwargs)
    for n in range(1, number + 1):
        all_.add(f"host-{n}")
    try:
        yield all_
    finally:
        all_.stop()
        db.close()
