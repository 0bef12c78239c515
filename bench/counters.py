"""What a MariaDB server says it did, by its own status counters, and the processor time it took for that."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

import sqlalchemy as sa

from bench.load import cpu_ms
from zun.store.database import Database

#: Besides `Questions`, which leaves out the pings of a pool.
_COUNTED = ("Questions", "Com_admin_commands", "Com_select", "Com_insert", "Com_update", "Com_delete",
            "Com_commit", "Com_rollback", "Innodb_row_lock_waits", "Threads_connected")  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """What happened between two readings: counts, seconds, and processors used (1.0 = one core all the time)."""

    counts: dict[str, int]
    seconds: float
    cpu: float

    @property
    def trips(self) -> int:
        """Round trips: statements and pings, but for those that read the counters."""
        return self.counts["Questions"] + self.counts["Com_admin_commands"]


class Counters:
    """Of the server of `db`; `since` says what happened since the reading before."""

    def __init__(self, db: Database) -> None:
        self._db = db
        with db.read() as conn:
            file = str(conn.execute(sa.text("SELECT @@pid_file")).scalar_one())
        self._pid = int(Path(file).read_text())
        self._before = self._read()

    def _read(self) -> tuple[dict[str, int], float, float]:
        with self._db.read() as conn:
            rows = conn.execute(sa.text("SHOW GLOBAL STATUS"))
            found = {name: int(value) for name, value in rows if name in _COUNTED}
        return found, time.monotonic(), cpu_ms(self._pid)

    def since(self) -> Span:
        """What happened since this was last asked."""
        counts, at, cpu = self._read()
        before, began, used = self._before
        self._before = counts, at, cpu
        seconds = at - began
        return Span(
            counts={name: counts[name] - before[name] for name in counts},
            seconds=seconds,
            cpu=(cpu - used) / 1000 / seconds,
        )
