"""A service that dies on command: `zun-standalone` with a checkpoint that follows a plan.

The plan is a file in the folder named by the variable ZUN_CRASH_PLAN and is read at every point, so that a process that
runs can be armed. See `tests.crash.victims.Victim` for who writes it and reads what is left.

    plan.json   {"die": POINT, "hits": N}   SIGKILL at the N-th time this point ("*": any) is reached
                {"park": [POINT, ...]}      the first to reach each of these stays there for good
                {}                          nothing
    died        the point it died at
    parked      a line for each point where somebody stays
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
import threading
from pathlib import Path
from typing import Any

from oslo_log import log as oslo_log

from zun.cmd import standalone
from zun.conf import load


class Checkpoints:
    """See the module."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._lock = threading.Lock()
        self._text = ""
        self._plan: dict[str, Any] = {}

    def reached(self, point: str) -> None:
        """What the service calls."""
        with self._lock:
            text = (self._folder / "plan.json").read_text()
            if text != self._text:
                self._text, self._plan = text, json.loads(text)
            if self._plan.get("die") in (point, "*"):
                self._plan["hits"] -= 1
                if self._plan["hits"] == 0:
                    (self._folder / "died").write_text(point)
                    os.kill(os.getpid(), signal.SIGKILL)
            park: list[str] = self._plan.get("park", [])
            if point not in park:
                return
            park.remove(point)
            with (self._folder / "parked").open("a") as file:
                file.write(f"{point}\n")
        threading.Event().wait()


def main() -> int:
    """As `zun.cmd.standalone.main`, without its commands."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--config-file", required=True)
    parser.add_argument("--state-dir", required=True)
    args = parser.parse_args()
    conf = load([args.config_file], overrides={"state_path": args.state_dir}, prog="victim")
    oslo_log.setup(conf, "zun")
    checkpoints = Checkpoints(Path(os.environ["ZUN_CRASH_PLAN"]))
    return standalone.serve(conf, checkpoint=checkpoints.reached)


if __name__ == "__main__":
    sys.exit(main())
