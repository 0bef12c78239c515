"""From what a look at the engine showed to what the row says. The one place that words a status_reason of its own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zun.drivers.runtime import Facts
from zun.model.container import Container
from zun.model.lifecycle import Observed, Status


def columns(container: Container, status: Status, facts: Facts | None) -> Mapping[str, Any]:
    """The columns to set for a container that is now `status`, given what was seen (None = not looked)."""
    changes: dict[str, Any] = {"status": status}
    if status is not Status.UNKNOWN:
        changes["lost_status"] = None
    if facts is None or facts.observed is Observed.MISSING:
        return changes
    changes["exit_code"] = facts.exit_code
    changes["oom_killed"] = facts.oom_killed
    changes["health"] = facts.health
    changes["started_at"] = facts.started_at
    changes["finished_at"] = facts.finished_at
    if facts.runtime_id:
        changes["container_id"] = facts.runtime_id
    return changes


def reason(container: Container, status: Status, facts: Facts) -> str | None:
    """What is remarkable about how a container was seen, for `status_reason` (contract 3.3).

    None when all is well; that it ended, and with which code, is told by `status_detail`.
    """
    if facts.observed is Observed.MISSING:
        return "The container was removed from the engine by somebody else."
    if status is Status.DEAD:
        return "The engine could not remove the container completely; it can only be deleted."
    if facts.error:
        return facts.error[:500]
    if status is Status.STOPPED and _ran_its_time(container, facts):
        return f"Stopped: its max_run_time of {container.max_run_time} seconds was over."
    if facts.oom_killed:
        return (
            f"Killed by the kernel for want of memory (limit {container.memory} MiB), "
            f"exit code {facts.exit_code}."
        )
    if status is Status.RESTARTING:
        return f"The engine restarts it: exited with code {facts.exit_code}."
    if facts.health == "unhealthy":
        return "The health check fails."
    return None


def _ran_its_time(container: Container, facts: Facts) -> bool:
    if container.max_run_time is None or facts.started_at is None or facts.finished_at is None:
        return False
    ran = (facts.finished_at - facts.started_at).total_seconds()
    return ran >= container.max_run_time


def differs(container: Container, changes: Mapping[str, Any]) -> bool:
    """Whether setting these columns would change the row."""
    return any(getattr(container, key) != value for key, value in changes.items())
