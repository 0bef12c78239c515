"""From a token to an open stream of an agent."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Callable
from concurrent.futures import Executor
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy.engine import Connection

from zun.bus.channel import Channel, Declined, open_channel
from zun.model.session import (
    AgentTicket,
    Denied,
    Session,
    StreamKind,
    StreamPlace,
    StreamRequest,
    digest_of,
)
from zun.store import hosts, sessions, tickets
from zun.store.database import Database
from zun.wsproxy.refusal import Refusal, refusal_of
from zun.wsproxy.wish import Wish

Clock = Callable[[], datetime]


@dataclass(frozen=True, slots=True)
class Admitted:
    """A session that may begin, and the stream it is about."""

    session: Session
    channel: Channel


class Admission:
    """Redeems tokens. `executor` runs the queries; `tls` is for the connections to agents."""

    def __init__(
        self, db: Database, executor: Executor, clock: Clock, tls: ssl.SSLContext | None = None
    ) -> None:
        self._db = db
        self._executor = executor
        self._clock = clock
        self._tls = tls

    async def admit(self, wish: Wish) -> Admitted:
        """Uses the token up and opens what it is for. Raises Refusal."""
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._executor, self._redeem, wish)
        session, place, ticket = found
        try:
            channel = await open_channel(place, ticket, tls=self._tls)
        except Declined as exc:
            status = exc.status if 400 <= exc.status < 600 else 503
            raise Refusal(status, "agent", exc.reason) from exc
        return Admitted(session, channel)

    async def look(self, wish: Wish) -> None:
        """Whether `admit` would take the token, which stays good. Raises Refusal."""
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(self._executor, self._look, wish)

    def _look(self, wish: Wish) -> None:
        with self._db.read() as conn:
            self._placed(conn, wish)

    def _redeem(self, wish: Wish) -> tuple[Session, StreamPlace, AgentTicket]:
        self._look(wish)  # a guess costs no write, for which others would have to wait
        now = self._clock()
        with self._db.write(durable=False) as conn:
            place = self._placed(conn, wish)
            session = sessions.redeem(
                conn, digest_of(wish.token), wish.container_uuid, wish.exec_id, now
            )
            if isinstance(session, Denied):
                raise refusal_of(session)
            asked = _request_of(session)
            ticket = tickets.insert_for_agent(conn, place.host_uuid, session.project_id, asked, now)
        return session, place, ticket

    def _placed(self, conn: Connection, wish: Wish) -> StreamPlace:
        session = sessions.look(
            conn, digest_of(wish.token), wish.container_uuid, wish.exec_id, self._clock()
        )
        if isinstance(session, Denied):
            raise refusal_of(session)
        place = hosts.stream_place(conn, session.host)
        if place is None:
            raise Refusal(503, "agent", "The container's host serves no sessions at the moment.")
        return place


def _request_of(session: Session) -> StreamRequest:
    arguments = {"exec_id": session.exec_id} if session.kind is StreamKind.EXEC else {}
    return StreamRequest(
        kind=session.kind,
        container_uuid=session.container_uuid,
        arguments=arguments,
        session_limit=session.session_limit,
        idle_limit=session.idle_limit,
    )
