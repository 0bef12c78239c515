"""The agent: registers its host, then works, watches, answers and beats until stopped.

A host that was fenced comes back in order: a new epoch, then everything on its engine that is no longer its own goes,
then it is let in again, and only then anything else begins (decision 0020).
"""

from __future__ import annotations

import logging
import threading
import time
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta

from sqlalchemy.engine import Connection

from zun.bus import Bus
from zun.compute.answers import answers
from zun.compute.checkup import Checkup
from zun.compute.cleaning import Cleaning
from zun.compute.endpoint import Endpoint
from zun.compute.observer import Observer, ObserverSettings
from zun.compute.pressure import io_load
from zun.compute.reaper import Reaper, ReaperSettings
from zun.compute.timekeeper import Timekeeper
from zun.compute.watchdog import Watchdog
from zun.drivers.errors import DriverError
from zun.drivers.runtime import Facts
from zun.model.host import Host, Inventory
from zun.model.operation import Operation, host_queue
from zun.service.intents import Intents
from zun.store import hosts, left_behind, standing
from zun.store.errors import DatabaseError
from zun.work.context import Env
from zun.work.metrics import WorkMetrics
from zun.work.runner import Checkpoint, Claimant, Runner, RunnerSettings

LOG = logging.getLogger(__name__)

_STREAMS_END = 8.0  # seconds in which byte streams are brought to an end
_THREADS_END = 5.0  # seconds for a thread to see that it is to end
_LEAST = 0.5  # seconds that each part has for its end even so, when others took all the time

#: What is believed of a host whose engine has never answered: nothing fits on it.
_UNKNOWN = Inventory(
    cpus=0, mem_total=0, disk_total=0, architecture="", os_type="", os="", kernel_version=""
)
_STEPS_END = 30.0  # seconds for steps in flight when the host is fenced


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentSettings:
    """The operator's choices for one host. Seconds, MiB and GiB.

    `lease`: without a beat for so long the host is taken for down. `fence_after`: see `compute.watchdog`.
    `floating_cpus`: where CPUs are given to one container each, those of all others.
    """

    availability_zone: str = "nova"
    heartbeat: float = 10.0
    lease: float = 30.0
    fence_after: float | None = 60.0
    cpu_ratio: float = 1.0
    memory_ratio: float = 1.0
    disk_ratio: float = 1.0
    reserved_cpus: float = 0.0
    reserved_memory: int = 512
    reserved_disk: int = 0
    image_share: float = 0.0  # of the disk, kept for images and never shown
    pinning: bool = False
    floating_cpus: frozenset[int] = frozenset()
    runner: RunnerSettings = field(default_factory=RunnerSettings)
    observer: ObserverSettings = field(default_factory=ObserverSettings)
    reaper: ReaperSettings = field(default_factory=ReaperSettings)


def host_of(env: Env, settings: AgentSettings, inventory: Inventory) -> Host:
    """The host as it is to be recorded: its inventory and what of it may be claimed."""
    means = env.on_host()
    inventory = replace(inventory, image_drivers=sorted(means.images))
    cpus, pinnable = float(inventory.cpus), None
    if settings.pinning:
        every = {cpu for cell in inventory.numa for cpu in cell.cpus} or set(range(inventory.cpus))
        pinnable = sorted(every - settings.floating_cpus)
        cpus = len(every & settings.floating_cpus)
    return Host(
        uuid=means.host_id,
        hostname=means.host,
        inventory=inventory,
        availability_zone=settings.availability_zone,
        cpus=max(cpus * settings.cpu_ratio - settings.reserved_cpus, 0),
        memory=max(int(inventory.mem_total * settings.memory_ratio) - settings.reserved_memory, 0),
        disk=max(int(inventory.disk_total * settings.disk_ratio) - settings.reserved_disk, 0),
        enable_cpu_pinning=settings.pinning,
        pinnable=pinnable,
        fence_after=settings.fence_after,
    )


