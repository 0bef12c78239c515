"""The short human sentence about a container (contract 3.3)."""

from __future__ import annotations

from datetime import datetime

from zun.model.container import Container, Listed
from zun.model.lifecycle import Status

_UNITS = ((86_400, "days"), (3_600, "hours"), (60, "mins"))
_HEALTH = frozenset({"healthy", "unhealthy"})


def age(since: datetime, now: datetime) -> str:
    """The largest unit only: `5 mins`."""
    seconds = max(0, int((now - since).total_seconds()))
    for size, unit in _UNITS:
        if seconds >= size:
            return f"{seconds // size} {unit}"
    return f"{seconds} seconds"


def status_detail(container: Container | Listed, now: datetime) -> str | None:
    """What the runtime would say of it; None while there is nothing to say."""
    status = container.status
    if status is Status.RUNNING or status is Status.PAUSED:
        since = container.started_at
        text = f"Up {age(since, now)}" if since is not None else "Up"
        if status is Status.PAUSED:
            return f"{text} (paused)"
        return f"{text} ({container.health})" if container.health in _HEALTH else text
    if status is Status.STOPPED or status is Status.ERROR:
        return _ended(container, now)
    if status in (Status.CREATED, Status.RESTARTING, Status.DEAD):
        return status.value
    return None


def _ended(container: Container | Listed, now: datetime) -> str | None:
    if container.exit_code is None or container.finished_at is None:
        return None
    text = f"Exited({container.exit_code}) {age(container.finished_at, now)} ago"
    return f"{text} (error)" if container.status is Status.ERROR else text
