"""Where the last release is looked for: a test that silently found none would prove nothing."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from tests.support import releases


def git(root: Path, *words: str) -> str:
    """What git says."""
    who = ["-c", "user.name=t", "-c", "user.email=t@example.com", "-c", "commit.gpgsign=false"]
    done = subprocess.run(
        ["git", *who, "-C", str(root), *words], capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


@pytest.fixture
def history(tmp_path: Path) -> Path:
    """A repository with two releases, and a commit after each."""
    git(tmp_path, "init", "--quiet")
    for subject in ("Begin", "Release 0.1.0", "More", "Release 0.2.0", "Release notes are read"):
        git(tmp_path, "commit", "--quiet", "--allow-empty", "-m", subject)
    return tmp_path


def test_by_subject_where_tags_were_lost(history: Path) -> None:
    assert releases.find(history) == git(history, "rev-parse", "HEAD~1")


def test_of_a_release_it_is_the_one_before(history: Path) -> None:
    git(history, "reset", "--quiet", "--hard", "HEAD~1")
    assert releases.find(history) == git(history, "rev-parse", "HEAD~2")
    for tag, commit in (("0.1.0", "HEAD~2"), ("0.2.0", "HEAD"), ("nightly", "HEAD~1")):
        git(history, "tag", tag, commit)
    assert releases.find(history) == "0.1.0"


def test_history_without_a_release_is_a_failure(history: Path) -> None:
    git(history, "reset", "--quiet", "--hard", "HEAD~3")  # to the first release
    with pytest.raises(pytest.fail.Exception, match="git fetch --tags"):
        releases.find(history)


def test_without_history_there_is_nothing_to_find(tmp_path: Path, history: Path) -> None:
    inside = history / "unpacked"  # of somebody else's repository
    inside.mkdir()
    for root in (inside, Path("/")):
        with pytest.raises(pytest.skip.Exception, match="no git checkout"):
            releases.find(root)
