"""The journal's values: an operation is a promise to a user, its steps are what fulfils it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any

from zun.model.lifecycle import Action, Status

#: The kinds of resource an operation may be about.
CONTAINER = "container"
IMAGE = "image"
CAPSULE = "capsule"

#: Actions that leave no record for users (contract 9).
UNRECORDED = frozenset({Action.UPDATE, Action.RESIZE_CONTAINER})

#: Actions that leave something a delete of the container does not take away: one that takes their place waits until
#: they are undone.
OUTLIVING = frozenset({Action.COMMIT})

#: The queue any conductor may take from. Every other queue is a host's: see `host_queue`.
CONDUCTOR_QUEUE = "@conductor"


def host_queue(host: str) -> str:
    """The queue of the agent on `host`."""
    return f"host:{host}"


class OperationState(StrEnum):
    """PENDING: waits for a claim. RUNNING: claimed. UNDOING, UNDO_PENDING: likewise, going back.

    WAITING: a delete that waits for the operation it supersedes. The others are ends.
    """

    WAITING = "waiting"
    PENDING = "pending"
    RUNNING = "running"
    UNDO_PENDING = "undo_pending"
    UNDOING = "undoing"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


CLOSED = frozenset({OperationState.DONE, OperationState.FAILED, OperationState.CANCELLED})
CLAIMABLE = frozenset({OperationState.PENDING, OperationState.UNDO_PENDING})
CLAIMED = frozenset({OperationState.RUNNING, OperationState.UNDOING})


class EventKind(StrEnum):
    """What the event table tells of an operation or a container."""

    ACCEPTED = "accepted"
    STEP_DONE = "step_done"
    STEP_FAILED = "step_failed"
    STEP_UNDONE = "step_undone"
    PROGRESS = "progress"
    TAKEN_BACK = "taken_back"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"
    OBSERVED = "observed"


@dataclass(frozen=True, slots=True, kw_only=True)
class Operation:
    """One row of `operations`.

    `steps` is the list of step names as it was when the operation was accepted; `position` counts the steps
    done (while undoing: those still to be undone); `outputs` maps a step's name to what it recorded.
    `version` grows with every write: writes are compare-and-set on it.
    """

    id: int = 0
    uuid: str
    resource: str = CONTAINER
    action: Action
    container_uuid: str  # of the resource, whatever it is
    project_id: str
    user_id: str
    request_id: str
    queue: str
    state: OperationState
    steps: Sequence[str]
    position: int = 0
    params: Mapping[str, Any] = field(default_factory=dict)
    outputs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    prior_status: Status | None = None  # where the resource has one
    version: int = 0
    claimed_by: str | None = None
    claimed_epoch: int | None = None
    claimed_until: datetime | None = None
    attempts: int = 0
    not_before: datetime | None = None
    deadline: datetime
    cancelling: bool = False
    supersedes: str | None = None  # uuid of the operation a WAITING delete waits for
    begun: bool = False  # a step on a host has begun
    error: str | None = None
    created_at: datetime
    finished_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """One row of `events`: append-only; `id` grows and is the cursor of whoever follows."""

    id: int = 0
    operation_uuid: str | None
    container_uuid: str
    project_id: str
    kind: EventKind
    step: str | None = None
    detail: Mapping[str, Any] | None = None
    created_at: datetime