class Agent:
    """See the module. `start` returns once the host is registered and, if it may work, its leftovers are taken back."""

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
        self._watchdog = Watchdog(
            lambda: self._means, settings.fence_after, metrics, lambda: self.observer.unlisted
        )
        self._env = replace(env, means=replace(env.on_host(), lapsed=self._watchdog.lapsed))
        self._means = self._env.on_host()
        self._bus = bus
        self._settings = settings
        self._metrics = metrics
        self._endpoint = endpoint
        self._checkpoint = checkpoint
        self.checkup = Checkup(lambda: self._means, settings.heartbeat, metrics.registry)
        self._marked: str | None = ""  # what our records last said of it; "" = not known yet
        self._cleaning = Cleaning(self._env, metrics, checkpoint)
        self._reaper = Reaper(self._env, settings.reaper, metrics)
        self._timekeeper = Timekeeper(self._env, intents)
        self.observer = Observer(
            self._env, intents, settings.observer, metrics, self._listed, self.may_work,
            self._timekeeper.wake,
        )  # fmt: skip
        endpoint.doubt = self.observer.look_at
        self._ending = threading.Event()  # nothing new is begun; steps in flight may end
        self._stopping = threading.Event()  # of the heart, when all else has ended
        self._runner: Runner | None = None
        self._heart = threading.Thread(target=self._beat, name="heartbeat")
        self._admitted = False
        self._superseded = False
        self.epoch = 0

    # ---- life

    def start(self) -> None:
        """Registers the host under a new epoch and begins, unless it is fenced: then the heart goes on trying.

        Raises OSError: the streams' address can't be had.
        """
        self._endpoint.start()
        self._register()
        self._bus.answer(self._means.host, answers(self._means, self.observer.look_at))
        try:
            self._admit()
        except DatabaseError as exc:
            LOG.warning("host %s begins with its next heartbeat: %s", self._means.host, exc)
        self._watchdog.start()
        self.checkup.start()
        self._heart.start()

    def stop(self, seconds: float) -> bool:
        """Ends within `seconds` and a little more, whatever hangs; whether all steps in flight had ended by then.

        The heart beats until all else has ended, and once more: a host whose agent takes its time to end, and is
        started again, is not down in between.
        """
        until = time.monotonic() + seconds

        def left(most: float) -> float:
            return max(min(most, until - time.monotonic()), _LEAST)

        self._ending.set()
        self._endpoint.stop(left(_STREAMS_END))
        self._timekeeper.stop(left(_THREADS_END))
        ended = self._runner.stop(left(seconds)) if self._runner else True
        self.observer.stop(left(_THREADS_END))
        self._watchdog.stop(left(_THREADS_END))
        self.checkup.stop()
        self._stopping.set()
        if self._heart.ident is not None:
            self._heart.join(left(_THREADS_END))
        return ended

    def probe(self) -> str:
        """For the health report: raises where a part of the agent has died, or the host may not work."""
        if self._superseded:
            raise RuntimeError("a newer agent of this host has taken over; this one does nothing")
        if not self._admitted:
            raise RuntimeError("the host is fenced or forced down, and not let in again yet")
        if self._runner is None or not (
            self._runner.alive
            and self.observer.alive
            and self._timekeeper.alive
            and self._endpoint.alive
            and self.checkup.alive
        ):
            raise RuntimeError("a thread of the agent has ended; see the log")
        if not self.observer.synced.is_set():
            raise RuntimeError("the engine has not been listed yet")
        return f"host {self._means.host}, epoch {self.epoch}"

    def may_work(self, conn: Connection) -> bool:
        """Whether this agent may begin or write anything; while the transaction lasts that stays so."""
        return self._admitted and standing.may_work(conn, self._means.host, self.epoch)

    def _register(self) -> None:
        host = host_of(self._env, self._settings, self._inventory())
        at = self._watchdog.now()

        def register(conn: Connection) -> int:
            epoch = hosts.register(conn, host, self._now(conn), lease=self._lease)
            hosts.set_stream_address(conn, host.hostname, self._endpoint.address)
            return epoch

        self.epoch = self._env.db.run(register, twice=True)
        self._watchdog.renew(at)
        LOG.info("host %s is registered, epoch %d", host.hostname, self.epoch)

    def _now(self, conn: Connection) -> datetime:
        return standing.now(conn, self._env.clock())

    @property
    def _lease(self) -> timedelta:
        return timedelta(seconds=self._settings.lease)

    # ---- being let in

    def _admit(self) -> bool:
        """Begins to work if the host may, after it has cleaned up if it must; whether it works."""
        if self._ending.is_set():
            return False  # its next life is
        host = self._means.host
        with self._env.db.read() as conn:
            now = standing.of(conn, host)
        if now is None or now.forced_down:
            return False
        if now.fenced:
            try:
                self._cleaning.clean()
            except DriverError as exc:
                LOG.warning("host %s can't clean up yet, and does nothing before: %s", host, exc)
                return False
            self._checkpoint("admit")
        cleaned = now.fenced

        def admit(conn: Connection) -> bool:
            admitted = standing.admit(conn, host, self.epoch, cleaned=cleaned)
            if admitted and cleaned:
                left_behind.forget(conn, host)
            return admitted

        self._admitted = self._env.db.run(admit, twice=True)
        if self._admitted:
            if now.fenced or now.lost:
                LOG.warning("host %s is back, epoch %d", host, self.epoch)
            try:
                self._begin()
            except BaseException:
                self._admitted = False  # so that it is tried again
                raise
        return self._admitted

    def _begin(self) -> None:
        if self._runner is not None and self._runner.epoch == self.epoch:
            self.observer.look_at_all(gap=True)  # it was only silent
            return
        runner = Runner(
            queue=host_queue(self._means.host),
            claimant=Claimant(name=f"compute:{self._means.host}", epoch=self.epoch),
            env=self._env,
            bus=self._bus,
            settings=self._settings.runner,
            metrics=self._metrics,
            closed=self._closed,
            may_claim=self.may_work,
            checkpoint=self._checkpoint,
        )
        runner.start()
        self._runner = runner
        if self.observer.started:
            self.observer.look_at_all(gap=True)
        else:
            self.observer.start()
            self._timekeeper.start()

    def _closed(self, operation: Operation) -> None:
        self.observer.operation_closed(operation)
        self._timekeeper.wake()

    def _fenced(self) -> None:
        """Others may have what this host had: all work ends, and it comes back in order."""
        LOG.critical("host %s was fenced: it stops its work and cleans up", self._means.host)
        self._rest()
        self._register()
        self._admit()

    def _rest(self) -> None:
        self._admitted = False
        if self._runner is not None and not self._runner.stop(_STEPS_END):
            LOG.error("steps in flight did not end in time; what they still do is found later")

    # ---- the heart

    def _beat(self) -> None:
        last = False
        while not last:
            last = self._stopping.wait(self._settings.heartbeat)
            try:
                self._beat_once()
            except DatabaseError as exc:
                LOG.warning("the heartbeat can't be written: %s", exc)
            except Exception:
                LOG.exception("the heartbeat can't be written")

    def _beat_once(self) -> None:
        if self._superseded:
            return
        if not self._admitted and not self._admit():
            self._reconsider(alive=False)
            return
        # An agent without its engine is no place for containers: its beat stops. But it is there, and what runs on
        # its engine can't be stopped now: nobody may take it for gone.
        alive, at = self._engine_answers(), self._watchdog.now()
        host, load, ill = self._means.host, io_load(), self.checkup.reason
        # While it is ill each time, for an operator may have enabled it. What an older life said stays until the
        # networks answer.
        tell = ill is not None or (self._marked is not None and self.checkup.answered)

        def write(conn: Connection) -> bool:
            now = self._now(conn)
            if not alive:
                return standing.contact(conn, host, self.epoch, now)
            beaten = hosts.beat(
                conn, host, now, lease=self._lease, of_epoch=self.epoch, io_load=load
            )
            if beaten and tell:
                hosts.mark_ill(conn, host, ill, now)
            return beaten

        beaten = self._env.db.run(write, twice=True)
        if beaten and alive and tell:
            self._marked = ill
        if beaten or self._reconsider(alive=alive):
            self._watchdog.renew(at)

    def _engine_answers(self) -> bool:
        try:
            self._means.runtime.ping()
            return True
        except DriverError as exc:
            LOG.warning("no heartbeat: %s", exc)
            return False

    def _reconsider(self, *, alive: bool) -> bool:
        """Something happened to this host's records; whether it is in touch and may go on as it did."""
        if self._ending.is_set():
            return False  # its next life sees to it
        host = self._means.host
        with self._env.db.read() as conn:
            now = standing.of(conn, host)
        if now is None:
            self._rest()
            self._register()
            return self._admit()
        if now.epoch != self.epoch and not now.fenced:
            self._superseded = True
            LOG.error("a newer agent of host %s has taken over; this one does nothing more", host)
            self._rest()
            return False
        if now.epoch != self.epoch:
            self._fenced()
            return False
        if not now.known:
            LOG.warning(
                "the service of host %s was deleted while it runs: it is recorded anew", host
            )
            zone = self._settings.availability_zone
            self._env.db.run(
                lambda conn: hosts.add_service(
                    conn, host, zone, self._now(conn), lease=self._lease, epoch=self.epoch
                )
            )
        if now.forced_down and self._admitted:
            return False  # soon it is fenced
        return alive and self._admit()

    # ---- what the engine says

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
        self._env.db.run(lambda conn: hosts.refresh(conn, host, self._now(conn)), twice=True)
        self._reaper.sweep(facts)
        if killed := self._endpoint.opener.kill_leftovers():
            LOG.info("%d commands whose clients are gone were ended", killed)
