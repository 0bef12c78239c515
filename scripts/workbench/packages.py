"""What has to be installed: Debian packages and the virtual environment."""

from __future__ import annotations

import hashlib
import importlib.util
import json
import os
import shutil
import sys
from collections.abc import Collection, Iterable
from pathlib import Path

from workbench.console import Step, Trouble, run

CHECKOUT = Path(__file__).resolve().parents[2]
_STAMP = ".zun-installed.json"


def is_root() -> bool:
    """Whether this process may install packages and start an engine."""
    return os.geteuid() == 0


def apt_install(step: Step, packages: Iterable[str], why: str) -> list[str]:
    """Install Debian packages; the names that were given. Raises Trouble where that is impossible."""
    names = list(packages)
    listed = " ".join(names)
    by_hand = f"install {listed} (Debian, Ubuntu: apt-get install {listed}) and run this again"
    if shutil.which("apt-get") is None:
        raise Trouble(f"{why}, and this system has no apt-get", by_hand)
    if not is_root():
        raise Trouble(
            f"{why}, and installing it needs root", f"as root, {by_hand}; or run this as root"
        )
    step.doing(f"installing {listed}")
    env = {"DEBIAN_FRONTEND": "noninteractive"}
    install = ["apt-get", "install", "-y", "-q", "--no-install-recommends", *names]
    try:
        run(install, what=f"installing {listed}", env=env)
    except Trouble:  # most often: package lists that are missing or old
        run(
            ["apt-get", "update", "-q"],
            what="reading the package lists",
            way_out="check the network",
            env=env,
        )
        run(install, what=f"installing {listed}", way_out=by_hand, env=env)
    return names


def ensure_venv(step: Step, directory: Path, extras: Collection[str]) -> None:
    """Make `directory` a virtual environment with the project (editable) and `extras` in it.

    Does nothing where it holds that already, for the same pyproject.toml, constraints.txt and Python.
    Raises Trouble.
    """
    wanted = _fingerprint()
    stamp = directory / _STAMP
    have = _read_stamp(stamp)
    works = have.get("of") == wanted and _answers(directory)
    if works and set(extras) <= set(have.get("extras", ())):
        step.done(f"already up to date in {_short(directory)}")
        return
    if not os.access(CHECKOUT / "src", os.W_OK):
        raise Trouble(f"no permission to write in {CHECKOUT}", "use a clone that belongs to you")
    if not _answers(directory):
        _make(step, directory)
        have = {}
    everything = sorted({*extras, *have.get("extras", ())})
    step.doing(f"installing the project with pinned dependencies ({', '.join(everything)})")
    stamp.unlink(missing_ok=True)
    project = f"{CHECKOUT}[{','.join(everything)}]"
    run(
        [directory / "bin/python", "-m", "pip", "install", "--quiet", "--disable-pip-version-check",
         "--constraint", CHECKOUT / "constraints.txt", "--editable", project],
        what="installing the project",
        way_out="check that pip reaches its package index (https_proxy, PIP_INDEX_URL), then run this again",
    )  # fmt: skip
    stamp.write_text(json.dumps({"of": wanted, "extras": everything}) + "\n")
    step.done(f"installed in {_short(directory)}")


def _make(step: Step, directory: Path) -> None:
    """Make an empty virtual environment, with Debian's package for it where that is missing."""
    if importlib.util.find_spec("ensurepip") is None:
        name = f"python{sys.version_info.major}.{sys.version_info.minor}-venv"
        apt_install(step, [name], "this Python can't make virtual environments")
        importlib.invalidate_caches()
    step.doing("making a virtual environment")
    try:
        # A process of its own: this one may not see a module that was just installed.
        run(
            [sys.executable, "-m", "venv", "--clear", directory],
            what="making a virtual environment",
        )
    except OSError as error:
        raise Trouble(f"making {directory} failed: {error}") from error


def _fingerprint() -> str:
    digest = hashlib.sha256(sys.version.encode())
    for name in ("pyproject.toml", "constraints.txt"):
        digest.update((CHECKOUT / name).read_bytes())
    digest.update(str(CHECKOUT).encode())
    return digest.hexdigest()


def _read_stamp(stamp: Path) -> dict[str, object]:
    try:
        read = json.loads(stamp.read_text())
    except (OSError, ValueError):
        return {}
    return read if isinstance(read, dict) else {}


def _answers(directory: Path) -> bool:
    """Whether the environment's Python still runs (its interpreter may have gone)."""
    try:
        run([directory / "bin/python", "-c", "import pip"], what="asking the environment")
    except Trouble:
        return False
    return True


def _short(path: Path) -> str:
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
