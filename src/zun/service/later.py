"""Rights to long-lived answers: a ticket, and the point in the events from which the answer begins.

Whoever serves requests decides who may have what, and writes that down; whoever serves the answer only takes the
ticket. It is good for one path, once, for seconds; the database has no more than its digest.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from zun.model.session import digest_of
from zun.service.caller import Caller
from zun.service.errors import Forbidden, Gone, Invalid
from zun.store import events, tickets
from zun.store.database import Database
from zun.work.clock import Clock

_TICKET_LIMIT = 128


@dataclass(frozen=True, slots=True, kw_only=True)
class Ticket:
    """What a ticket was issued for: `project_id` of who asked, and what was decided when it was."""

    project_id: str
    content: Mapping[str, Any]


class Later:
    """Issues and takes tickets; each is good for `seconds`.

    A power cut may lose one, or give one back within its seconds: neither is worth waiting for a disk.
    """

    def __init__(self, db: Database, clock: Clock, seconds: float = 30.0) -> None:
        self._db = db
        self._clock = clock
        self._seconds = seconds

    def issue(self, caller: Caller, path: str, content: Mapping[str, Any]) -> str:
        """A ticket for `path`; `content` (JSON-like) is what its taker is told."""
        ticket = secrets.token_urlsafe(32)
        with self._db.write(durable=False) as conn:
            tickets.insert(
                conn,
                digest=digest_of(ticket),
                path=path,
                project_id=caller.project_id,
                content=content,
                expires_at=self._clock() + timedelta(seconds=self._seconds),
            )
        return ticket

    def take(self, ticket: str, path: str) -> Ticket:
        """What `ticket` was issued for. Raises Forbidden: unknown, used, too late, or for another path."""
        found = None
        if 0 < len(ticket) <= _TICKET_LIMIT:
            with self._db.write(durable=False) as conn:
                found = tickets.take(conn, digest_of(ticket), path, self._clock())
        if found is None:
            raise Forbidden(
                "ticket: is unknown, used or expired; ask the API again for another.",
                slug="ticket-refused",
            )
        project_id, content = found
        return Ticket(project_id=project_id, content=content)

    def mark(self, container_uuid: str) -> int:
        """The container's newest event: what comes after it has not been seen by whoever reads the row next."""
        with self._db.read() as conn:
            return events.newest_of(conn, container_uuid)

    def check_cursor(self, cursor: int) -> None:
        """Raises Gone where events after `cursor` are kept no more, Invalid where there has been no such event yet."""
        with self._db.read() as conn:
            newest, oldest = events.newest(conn), events.oldest(conn)
        if cursor > newest:
            raise Invalid(f"Last-Event-ID: there has been no event {cursor} yet.")
        if cursor and oldest > cursor + 1:
            raise Gone(
                f"Last-Event-ID: events after {cursor} are kept no more, the oldest is {oldest}. "
                "Read the containers anew and follow from now on, without this header."
            )
