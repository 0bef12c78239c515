"""The steps, by the name the journal knows them by. Law: look before you make; do anything twice without harm."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy.engine import Connection

from zun.work import kinds
from zun.work.context import Recording, StepContext
from zun.work.steps import (
    capsule,
    commit,
    files,
    image,
    images,
    limits,
    links,
    place,
    ports,
    runtime,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step. Exactly one of `do` and `do_in`.

    do: an effect outside the database; what it returns is recorded afterwards, in a transaction of its own.
    do_in: an effect inside the database, in the very transaction that records it.
    undo: takes the outside effect back; also run where it is not known whether the effect took place.
    undo_in: takes the inside effect back, and says which columns of the container change.
    Each raises drivers.errors only.
    """

    on_host: bool = True
    do: Callable[[StepContext], Recording] | None = None
    do_in: Callable[[Connection, StepContext], Recording] | None = None
    undo: Callable[[StepContext], None] | None = None
    undo_in: Callable[[Connection, StepContext], Mapping[str, Any]] | None = None


def _emptied(*columns: str) -> Callable[[Connection, StepContext], Mapping[str, Any]]:
    """What the row showed of an effect that is taken back."""
    return lambda conn, ctx: dict.fromkeys(columns)


STEPS: Mapping[str, Step] = {
    kinds.PLACE: Step(on_host=False, do_in=place.place, undo_in=place.give_back),
    kinds.FILES: Step(do=files.inject, undo=files.remove, undo_in=_emptied("mounts")),
    kinds.PORTS: Step(do=ports.connect, undo=ports.disconnect, undo_in=_emptied("addresses")),
    kinds.IMAGE: Step(do=image.ensure),
    kinds.RUNTIME_CREATE: Step(
        do=runtime.create, undo=runtime.destroy, undo_in=_emptied("container_id", "ports")
    ),
    kinds.RUNTIME_START: Step(do=runtime.start),
    kinds.RUNTIME_STOP: Step(do=runtime.stop),
    kinds.RUNTIME_PAUSE: Step(do=runtime.pause),
    kinds.RUNTIME_UNPAUSE: Step(do=runtime.unpause),
    kinds.RUNTIME_SIGNAL: Step(do=runtime.signal),
    kinds.RUNTIME_REMOVE: Step(do=runtime.remove),
    kinds.PORTS_RELEASE: Step(do=ports.release),
    kinds.PORTS_LEAVE: Step(do=ports.leave),
    kinds.PORTS_STAND: Step(do=ports.stand_here, undo=ports.leave_again),
    kinds.FILES_RELEASE: Step(do=files.release),
    kinds.RUNTIME_LIMITS: Step(do=limits.change, undo=limits.change_back, undo_in=limits.give_back),
    kinds.CLAIM: Step(do_in=limits.record),
    kinds.NETWORK_CONNECT: Step(do=links.connect, undo=links.leave, undo_in=links.addresses),
    kinds.NETWORK_DISCONNECT: Step(do=links.disconnect, undo=links.connect_again),
    kinds.NETWORK_LEAVE: Step(do=links.left),
    kinds.RUNTIME_COMMIT: Step(do=commit.commit, undo=commit.remove, undo_in=commit.forget),
    kinds.IMAGE_PUSH: Step(do=commit.push, undo=commit.withdraw),
    kinds.COMMIT_RECORD: Step(do_in=commit.record),
    kinds.IMAGE_PULL: Step(do=images.pull),
    kinds.IMAGE_REMOVE: Step(do=images.remove),
    kinds.CAPSULE_PLACE: Step(on_host=False, do_in=capsule.place, undo_in=capsule.give_back),
    kinds.SANDBOX: Step(
        do=capsule.sandbox, undo=capsule.destroy_sandbox, undo_in=_emptied("sandbox_id")
    ),
    kinds.CAPSULE_IMAGES: Step(do=capsule.images),
    kinds.CAPSULE_CREATE: Step(do=capsule.create, undo=capsule.destroy),
    kinds.CAPSULE_INIT: Step(do=capsule.initialise),
    kinds.CAPSULE_START: Step(do=capsule.start),
    kinds.CAPSULE_RESTART: Step(do=capsule.restart),
    kinds.CAPSULE_REMOVE: Step(do=capsule.remove),
    kinds.SANDBOX_REMOVE: Step(do=capsule.remove_sandbox),
}
