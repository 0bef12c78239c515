"""The processes a service is made of."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Process:
    """One row of `processes`: a process that runs, or ran lately. `version` of the release, `rpc` of the protocol."""

    name: str
    binary: str
    host: str
    version: str
    rpc: str
    started_at: datetime
    seen_at: datetime
