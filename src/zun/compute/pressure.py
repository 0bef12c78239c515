"""How much this machine waits for its disks."""

from __future__ import annotations

import os
import re
from pathlib import Path

PRESSURE = Path("/proc/pressure/io")
_SOME = re.compile(r"^some .*\bavg60=(?P<share>[0-9.]+)", re.MULTILINE)


def io_load(file: Path = PRESSURE) -> float:
    """The share of the last minute in which something waited for a disk, 0..1.

    From the kernel's pressure figures; where it has none, the load over the CPUs, which counts such waits too.
    """
    try:
        found = _SOME.search(file.read_text())
        if found:
            return min(float(found["share"]) / 100, 1.0)
    except OSError:
        pass
    return min(os.getloadavg()[0] / (os.cpu_count() or 1), 1.0)
