"""Short questions to the host of a container, and what its refusals mean to a user."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zun.bus import Bus, Refused, Why
from zun.model.container import Container
from zun.service.errors import Conflict, Invalid, ServiceError, Unavailable
from zun.service.settings import ServiceSettings
from zun.store import hosts
from zun.store.database import Database
from zun.work.clock import Clock, utcnow


class TooLate(Unavailable):
    """The host did not answer in time."""


class Questions:
    """Asks over the bus, at once refusing where the host is known to be down.

    `ask_seconds` of the settings is how long an answer may take where nobody says otherwise.
    """

    def __init__(
        self, db: Database, bus: Bus, settings: ServiceSettings, clock: Clock = utcnow
    ) -> None:
        self._db = db
        self._bus = bus
        self._clock = clock
        self._seconds = settings.ask_seconds
        self._down_after = settings.down_after

    def ask(
        self,
        container: Container,
        question: str,
        arguments: Mapping[str, Any],
        seconds: float | None = None,
    ) -> Any:
        """The answer of the container's host. Raises `service.errors`."""
        return self.ask_host(check_placed(container), question, arguments, seconds)

    def ask_host(
        self,
        host: str,
        question: str,
        arguments: Mapping[str, Any],
        seconds: float | None = None,
    ) -> Any:
        """The answer of a host. Raises `service.errors`."""
        self._refuse_down(host)
        try:
            return self._bus.ask(
                host, question, arguments, self._seconds if seconds is None else seconds
            )
        except Refused as exc:
            raise refusal(exc) from exc

    def host_to_ask(self, container: Container) -> str:
        """The host of a container, for whoever asks it in another way. Raises `service.errors`: nobody can."""
        host = check_placed(container)
        self._refuse_down(host)
        return host

    def _refuse_down(self, hostname: str) -> None:
        # Also where its agent still answers: an operator has said not to trust it.
        with self._db.read() as conn:
            host = hosts.find(conn, hostname)
        if host is None:
            return
        if host.forced_down:
            raise Unavailable(f"Host {hostname} was declared down by an operator.")
        if host.lost_at is not None or host.fenced_at is not None:
            raise Unavailable(f"Host {hostname} has not been heard of since {host.last_seen_up}.")
        if host.last_seen_up is None:
            return  # its service was deleted; an agent that still runs records it anew
        silent = self._clock() - host.last_seen_up
        if silent >= self._down_after:
            raise Unavailable(
                f"Host {hostname} has not been heard of for {silent.total_seconds():.0f} s."
            )


def check_placed(container: Container) -> str:
    """The container's host. Raises Invalid where no host has anything of it."""
    if container.host is None or container.container_id is None:
        raise Invalid(
            f"Container {container.uuid} ({container.status}) has nothing on a host to ask."
        )
    return container.host


def refusal(refused: Refused) -> ServiceError:
    """What a user is told of a host's refusal."""
    # Contract 2.1: "not found" and conflicts of the engine are 409, for the container itself exists.
    match refused.why:
        case Why.NOT_FOUND | Why.CONFLICT:
            return Conflict(refused.public)
        case Why.REJECTED | Why.UNSUPPORTED:
            return Invalid(refused.public, slug="invalid")
        case Why.TIMED_OUT:
            return TooLate(refused.public)
        case Why.UNAVAILABLE:
            return Unavailable(refused.public)
        case Why.UNKNOWN:
            return ServiceError(refused.public)
