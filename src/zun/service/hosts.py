"""The use cases of hosts and of the services on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zun.model.host import SORT_KEYS, Host, Mode, Service, beats
from zun.service.errors import NotFound
from zun.service.host_removal import HostRemoval
from zun.service.queries import ListQuery
from zun.service.settings import ServiceSettings
from zun.store import hosts, standing
from zun.store.database import Database
from zun.work.clock import Clock


class Hosts:
    """Hosts, the services on them and their zones (contract 8)."""

    def __init__(self, db: Database, clock: Clock, settings: ServiceSettings) -> None:
        self._db = db
        self._clock = clock
        self._down_after = settings.down_after
        self._removal = HostRemoval(db, clock, settings)

    def list(self, query: ListQuery) -> Sequence[Host]:
        """One page, by name unless the query says otherwise; `marker` is a host's uuid.

        Raises NotFound for an unknown one.
        """
        with self._db.read() as conn:
            after = None if query.marker is None else hosts.find(conn, query.marker)
            if query.marker is not None and after is None:
                raise NotFound(
                    f"marker: there is no host {query.marker[:64]}.",
                    slug="compute-node-not-found",
                )
            key = query.sort_key if query.sort_key in SORT_KEYS else SORT_KEYS[0]
            return hosts.page(conn, query.limit, after, sort_key=key, descending=query.descending)

    def find(self, ident: str) -> Host:
        """The host of this uuid or name. Raises NotFound."""
        with self._db.read() as conn:
            host = hosts.find(conn, ident)
        if host is None:
            raise NotFound(f"There is no host {ident[:255]}.", slug="compute-node-not-found")
        return host

    def services(self) -> Sequence[tuple[Service, bool]]:
        """All services, and whether each is up: not forced down, and heard of lately.

        Only its own beats count (13.2-39); decision 0019 says what lately is.
        """
        with self._db.read() as conn:
            now = standing.now(conn, self._clock())
            every = hosts.all_services(conn)
        after = self._down_after
        return [
            (s, not s.forced_down and beats(now, after, s.last_seen_up, s.lease_until))
            for s in every
        ]

    def enable(self, host: str, binary: str) -> Service:
        """Lets the scheduler use the host again. Raises NotFound."""
        return self._change(host, binary, disabled=False, disabled_reason=None)

    def disable(self, host: str, binary: str, reason: str | None) -> Service:
        """Keeps new containers off the host; what is there stays. Raises NotFound."""
        return self._change(host, binary, disabled=True, disabled_reason=reason)

    def force_down(self, host: str, binary: str, forced_down: bool) -> Service:
        """Declares the service down, whatever its beats say, or takes that back. Raises NotFound."""
        return self._change(host, binary, forced_down=forced_down)

    def _change(self, host: str, binary: str, **changes: Any) -> Service:
        service = self._db.run(
            lambda conn: hosts.change_service(conn, host, binary, self._clock(), **changes),
            twice=True,
        )
        if service is None:
            raise _no_service(host, binary)
        return service

    def set_mode(self, ident: str, mode: Mode | None, reason: str | None) -> Host:
        """Drains a host, puts it into maintenance, or lets it work as any other (None). Raises NotFound."""
        host = self.find(ident)
        self._db.run(
            lambda conn: hosts.set_mode(
                conn, host.hostname, mode, reason, standing.now(conn, self._clock())
            ),
            twice=True,
        )
        return self.find(host.uuid)

    def remove(self, ident: str, *, force: bool) -> None:
        """Removes a host from the records: `service.host_removal`. Raises NotFound, Conflict."""
        self._removal.remove(self.find(ident), force=force)

    def are_up(self, rows: Sequence[Host]) -> Sequence[bool]:
        """Whether hosts are heard of, let in and not declared down."""
        with self._db.read() as conn:
            now = standing.now(conn, self._clock())
        return [
            not (row.forced_down or row.lost_at or row.fenced_at)
            and beats(now, self._down_after, row.last_seen_up, row.lease_until)
            for row in rows
        ]

    def delete_service(self, host: str, binary: str) -> None:
        """Forgets a service; an agent that still beats records it anew. Raises NotFound."""
        if not self._db.run(lambda conn: hosts.delete_service(conn, host, binary)):
            raise _no_service(host, binary)

    def zones(self, query: ListQuery, default: str) -> Sequence[str]:
        """One page of availability zones by name, each once; services without one are in `default`.

        `marker` is a zone's name. Raises NotFound for one that no service is in.
        """
        with self._db.read() as conn:
            names = sorted({zone or default for zone in hosts.zones(conn)})
        if query.descending:
            names.reverse()
        start = 0
        if query.marker is not None:
            if query.marker not in names:
                raise NotFound(
                    f"marker: no availability zone is named {query.marker[:64]}.", slug="not-found"
                )
            start = names.index(query.marker) + 1
        return names[start : start + query.limit]


def _no_service(host: str, binary: str) -> NotFound:
    return NotFound(
        f"There is no service {binary[:255]} on host {host[:255]}.", slug="zun-service-not-found"
    )
