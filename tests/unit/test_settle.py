"""From what was seen to what the row says, and when nobody looks."""

from __future__ import annotations

from datetime import datetime

import pytest
from tests.support.envs import HOST, env
from tests.support.house import Fakes
from tests.support.rows import container, operation

from zun.drivers.deadline import Deadline
from zun.drivers.runtime import Facts, missing
from zun.model.lifecycle import Action, Observed, Status
from zun.model.operation import OperationState
from zun.store.database import Database
from zun.work import facts as seen
from zun.work import settle
from zun.work.context import StepContext

ONE = container(host=HOST, memory=64)


def facts(observed: Observed, **changes: object) -> Facts:
    return Facts(uuid=ONE.uuid, observed=observed, **changes)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("status", "what", "reason"),
    [
        (Status.RUNNING, facts(Observed.RUNNING), None),
        (Status.RUNNING, facts(Observed.RUNNING, health="healthy"), None),
        (Status.RUNNING, facts(Observed.RUNNING, health="unhealthy"), "health check fails"),
        (Status.STOPPED, facts(Observed.EXITED, exit_code=0), None),
        (Status.STOPPED, facts(Observed.EXITED, exit_code=137, oom_killed=True), "limit 64 MiB"),
        (
            Status.STOPPED,
            facts(Observed.EXITED, exit_code=127, error="no such file"),
            "no such file",
        ),
        (Status.RESTARTING, facts(Observed.RESTARTING, exit_code=2), "exited with code 2"),
        (Status.DEAD, facts(Observed.DEAD), "only be deleted"),
        (Status.ERROR, missing(ONE.uuid), "removed from the engine"),
    ],
)
def test_reasons(status: Status, what: Facts, reason: str | None) -> None:
    said = seen.reason(ONE, status, what)
    if reason is None:
        assert said is None
    else:
        assert reason in (said or "")


def test_the_engines_words_are_bounded() -> None:
    said = seen.reason(ONE, Status.STOPPED, facts(Observed.EXITED, error="x" * 5000))
    assert said is not None
    assert len(said) == 500


def test_columns_are_what_was_seen_and_nothing_where_nothing_was() -> None:
    when = datetime(2026, 1, 1)
    what = facts(
        Observed.EXITED, runtime_id="r", exit_code=1, oom_killed=True, health="h", started_at=when,
        finished_at=when,
    )  # fmt: skip
    assert seen.columns(ONE, Status.STOPPED, what) == {
        "status": "Stopped", "exit_code": 1, "oom_killed": True, "health": "h", "started_at": when,
        "finished_at": when, "container_id": "r", "lost_status": None,
    }  # fmt: skip
    for nothing in (None, missing(ONE.uuid)):
        assert seen.columns(ONE, Status.ERROR, nothing) == {"status": "Error", "lost_status": None}
        assert seen.columns(ONE, Status.UNKNOWN, nothing) == {"status": "Unknown"}


@pytest.mark.parametrize(
    ("action", "state", "placed", "looks"),
    [
        (Action.START, OperationState.RUNNING, True, True),
        (Action.CREATE, OperationState.UNDOING, False, False),
        (Action.DELETE, OperationState.RUNNING, True, False),
        (Action.DELETE, OperationState.UNDOING, True, True),
    ],
)
def test_who_looks(
    db: Database, fakes: Fakes, action: Action, state: OperationState, placed: bool, looks: bool
) -> None:
    one = container(host=HOST if placed else None)
    ctx = StepContext(
        env=env(db, fakes), operation=operation(action=action, state=state), subject=one,
        deadline=Deadline(5), progress=lambda detail: None,
    )  # fmt: skip
    assert (settle.look(ctx) is not None) is looks
