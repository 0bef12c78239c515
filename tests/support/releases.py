"""Two releases on one machine: today's tree as it is installed, and the last release, checked out beside it.

The last release runs by today's Python with today's packages: what is tried is our code of two ages, not theirs.
"""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import tarfile
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]
_BIN = Path(sys.executable).parent
_SUBJECT = re.compile(r"Release (\d+\.\d+\.\d+)$")
_TAGS = "[0-9]*.[0-9]*.[0-9]*"
NO_HISTORY = "this tree is no git checkout: where its last release is, nobody knows"
FETCH = (
    "no release is found in the history of this checkout: neither a tag nor a commit with the subject "
    "'Release X.Y.Z'. Fetch them: git fetch --tags --unshallow"
)
_WHO = """
import json, zun
from importlib.metadata import version
from zun.bus import RPC_VERSION
from zun.store import migrate
from zun.work.steps import STEPS
print(json.dumps({"file": zun.__file__, "version": version("zun-successor"), "rpc": RPC_VERSION,
                  "schema": migrate.head(), "steps": sorted(STEPS)}))
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Release:
    """A release that can be run. `source`: the folder its package is in; None = as it is installed."""

    version: str
    source: Path | None = None

    def command(self, program: str) -> list[str]:
        """What starts one of our programs."""
        if self.source is None:
            return [str(_BIN / program)]
        return [sys.executable, "-m", "zun.cmd." + program.removeprefix("zun-").replace("-", "_")]

    @property
    def env(self) -> Mapping[str, str]:
        """What has to be added to the environment."""
        return {} if self.source is None else {"PYTHONPATH": str(self.source)}

    def who(self) -> Mapping[str, Any]:
        """What a Python of this release says of itself: file, version, rpc, schema and steps."""
        said = subprocess.run(
            [sys.executable, "-c", _WHO], env={**os.environ, **self.env},
            cwd="/", capture_output=True, text=True, check=True,
        )  # fmt: skip
        found: Mapping[str, Any] = json.loads(said.stdout)
        return found


def today() -> Release:
    """The tree that the tests are of."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return Release(version=project["version"])


def last(folder: Path, root: Path = ROOT) -> Release:
    """The last release before today's tree, checked out into `folder`.

    Skips the test where there is no history to look in; fails it where there is one without a release.
    """
    commit = find(root)
    packed = _git(root, "archive", "--format=tar", commit, "src", "pyproject.toml")
    assert packed is not None
    with tarfile.open(fileobj=io.BytesIO(packed)) as tar:
        tar.extractall(folder, filter="data")
    project = tomllib.loads((folder / "pyproject.toml").read_text())["project"]
    made = Release(version=project["version"], source=folder / "src")
    # What an installed package says of itself; else it would be today's that answers.
    about = folder / "src" / f"{project['name'].replace('-', '_')}-{made.version}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(
        f"Metadata-Version: 2.1\nName: {project['name']}\nVersion: {made.version}\n"
    )
    return made


def find(root: Path) -> str:
    """The commit of the last release before HEAD: a tag, or where tags were lost, by its subject."""
    top = _git(root, "rev-parse", "--show-toplevel")
    if top is None or Path(top.decode().strip()).resolve() != root.resolve():
        pytest.skip(NO_HISTORY)
    tag = _git(root, "describe", "--tags", "--abbrev=0", "--match", _TAGS, "HEAD~1")
    if tag is not None:
        return tag.decode().strip()
    for line in (_git(root, "log", "--format=%H %s", "HEAD~1") or b"").decode().splitlines():
        commit, _, subject = line.partition(" ")
        if _SUBJECT.fullmatch(subject):
            return commit
    pytest.fail(FETCH, pytrace=False)


def _git(root: Path, *words: Sequence[str] | str) -> bytes | None:
    """What git says; None where it fails, or there is none."""
    # A checkout may belong to another user than root.
    command = ["git", "-c", f"safe.directory={root}", "-C", str(root), *map(str, words)]
    try:
        done = subprocess.run(command, capture_output=True, check=False)
    except FileNotFoundError:
        return None
    return done.stdout if done.returncode == 0 else None
