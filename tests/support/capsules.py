"""Capsules for tests: drafts and templates of small ones, and a row to put into the store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from tests.support.house import PROJECT, Rig, caller, eventually
from tests.support.rows import NOW

from zun.model.capsule import Capsule, CapsuleDraft, MemberDraft
from zun.model.container import Container
from zun.model.lifecycle import Status
from zun.model.names import new_uuid
from zun.model.operation import Operation
from zun.service.house import Services
from zun.store import capsules, containers, operations
from zun.store.database import Database

FOREVER = ("sleep", "100000")


def member(*command: str, **changes: Any) -> MemberDraft:
    """A small container that runs on, or runs a command."""
    small = {"image": "busybox", "command": command or FOREVER, "cpu": 0.1, "memory": 16}
    return MemberDraft(**{**small, **changes})


def draft(*members: MemberDraft, inits: Sequence[MemberDraft] = (), **changes: Any) -> CapsuleDraft:
    """A capsule, by default of two containers."""
    wanted = members or (member(), member())
    return CapsuleDraft(containers=wanted, init_containers=inits, **changes)


def capsule(**changes: Any) -> Capsule:
    """One that runs."""
    values: dict[str, Any] = {
        "uuid": new_uuid(), "name": "pod", "project_id": PROJECT, "user_id": "u", "status": Status.RUNNING,
        "restart_policy": {"Name": "always", "MaximumRetryCount": "0"}, "cpu": 0.5, "memory": 64,
        "created_at": NOW,
    }  # fmt: skip
    return Capsule(**{**values, **changes})


class Home(Protocol):
    """A working house, of one host or several."""

    @property
    def services(self) -> Services:
        """The use cases."""

    @property
    def db(self) -> Database:
        """The database."""


@dataclass(frozen=True)
class Watched:
    """A capsule of a working house."""

    home: Home
    uuid: str

    @property
    def row(self) -> Capsule | None:
        with self.home.db.read() as conn:
            return capsules.get(conn, self.uuid)

    @property
    def members(self) -> Sequence[Container]:
        with self.home.db.read() as conn:
            return containers.members_of(conn, [self.uuid])[self.uuid]

    @property
    def operations(self) -> Sequence[Operation]:
        with self.home.db.read() as conn:
            return operations.of_container(conn, self.uuid)

    def settled(self) -> Capsule | None:
        """The row once no operation is open; None if it is gone."""

        def done() -> tuple[Capsule | None] | None:
            with self.home.db.read() as conn:
                busy = operations.open_of(conn, self.uuid)
                return None if busy else (capsules.get(conn, self.uuid),)

        answer: tuple[Capsule | None] = eventually(done, f"operations of {self.uuid} end")
        return answer[0]

    def until(self, status: Status, reason: str = "") -> Capsule:
        """The row once it has the status, and the reason says so much."""

        def has() -> Capsule | None:
            row = self.row
            right = row is not None and row.status is status and reason in (row.status_reason or "")
            return row if right else None

        answer: Capsule = eventually(has, f"it becomes {status} {reason!r}, is {self.row}")
        return answer

    def delete(self) -> None:
        """Accepts a delete."""
        row = self.row
        assert row is not None
        self.home.services.capsules.delete(caller(row.project_id), row)


def made(home: Home, wanted: CapsuleDraft | None = None) -> Watched:
    """An accepted capsule."""
    row, _ = home.services.capsules.create(caller(), wanted or draft())
    return Watched(home, row.uuid)


def on_engine(rig: Rig) -> set[str]:
    """What the fake engine has."""
    return set(rig.fakes.runtime.uuids())
