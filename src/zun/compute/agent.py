"""The agent: registers its host, then works, watches, answers and beats until stopped."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, field, replace

from sqlalchemy.engine import Connection

from zun.bus import Bus
from zun.compute.answers import answers
from zun.compute.endpoint import Endpoint
from zun.compute.observer import Observer, ObserverSettings
from zun.compute.reaper import Reaper, ReaperSettings
from zun.compute.timekeeper import Timekeeper
from zun.drivers.errors import DriverError
from zun.drivers.runtime import Facts
from zun.model.host import Host, Inventory
from zun.model.operation import host_queue
from zun.service.intents import Intents
from zun.store import hosts
from zun.store.errors import DatabaseError
from zun.work.context import Env
from zun.work.metrics import WorkMetrics
from zun.work.runner import Checkpoint, Claimant, Runner, RunnerSettings

LOG = logging.getLogger(__name__)

_STREAMS_END = 8.0  # seconds in which byte streams are brought to an end

#: What is believed of a host whose engine has never answered: nothing fits on it.
_UNKNOWN = Inventory(
    cpus=0, mem_total=0, disk_total=0, architecture="", os_type="", os="", kernel_version=""
)


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSettings:
    """The operator's choices for one host. Seconds, MiB and GiB."""

    availability_zone: str = "nova"
    heartbeat: float = 10.0
    cpu_ratio: float = 1.0
    memory_ratio: float = 1.0
    disk_ratio: float = 1.0
    reserved_cpus: float = 0.0
    reserved_memory: int = 512
    reserved_disk: int = 0
    image_share: float = 0.0  # of the disk, kept for images and never shown
    runner: RunnerSettings = field(default_factory=RunnerSettings)
    observer: ObserverSettings = field(default_factory=ObserverSettings)
    reaper: ReaperSettings = field(default_factory=ReaperSettings)


def host_of(env: Env, settings: AgentSettings, inventory: Inventory) -> Host:
    """The host as it is to be recorded: its inventory and what of it may be claimed."""
    means = env.on_host()
    return Host(
        uuid=means.host_id,
        hostname=means.host,
        inventory=inventory,
        availability_zone=settings.availability_zone,
        cpus=max(inventory.cpus * settings.cpu_ratio - settings.reserved_cpus, 0),
        memory=max(int(inventory.mem_total * settings.memory_ratio) - settings.reserved_memory, 0),
        disk=max(int(inventory.disk_total * settings.disk_ratio) - settings.reserved_disk, 0),
    )


class Agent:
    """See the module. `start` returns once the host is registered and its leftovers are taken back."""

    def __init__(
        self,
        env: Env,
        bus: Bus,
        intents: Intents,
        settings: AgentSettings,
        metrics: WorkMetrics,
        endpoint: Endpoint,
        checkpoint: Checkpoint = lambda name: None,
    ) -> None:
        self._env = env
        self._means = env.on_host()
        self._bus = bus
        self._settings = settings
        self._metrics = metrics
        self._endpoint = endpoint
        self._checkpoint = checkpoint
        self._reaper = Reaper(env, settings.reaper, metrics)
        self.observer = Observer(env, intents, settings.observer, metrics, self._listed)
        self._timekeeper = Timekeeper(env, intents)
        self._stopping = threading.Event()
        self._runner: Runner | None = None
        self._heart = threading.Thread(target=self._beat, name="heartbeat")
        self.epoch = 0

    def start(self) -> None:
        """Registers the host under a new epoch and begins. Raises OSError: the streams' address can't be had."""
        host = host_of(self._env, self._settings, self._inventory())
        self._endpoint.start()

        def register(conn: Connection) -> int:
            epoch = hosts.register(conn, host, self._env.clock())
            hosts.set_stream_address(conn, host.hostname, self._endpoint.address)
            return epoch

        self.epoch = self._env.db.run(register, twice=True)
        LOG.info("host %s is registered, epoch %d", host.hostname, self.epoch)
        self._runner = Runner(
            queue=host_queue(self._means.host),
            claimant=Claimant(name=f"compute:{self._means.host}", epoch=self.epoch),
            env=self._env,
            bus=self._bus,
            settings=self._settings.runner,
            metrics=self._metrics,
            closed=self.observer.operation_closed,
            checkpoint=self._checkpoint,
        )
        self._bus.answer(self._means.host, answers(self._means, self.observer.look_at))
        self._runner.start()
        self.observer.start()
        self._timekeeper.start()
        self._heart.start()

    def stop(self, seconds: float) -> bool:
        """Ends within `seconds`; whether all steps in flight had ended by then."""
        self._stopping.set()
        self._endpoint.stop(min(seconds, _STREAMS_END))
        self._timekeeper.stop()
        ended = self._runner.stop(seconds) if self._runner else True
        self.observer.stop()
        if self._heart.ident is not None:
            self._heart.join(5)
        return ended

    def probe(self) -> str:
        """For the health report: raises where a part of the agent has died."""
        if self._runner is None or not (
            self._runner.alive
            and self.observer.alive
            and self._timekeeper.alive
            and self._endpoint.alive
        ):
            raise RuntimeError("a thread of the agent has ended; see the log")
        if not self.observer.synced.is_set():
            raise RuntimeError("the engine has not been listed yet")
        return f"host {self._means.host}, epoch {self.epoch}"

    def _inventory(self) -> Inventory:
        try:
            found = self._means.runtime.inventory()
            disk = int(found.disk_total * (1 - self._settings.image_share))
            return replace(found, disk_total=disk)
        except DriverError as exc:
            LOG.warning("the container engine does not answer yet: %s", exc)
        with self._env.db.read() as conn:
            known = hosts.find(conn, self._means.host)
        return known.inventory if known else _UNKNOWN

    def _listed(self, facts: list[Facts]) -> None:
        # A listing means that the engine answers: what it says of itself may be new, and work may go on.
        host = host_of(self._env, self._settings, self._inventory())
        self._env.db.run(lambda conn: hosts.refresh(conn, host, self._env.clock()), twice=True)
        self._reaper.sweep(facts)
        if killed := self._endpoint.opener.kill_leftovers():
            LOG.info("%d commands whose clients are gone were ended", killed)

    def _beat(self) -> None:
        while not self._stopping.wait(self._settings.heartbeat):
            try:
                # An agent without its engine is no place for containers: its beat stops.
                self._means.runtime.ping()
                self._env.db.run(self._record_beat, twice=True)
            except (DriverError, DatabaseError) as exc:
                LOG.warning("no heartbeat: %s", exc)
            except Exception:
                LOG.exception("the heartbeat can't be written")

    def _record_beat(self, conn: Connection) -> None:
        host, now = self._means.host, self._env.clock()
        if not hosts.beat(conn, host, now):
            LOG.warning(
                "the service of host %s was deleted while it runs: it is recorded anew", host
            )
            hosts.add_service(conn, host, self._settings.availability_zone, now)
