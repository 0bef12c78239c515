"""The time, in the form the database keeps it."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime

Clock = Callable[[], datetime]
"""Gives the time now: naive, UTC."""


def utcnow() -> datetime:
    """The time now: naive, UTC."""
    return datetime.now(UTC).replace(tzinfo=None)
