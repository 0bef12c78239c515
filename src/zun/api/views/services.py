"""The service object (contract 8)."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from zun.model.host import Service


def _time(moment: datetime | None) -> str | None:
    return None if moment is None else moment.isoformat(timespec="microseconds")


def service(row: Service, *, up: bool, default_zone: str) -> dict[str, Any]:
    """A service; it has no uuid."""
    return {
        "id": row.id,
        "host": row.host,
        "binary": row.binary,
        "state": "up" if up else "down",
        "disabled": row.disabled,
        "disabled_reason": row.disabled_reason,
        "forced_down": row.forced_down,
        "last_seen_up": _time(row.last_seen_up),
        "report_count": row.report_count,
        "availability_zone": row.availability_zone or default_zone,
        "created_at": _time(row.created_at),
        "updated_at": _time(row.updated_at),
    }


def switched(row: Service) -> dict[str, Any]:
    """As enable and disable answer."""
    return {
        "service": {
            "host": row.host,
            "binary": row.binary,
            "disabled": row.disabled,
            "disabled_reason": row.disabled_reason,
        }
    }


def forced(row: Service) -> dict[str, Any]:
    """As force_down answers."""
    return {"service": {"host": row.host, "binary": row.binary, "forced_down": row.forced_down}}
