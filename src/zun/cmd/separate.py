"""The ground of a process that has its part of the service alone: database, message queue, a name of its own."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import IO

from oslo_config import cfg
from prometheus_client import CollectorRegistry
from sqlalchemy.engine import make_url

from zun import conf as options
from zun.bus import RPC_VERSION
from zun.bus.oslo import OsloBus, OsloSettings
from zun.cmd import wiring
from zun.cmd.arguments import CannotServe
from zun.cmd.database import connect
from zun.cmd.process import refuse_patched, slot
from zun.model.process import Process
from zun.service.presence import Presence
from zun.store import hosts, migrate
from zun.store.database import Database
from zun.streams.server import EVENTS_QUEUE
from zun.work.metrics import DatabaseMetrics
from zun.work.runner import Checkpoint

LOG = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """What a process stands on. `name` is its own as long as it runs, and the same after a restart."""

    name: str
    ground: wiring.Ground
    bus: OsloBus
    registry: CollectorRegistry
    presence: Presence
    lock: IO[str]

    def start(self) -> None:
        """Says that it runs, and begins to connect."""
        self.presence.start()
        self.bus.start()

    def stop(self) -> None:
        """The other way round, once its work has ended."""
        self.bus.stop()
        self.presence.stop()
        self.ground.db.close()
        self.lock.close()


def begin(conf: cfg.ConfigOpts, binary: str, *, checkpoint: Checkpoint = lambda name: None) -> Base:
    """The ground of a separate process, nothing of it started. Raises CannotServe, ConfigError, OSError."""
    url = messages(conf)
    refuse_patched()
    database = open_database(conf)
    registry = CollectorRegistry()
    database.watch(DatabaseMetrics(registry))
    with or_else(database.close):
        lock, number = slot(Path(conf.state_path), binary)
        name = f"{binary}-{number}"
        with or_else(lock.close):
            bus = OsloBus(
                options.of_libraries(conf),
                OsloSettings(
                    url=url, name=name, host=conf.host, locks=str(Path(conf.state_path) / "locks")
                ),
                registry,
            )
    database.on_events(lambda: bus.nudge(EVENTS_QUEUE))
    ground = wiring.Ground(
        db=database, bus=bus, settings=wiring.settings_of(conf), checkpoint=checkpoint
    )
    now = ground.clock()
    me = Process(
        name=f"{name}@{conf.host}", binary=binary, host=conf.host, version=version("zun-successor"),
        rpc=RPC_VERSION, started_at=now, seen_at=now,
    )  # fmt: skip
    return Base(
        name=name, ground=ground, bus=bus, registry=registry, lock=lock,
        presence=Presence(database, ground.clock, me),
    )  # fmt: skip


@contextmanager
def or_else(undo: Callable[[], object]) -> Iterator[None]:
    """Has `undo` done where the block fails: a process that tries again holds nothing of what it tried before."""
    try:
        yield
    except BaseException:
        undo()
        raise


def messages(conf: cfg.ConfigOpts) -> str:
    """Where the message queue is. Raises CannotServe: nobody says."""
    url = options.transport_url(conf)
    if not url:
        raise CannotServe(
            "[DEFAULT] transport_url is not set: separate processes reach each other through RabbitMQ "
            "(rabbit://user:password@host:5672/). For one machine without it there is zun-standalone"
        )
    if not url.startswith("rabbit"):
        kind = url.partition(":")[0]
        raise CannotServe(
            f"[DEFAULT] transport_url is of kind {kind!r}: only rabbit://... is supported"
        )
    return url


def open_database(conf: cfg.ConfigOpts) -> Database:
    """The database, whose schema fits. Raises CannotServe."""
    database = connect(conf)
    with or_else(database.close):
        _refuse_unfit(database, conf)
    return database


def _refuse_unfit(database: Database, conf: cfg.ConfigOpts) -> None:
    wrong = migrate.missing(database)
    if wrong:
        shown = make_url(conf.database.connection).render_as_string(hide_password=True)
        raise CannotServe(
            f"{wrong} ({shown}): run `zun-db-manage upgrade` with the same configuration"
        )
    others = _other_hosts(database, conf.host) if database.is_sqlite else []
    if others:
        raise CannotServe(
            f"[database] connection is SQLite, a file of this machine, but other hosts are recorded ({others[0]}): "
            "several hosts need MariaDB or PostgreSQL"
        )


def _other_hosts(database: Database, host: str) -> list[str]:
    with database.read() as conn:
        return [each.hostname for each in hosts.every(conn) if each.hostname != host]
