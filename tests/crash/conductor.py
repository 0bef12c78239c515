"""A conductor that kills itself when it comes to a point: `python -m tests.crash.conductor URL POINT`.

It prints a line once it works. Without a point it works until it is told to end. What it watches for and how soon is as
in `tests.crash.movers`.
"""

from __future__ import annotations

import os
import signal
import sys
import threading
from dataclasses import replace

from prometheus_client import CollectorRegistry
from tests.support.house import quick_settings

from zun.bus.local import LocalBus
from zun.cmd import wiring
from zun.conductor.watch import WatchSettings
from zun.store.database import Database
from zun.work.metrics import WorkMetrics


def settings() -> wiring.Settings:
    """Hosts are given up as soon as they have been out of touch for what they themselves ask for, and ten seconds."""
    quick = quick_settings()
    watch = WatchSettings(round=0.1, recreate_after=1.0, margin=10.0)
    return replace(quick, conductor=replace(quick.conductor, watch=watch))


def main(url: str, point: str) -> int:
    """Works until it is killed, by itself or another."""

    def checkpoint(name: str) -> None:
        if name.startswith(point):
            print(f"died at {name}", flush=True)
            os.kill(os.getpid(), signal.SIGKILL)

    ground = wiring.Ground(
        db=Database(url), bus=LocalBus(), settings=settings(), checkpoint=checkpoint
    )
    metrics = WorkMetrics(CollectorRegistry())
    wiring.build_conductor(ground, "victim", metrics=metrics).start()
    print("works", flush=True)
    threading.Event().wait()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2]))
