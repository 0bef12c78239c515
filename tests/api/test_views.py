"""Views that HTTP alone does not show: the history of an operation (contract 9)."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any

import pytest

from zun.api.views.container_actions import action, with_events
from zun.model.lifecycle import Action, Status
from zun.model.operation import Event, EventKind, Operation, OperationState

BEGAN = datetime(2026, 1, 1)


def _operation(state: OperationState, **values: Any) -> Operation:
    fixed: dict[str, Any] = {
        "uuid": "o", "action": Action.REBUILD, "container_uuid": "c", "project_id": "p", "user_id": "u",
        "request_id": "req-1", "queue": "host:h", "steps": ("stop", "create"), "prior_status": Status.RUNNING,
        "deadline": BEGAN, "created_at": BEGAN,
    }  # fmt: skip
    return Operation(state=state, **{**fixed, **values})


def _event(number: int, kind: EventKind, step: str | None, **detail: Any) -> Event:
    return Event(
        id=number, operation_uuid="o", container_uuid="c", project_id="p", kind=kind, step=step, detail=detail or None,
        created_at=BEGAN + timedelta(seconds=number),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("state", "message"),
    [
        (OperationState.PENDING, None),
        (OperationState.RUNNING, None),
        (OperationState.UNDOING, None),
        (OperationState.DONE, None),
        (OperationState.FAILED, "Error"),
        (OperationState.CANCELLED, "Error"),
    ],
)
def test_messages(state: OperationState, message: str | None) -> None:
    shown = action(_operation(state))
    assert shown["message"] == message
    assert shown["start_time"] == "2026-01-01T00:00:00.000000"
    assert shown["finish_time"] is None


def test_events_newest_first_and_reasons_for_administrators() -> None:
    failed = _operation(
        OperationState.FAILED, finished_at=BEGAN + timedelta(seconds=9), error="no space"
    )
    events = [
        _event(1, EventKind.ACCEPTED, None),
        _event(3, EventKind.STEP_DONE, "stop"),
        _event(5, EventKind.STEP_FAILED, "create", error="no space left"),
        _event(6, EventKind.FAILED, None),
    ]
    shown = with_events(failed, events, reasons=True)["events"]
    assert [event["event"] for event in shown] == [
        "compute__do_container_rebuild",
        "create",
        "stop",
    ]
    assert [event["result"] for event in shown] == ["Error", "Error", "Success"]
    assert [event["traceback"] for event in shown] == ["no space", "no space left", None]
    assert shown[0]["start_time"] == "2026-01-01T00:00:01.000000"
    assert shown[0]["finish_time"] == "2026-01-01T00:00:09.000000"
    hidden = with_events(failed, events, reasons=False)["events"]
    assert {event["traceback"] for event in hidden} == {None}


def test_nothing_on_a_host_yet() -> None:
    assert with_events(_operation(OperationState.PENDING), [], reasons=True)["events"] == []


def test_steps_whose_start_was_not_told_begin_where_the_last_event_was() -> None:
    done = _operation(OperationState.DONE, finished_at=BEGAN + timedelta(seconds=7))
    events = [
        _event(1, EventKind.ACCEPTED, None),
        _event(3, EventKind.PROGRESS, "stop", text="half"),
        _event(4, EventKind.STEP_DONE, "stop"),
        _event(6, EventKind.STEP_UNDONE, "create"),
    ]
    shown = with_events(done, events, reasons=True)["events"]
    times = [
        (event["event"], event["start_time"][17:19], event["finish_time"][17:19]) for event in shown
    ]
    assert times == [
        ("compute__do_container_rebuild", "01", "07"),
        ("create (undone)", "04", "06"),
        ("stop", "01", "04"),
    ]
