"""Changing what a container may use: whether it may begin, and how it ended."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy.engine import Connection

from zun.model.container import Container
from zun.model.lifecycle import Action
from zun.model.operation import CLOSED, Operation, OperationState
from zun.service.errors import Conflict, NotFound, Unavailable
from zun.store import claims, containers, hosts, operations
from zun.store.database import Database

#: The fields of a container that its host has to provide.
SIZES = frozenset({"cpu", "memory"})

_SHORTEST_PAUSE = 0.01  # seconds between two looks whether the operation has ended
_LONGEST_PAUSE = 0.25


class Sizes:
    """`seconds` is how long somebody may wait for an operation's end."""

    def __init__(self, db: Database, seconds: float) -> None:
        self._db = db
        self._seconds = seconds

    def admit(self, conn: Connection, container: Container, wanted: Mapping[str, Any]) -> None:
        """Claims what the container will need more, in the transaction that accepts the wish. Raises Conflict."""
        if (
            container.cpu_policy == "dedicated"
            and wanted.get("cpu", container.cpu) != container.cpu
        ):
            raise Conflict(
                f"cpu: container {container.uuid} has CPUs of its own, whose number can't be changed; create another."
            )
        held = claims.held_by(conn, container.uuid)
        if held is None:
            raise Conflict(f"Container {container.uuid} holds nothing of a host to change.")
        claimed = replace(held, **wanted_sizes(wanted))
        lacking = {
            *_beyond(conn, held.host, wanted),
            *claims.reclaim(conn, claimed, most=True),
        }
        if lacking:
            raise Conflict(
                f"Host {held.host} has not enough {' and '.join(sorted(lacking))} left for "
                + ", ".join(f"{name} {value:g}" for name, value in wanted_sizes(wanted).items())
                + "."
            )

    def ended(self, container: Container, action: Action, request_id: str) -> Container:
        """Waits for the newest operation of this action and request; the row when it has ended well.

        Raises Conflict with the reason when it has not, Unavailable when it goes on for too long.
        """
        end, pause = time.monotonic() + self._seconds, _SHORTEST_PAUSE
        while time.monotonic() < end:
            operation, row = self._look(container, action, request_id)
            if operation is not None and operation.state in CLOSED:
                if operation.state is OperationState.DONE:
                    return row
                raise Conflict(operation.error or "It was given up, for the container is deleted.")
            time.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        raise Unavailable("The host has not answered yet; what was asked for goes on.")

    def _look(
        self, container: Container, action: Action, request_id: str
    ) -> tuple[Operation | None, Container]:
        with self._db.read() as conn:
            row = containers.get(conn, container.uuid)
            mine = [
                operation
                for operation in operations.of_container(conn, container.uuid)
                if operation.action is action and operation.request_id == request_id
            ]
        if row is None:
            raise NotFound(f"There is no container {container.uuid} any more.")
        return next(iter(mine), None), row


def _beyond(conn: Connection, hostname: str, wanted: Mapping[str, Any]) -> Sequence[str]:
    """What is wanted of a host that never had so much, whatever may be promised to all together."""
    host = hosts.find(conn, hostname)
    if host is None:
        return ()
    there = {"cpu": ("CPU", host.inventory.cpus), "memory": ("memory", host.inventory.mem_total)}
    return [there[key][0] for key, value in wanted_sizes(wanted).items() if value > there[key][1]]


def wanted_sizes(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Those of `changes` that are sizes."""
    return {name: value for name, value in changes.items() if name in SIZES}
