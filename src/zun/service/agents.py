"""Ways into the agents' byte streams: a ticket, then the connection; refusals in the words of the bus."""

from __future__ import annotations

import ssl
from collections.abc import Mapping

from zun.bus import Refused, Why
from zun.bus.channel import OPEN_SECONDS, Channel, Declined, open_channel
from zun.model.session import AgentTicket, StreamPlace, StreamRequest
from zun.store import containers, hosts, tickets
from zun.store.database import Database
from zun.work.clock import Clock

_WHY: Mapping[int, Why] = {
    400: Why.REJECTED,
    403: Why.UNAVAILABLE,  # a ticket of ours that was late: asking again may help
    404: Why.NOT_FOUND,
    409: Why.CONFLICT,
}


def why_of(status: int) -> Why:
    """What a status of an agent means."""
    return _WHY.get(status, Why.UNAVAILABLE)


class AgentStreams:
    """Of all hosts whose agents the database knows.

    tls: verifies agents, and has our own certificate; None = plain TCP.
    """

    def __init__(self, db: Database, clock: Clock, tls: ssl.SSLContext | None = None) -> None:
        self._db, self._clock, self._tls = db, clock, tls

    def ticket(self, host: str, request: StreamRequest) -> tuple[StreamPlace, AgentTicket]:
        """Where the agent of a host is, and what opens `request` there. Raises Refused, DatabaseError."""
        with self._db.write(durable=False) as conn:
            place = hosts.stream_place(conn, host)
            if place is None:
                raise Refused(Why.UNAVAILABLE, f"Host {host} serves no byte streams.")
            row = containers.get(conn, request.container_uuid)
            project = "" if row is None else row.project_id
            now = self._clock()
            return place, tickets.insert_for_agent(conn, place.host_uuid, project, request, now)

    async def open(
        self, place: StreamPlace, ticket: AgentTicket, seconds: float = OPEN_SECONDS
    ) -> Channel:
        """The stream. `seconds`: for the connection, and for the agent's answer. Raises Refused."""
        try:
            return await open_channel(place, ticket, tls=self._tls, seconds=seconds)
        except Declined as exc:
            raise Refused(why_of(exc.status), exc.reason) from exc
