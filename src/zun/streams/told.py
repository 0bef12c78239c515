"""An event as it is told: in the form of server-sent events, made once for all who get it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson

from zun.model.operation import Event, EventKind

#: What of an event only those may see who may see why a step failed: errors of steps, names of hosts.
_PRIVATE = frozenset({EventKind.STEP_FAILED, EventKind.TAKEN_BACK})


@dataclass(slots=True)
class Told:
    """One event, and its bytes on the wire once somebody wanted them."""

    event: Event
    _wires: dict[bool, bytes] = field(default_factory=dict)

    @property
    def status(self) -> str | None:
        """The status it says the container has from then on; None if it says nothing of it."""
        found = (self.event.detail or {}).get("status")
        return None if found is None else str(found)

    def wire(self, *, reasons: bool) -> bytes:
        """As server-sent event; `reasons`: with why steps failed, and where."""
        full = reasons or self.event.kind not in _PRIVATE
        wire = self._wires.get(full)
        if wire is None:
            wire = self._wires[full] = _wire(self.event, full)
        return wire


def _wire(event: Event, full: bool) -> bytes:
    data: dict[str, Any] = {
        "id": event.id,
        "kind": event.kind,
        "container_uuid": event.container_uuid,
        "project_id": event.project_id,
        "operation_uuid": event.operation_uuid,
        "step": event.step,
        "detail": event.detail if full else None,
        "created_at": str(event.created_at),
    }
    return b"id: %d\nevent: %s\ndata: %s\n\n" % (
        event.id,
        event.kind.encode(),
        orjson.dumps(data),
    )


def cursor_wire(position: int) -> bytes:
    """Has a client remember `position` as its last event, without an event."""
    return b"retry: 1000\nid: %d\n\n" % position


ALIVE = b": alive\n\n"
END = b": the service stops; come again\n\n"
