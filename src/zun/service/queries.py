"""What a caller may ask of collections and of a host; plain values between the API and the use cases."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class ListQuery:
    """One page of a collection (contract 2.0, Pagination).

    `limit` is 1 or more and already capped; `marker` is the uuid of the last item seen. `filters` maps a column of
    `model.container.FILTERS` to its exact value, already of the column's type.
    """

    limit: int
    marker: str | None = None
    sort_key: str = "id"
    descending: bool = False
    filters: Mapping[str, Any] = field(default_factory=dict)
    all_projects: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class LogQuery:
    """Which part of the log: `tail` lines from the end (None = all), `since` in seconds of the epoch."""

    stdout: bool = True
    stderr: bool = True
    timestamps: bool = False
    tail: int | None = None
    since: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ExecAnswer:
    """What a command gave; output decoded from UTF-8, undecodable bytes replaced."""

    output: str
    exit_code: int
    stdout: str
    stderr: str

    @classmethod
    def of(cls, answer: Mapping[str, Any]) -> ExecAnswer:
        """From what the host answers; bytes that are no text are replaced."""
        texts = {
            name: answer[name].decode("utf-8", "replace") for name in ("output", "stdout", "stderr")
        }
        return cls(exit_code=answer["exit_code"], **texts)


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """What a container uses now: `cpu` in CPUs, the rest in bytes, the last four since it was started."""

    cpu: float
    memory: int
    memory_limit: int
    received: int
    sent: int
    read: int
    written: int


@dataclass(frozen=True, slots=True, kw_only=True)
class ArchiveStat:
    """What the path of an archive is (contract 6); `mtime` in RFC 3339, `mode` as the engine counts it."""

    name: str
    size: int
    mode: int
    mtime: str
    link_target: str
