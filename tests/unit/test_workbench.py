"""What the two commands do around an engine that was killed."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

SCRIPTS = Path(__file__).parents[2] / "scripts"


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(sys, "path", [str(SCRIPTS), *sys.path])
    return importlib.import_module("workbench.engine")


def test_a_number_that_another_process_has_is_forgotten(engine: Any, tmp_path: Path) -> None:
    ours = Path(f"/proc/{os.getpid()}/comm").read_text().strip()
    dead = subprocess.Popen(["true"])
    os.waitid(os.P_PID, dead.pid, os.WEXITED | os.WNOWAIT)  # it has ended, and is not buried
    texts = {"taken": str(os.getpid()), "alive": str(os.getpid()), "unburied": str(dead.pid)}
    texts |= {"gone": "4194305", "odd": "?"}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    names = dict.fromkeys((tmp_path / name for name in texts), "dockerd")
    names[tmp_path / "alive"] = ours
    names[tmp_path / "unburied"] = "true"
    names[tmp_path / "absent"] = "dockerd"
    engine.forget_the_dead(names)
    dead.wait()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["alive", "gone", "odd"]
