"""What a host that was given up does when it returns, before anything else: it removes what is no longer its own."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping, Sequence

from zun.drivers.deadline import Deadline
from zun.drivers.errors import DriverError
from zun.drivers.runtime import Facts
from zun.model.lifecycle import Observed
from zun.store import capsules, containers, left_behind, networks
from zun.work.context import Env
from zun.work.metrics import WorkMetrics

LOG = logging.getLogger(__name__)

_TIME = 120.0  # seconds for what may not stay
_NETWORKS_TIME = 10.0  # for what may


class Cleaning:
    """Of one host, while it is not let in: nobody else works on it."""

    def __init__(
        self, env: Env, metrics: WorkMetrics, checkpoint: Callable[[str], None] = lambda name: None
    ) -> None:
        self._env = env
        self._means = env.on_host()
        self._metrics = metrics
        self._checkpoint = checkpoint

    def clean(self) -> None:
        """Removes containers and sandboxes, then what is left of them on the host. Raises DriverError."""
        deadline, host = Deadline(_TIME), self._means.host
        with self._env.db.read() as conn:
            left = left_behind.on(conn, host)
        found = self._found(left, deadline)
        uuids = list(found)
        with self._env.db.read() as conn:
            others = containers.elsewhere(conn, uuids, host, nowhere=True)
            sandboxes = capsules.elsewhere(conn, uuids, host, nowhere=True)
            unknown = containers.missing(conn, uuids)
            unknown -= capsules.known(conn, sorted(unknown))
        # What nobody knows is the reaper's, which waits a while; not so what was, or could be, somebody's elsewhere.
        given_up = {uuid for uuid in unknown if found[uuid].movable or uuid in left}
        gone = (others | given_up) - sandboxes
        for uuid in [*gone, *sandboxes]:  # which outlive those in them
            self._checkpoint("clean")
            self._means.runtime.remove(
                uuid, deadline, force=True, runtime_id=found[uuid].runtime_id
            )
            LOG.warning(
                "container %s was removed from this host: it is not this host's any more", uuid
            )
            self._metrics.leftovers.labels("container").inc()
        self._remove_files(deadline)
        self._remove_networks(Deadline(_NETWORKS_TIME))

    def _found(self, left: Sequence[str], deadline: Deadline) -> Mapping[str, Facts]:
        """All that is on the engine, also what it has and does not list, as far as our records lead to it."""
        runtime, means = self._means.runtime, self._means
        found = {facts.uuid: facts for facts in runtime.list(means.host_id, deadline)}
        for uuid in left:
            if uuid in found:
                continue
            facts = runtime.inspect(uuid, deadline)
            if facts.observed is not Observed.MISSING:
                LOG.warning("the engine has container %s and does not list it", uuid)
                self._metrics.relisted.inc()
                found[uuid] = facts
        return found

    def _remove_files(self, deadline: Deadline) -> None:
        kept = list(self._means.volumes.list())
        with self._env.db.read() as conn:
            others = containers.elsewhere(conn, kept, self._means.host, nowhere=True)
        for uuid in sorted(others):
            self._means.volumes.release(uuid, deadline)
            self._metrics.leftovers.labels("files").inc()

    def _remove_networks(self, deadline: Deadline) -> None:
        """Those that no container here needs. A network runs nothing twice: one that can't go is no reason to wait."""
        try:
            nets = set(self._means.network.list_networks(deadline))
            with self._env.db.read() as conn:
                nets -= networks.needed_on(conn, self._means.host)
            for uuid in sorted(nets):
                self._means.network.remove_network(uuid, deadline)
                self._metrics.leftovers.labels("network").inc()
        except DriverError as exc:
            LOG.warning("networks that nobody on this host needs can't be removed: %s", exc)
