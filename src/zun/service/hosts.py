"""The use cases of hosts and of the services on them."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from zun.model.host import Host, Service
from zun.service.errors import NotFound
from zun.service.queries import ListQuery
from zun.store import hosts
from zun.store.database import Database
from zun.work.clock import Clock


class Hosts:
    """Reading hosts and services (contract 8)."""

    def __init__(self, db: Database, clock: Clock, down_after: timedelta) -> None:
        self._db = db
        self._clock = clock
        self._down_after = down_after

    def list(self, query: ListQuery) -> Sequence[Host]:
        """One page, by host name; `marker` is a host's uuid. Raises NotFound for an unknown one."""
        with self._db.read() as conn:
            after = None if query.marker is None else hosts.find(conn, query.marker)
            if query.marker is not None and after is None:
                raise NotFound(
                    f"marker: there is no host {query.marker[:64]}.",
                    slug="compute-node-not-found",
                )
            return hosts.page(conn, query.limit, after, descending=query.descending)

    def find(self, ident: str) -> Host:
        """The host of this uuid or name. Raises NotFound."""
        with self._db.read() as conn:
            host = hosts.find(conn, ident)
        if host is None:
            raise NotFound(f"There is no host {ident[:255]}.", slug="compute-node-not-found")
        return host

    def services(self) -> Sequence[Service]:
        """All services."""
        with self._db.read() as conn:
            return hosts.all_services(conn)

    def is_up(self, service: Service) -> bool:
        """Whether a service beats: not forced down, and heard of lately (13.2-39: only its own beats count)."""
        if service.forced_down or service.last_seen_up is None:
            return False
        return self._clock() - service.last_seen_up < self._down_after
