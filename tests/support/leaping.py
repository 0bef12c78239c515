"""`zun-standalone` whose monotonic clock leaps by ten minutes at each SIGUSR1: for everything that times something out.

It says so on its standard output. The time of day is left alone.
"""

from __future__ import annotations

import signal
import sys
import time

LEAP = 600.0

_monotonic = time.monotonic
_leapt = 0.0


def _leaping() -> float:
    return _monotonic() + _leapt


def _leap(*_: object) -> None:
    global _leapt
    _leapt += LEAP
    print(f"leapt {_leapt:.0f}", flush=True)


if __name__ == "__main__":
    time.monotonic = _leaping  # before anything of the service is imported
    signal.signal(signal.SIGUSR1, _leap)
    from zun.cmd.standalone import main

    sys.exit(main())
