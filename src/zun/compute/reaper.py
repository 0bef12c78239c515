"""Removes what carries this host's mark and no record knows, or knows to be another host's: after a grace period, or
only says so (dry run)."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from zun.drivers.deadline import Deadline
from zun.drivers.errors import DriverError
from zun.drivers.runtime import Facts
from zun.store import capsules, containers, networks
from zun.work.context import Env
from zun.work.metrics import WorkMetrics

LOG = logging.getLogger(__name__)

_REMOVE_TIME = 60.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ReaperSettings:
    """Seconds a leftover must have been seen before it goes; `dry_run` only logs."""

    grace: float = 300.0
    dry_run: bool = False


class Reaper:
    """Called after each listing of the engine."""

    def __init__(
        self,
        env: Env,
        settings: ReaperSettings,
        metrics: WorkMetrics,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._env = env
        self._means = env.on_host()
        self._settings = settings
        self._metrics = metrics
        self._monotonic = monotonic
        self._first_seen: dict[tuple[str, str], float] = {}
        self._ids: dict[str, str | None] = {}

    def sweep(self, listed: Sequence[Facts]) -> None:
        """Looks at what the listing, the network driver and the volume driver show against the records."""
        on_engine = [facts.uuid for facts in listed]
        self._ids = {facts.uuid: facts.runtime_id for facts in listed}
        try:
            nets = list(self._means.network.list_networks(Deadline(_REMOVE_TIME)))
        except DriverError as exc:
            LOG.info("networks can't be listed: %s", exc)
            nets = []
        files = list(self._means.volumes.list())
        with self._env.db.read() as conn:
            unknown = containers.missing(conn, [*on_engine, *files])
            unknown -= capsules.known(conn, sorted(unknown))  # their sandboxes
            unknown |= containers.elsewhere(conn, [*on_engine, *files], self._means.host)
            unknown |= capsules.elsewhere(conn, on_engine, self._means.host)
            known_nets = {network.uuid for network in networks.every(conn)}
        leftovers = [
            *(("container", uuid) for uuid in on_engine if uuid in unknown),
            *(("files", uuid) for uuid in files if uuid in unknown),
            *(("network", uuid) for uuid in nets if uuid not in known_nets),
        ]
        for kind, uuid in self._ripe(leftovers):
            self._remove(kind, uuid)

    def _ripe(self, leftovers: Iterable[tuple[str, str]]) -> list[tuple[str, str]]:
        now = self._monotonic()
        self._first_seen = {key: self._first_seen.get(key, now) for key in leftovers}
        return [k for k, seen in self._first_seen.items() if now - seen >= self._settings.grace]

    def _remove(self, kind: str, uuid: str) -> None:
        if self._settings.dry_run:
            LOG.warning("leftover %s %s would be removed (dry run)", kind, uuid)
            return
        deadline = Deadline(_REMOVE_TIME)
        try:
            if kind == "container":
                # The one that was listed: it may have been placed here anew since.
                self._means.runtime.remove(
                    uuid, deadline, force=True, runtime_id=self._ids.get(uuid)
                )
            elif kind == "files":
                self._means.volumes.release(uuid, deadline)
            else:
                # Its uuid was never reused: a network that had no record once will have none again.
                self._means.network.remove_network(uuid, deadline)
        except DriverError as exc:
            LOG.warning("leftover %s %s can't be removed: %s", kind, uuid, exc)
            return
        LOG.warning("leftover %s %s was removed: no record knew of it", kind, uuid)
        self._metrics.leftovers.labels(kind).inc()
        self._first_seen.pop((kind, uuid), None)
