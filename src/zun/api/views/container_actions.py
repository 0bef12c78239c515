"""Actions and their events, from the journal's own rows (contract 9)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from zun.model.operation import CLOSED, Event, EventKind, Operation, OperationState

JSON = dict[str, Any]

_ENDS = {
    EventKind.STEP_DONE: "Success",
    EventKind.STEP_UNDONE: "Success",
    EventKind.STEP_FAILED: "Error",
}


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="microseconds")


def _failed(operation: Operation) -> bool:
    return operation.state in CLOSED and operation.state is not OperationState.DONE


def action(operation: Operation) -> JSON:
    """One action; `message` is null while it goes well."""
    return {
        "action": operation.action,
        "container_uuid": operation.container_uuid,
        "request_id": operation.request_id,
        "user_id": operation.user_id,
        "project_id": operation.project_id,
        "start_time": _time(operation.created_at),
        "finish_time": _time(operation.finished_at),
        "message": "Error" if _failed(operation) else None,
    }


@dataclass(slots=True)
class _Span:
    """A step, or the whole work on the host, while its events are read."""

    name: str
    start: datetime
    finish: datetime | None = None
    result: str | None = None
    reason: str | None = None

    def json(self, reasons: bool) -> JSON:
        return {
            "event": self.name,
            "start_time": _time(self.start),
            "finish_time": _time(self.finish),
            "result": self.result,
            "traceback": self.reason if reasons else None,
        }


def with_events(operation: Operation, events: Sequence[Event], *, reasons: bool) -> JSON:
    """One action and what happened, newest first; why something failed only for those who may know.

    The work as a whole has the name the contract gives it, each step its own name beside it.
    """
    spans = _steps(events)
    begun = min((span.start for span in spans), default=None)
    if begun is not None:
        kind = "" if operation.action.startswith("network_") else "container_"
        whole = _Span(f"compute__do_{kind}{operation.action}", begun)
        if operation.state in CLOSED:
            whole.finish = operation.finished_at
            whole.result = "Error" if _failed(operation) else "Success"
            whole.reason = operation.error
        spans.append(whole)
    ordered = reversed(spans)
    return {**action(operation), "events": [span.json(reasons) for span in ordered]}


def _steps(events: Sequence[Event]) -> list[_Span]:
    spans: list[_Span] = []
    last: datetime | None = None
    for event in sorted(events, key=lambda event: event.id):
        if event.kind is EventKind.PROGRESS:
            continue
        before, last = last, event.created_at
        if event.step is None:
            continue
        if event.kind in _ENDS:
            # A step's start is not told: it began when whatever came before it ended.
            undone = event.kind is EventKind.STEP_UNDONE
            name = f"{event.step} (undone)" if undone else event.step
            ended = _Span(name, before or event.created_at)
            spans.append(ended)
            ended.finish = event.created_at
            ended.result = _ENDS[event.kind]
            if event.kind is EventKind.STEP_FAILED:
                ended.reason = _reason(event)
    return spans


def _reason(event: Event) -> str | None:
    detail = event.detail or {}
    reason = detail.get("error") or detail.get("reason")
    return None if reason is None else str(reason)
