"""One host's surroundings without the house around it: for tests of a single part."""

from __future__ import annotations

from typing import Any

from prometheus_client import CollectorRegistry
from tests.support.house import Fakes

from zun.bus.local import LocalBus
from zun.cmd import wiring
from zun.model.operation import host_queue
from zun.store.database import Database
from zun.work.clock import utcnow
from zun.work.context import Env, Means, WorkSettings
from zun.work.metrics import WorkMetrics
from zun.work.runner import Claimant, Runner, RunnerSettings

HOST = "host-1"
HOST_ID = "33333333-3333-4333-8333-333333333333"


def env(db: Database, fakes: Fakes, **settings: Any) -> Env:
    """What the steps of host-1 may use."""
    means = Means(
        host=HOST, host_id=HOST_ID, runtime=fakes.runtime, images={"docker": fakes.images},
        network=fakes.networks, volumes=fakes.volumes,
    )  # fmt: skip
    pool = {"subnet_pool": wiring.subnets("10.201.0.0/16", 24), **settings}
    return Env(db=db, clock=utcnow, settings=WorkSettings(**pool), means=means)


def metrics() -> WorkMetrics:
    """Counters that nobody else has."""
    return WorkMetrics(CollectorRegistry())


def runner(env: Env, name: str = "compute:host-1", epoch: int = 1, **kwargs: Any) -> Runner:
    """A runner of the host's queue, not started."""
    settings = {"workers": 4, "poll": 0.1, "lease": 60.0, **kwargs.pop("settings", {})}
    return Runner(
        queue=host_queue(HOST), claimant=Claimant(name=name, epoch=epoch), env=env,
        bus=kwargs.pop("bus", LocalBus()), settings=RunnerSettings(**settings), metrics=metrics(),
        **kwargs,
    )  # fmt: skip
