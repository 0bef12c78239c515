"""The benchmarks can be started: nothing else imports all of them."""

from __future__ import annotations

import subprocess
import sys


def test_the_benchmarks_say_what_they_are() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "bench", "--help"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "placements" in done.stdout
