"""Images of this project's processes, built by the Containerfile on the engine of this machine."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from pathlib import Path

from workbench.console import Step, Trouble, run
from workbench.engine import Engine
from workbench.packages import CHECKOUT, apt_install, is_root

CONTAINERFILE = CHECKOUT / "Containerfile"
#: What the Containerfile builds upon by itself, and what stands in for it where no registry answers.
REPOSITORY, TAG = "docker.io/library/python", "3.11-slim-bookworm"
STAND_IN = "zun-build/python:3.11-bookworm"
_PULL_SECONDS = 120.0
MIRROR = "http://deb.debian.org/debian"
_SUITE = "bookworm"
_PACKAGES = "python3,python3-venv,python3-dev,python-is-python3,ca-certificates"
_AUTHORITIES = Path("etc/ssl/certs/ca-certificates.crt")
#: Of our environment, what a build has to know, too.
_HANDED_ON = ("http_proxy", "https_proxy", "no_proxy", "PIP_INDEX_URL")


def targets() -> list[str]:
    """The processes that the Containerfile has an image for."""
    return re.findall(r"^FROM base AS (\S+)$", CONTAINERFILE.read_text(), re.MULTILINE)


def ensure_command(step: Step) -> None:
    """See that there is a docker command. Raises Trouble."""
    if shutil.which("docker") is None:
        apt_install(step, ["docker.io"], "images are built by the docker command")


def ensure_base(step: Step, engine: Engine, mirror: str = MIRROR) -> str:
    """The name of a base image that the engine has: found, pulled, or made of Debian's packages.

    Raises Trouble.
    """
    name = f"{REPOSITORY}:{TAG}"
    if engine.has_image(name):
        step.done(f"{name} is already there")
        return name
    step.doing(f"pulling {name}")
    why = engine.pull(REPOSITORY, _PULL_SECONDS, TAG)
    if why is None:
        step.done(f"{name} pulled from its registry")
        return name
    if engine.has_image(STAND_IN):
        step.done(f"no registry answers; {STAND_IN} is already there")
        return STAND_IN
    _make_base(step, mirror, why)
    step.done(f"no registry answers, so {STAND_IN} was made of Debian's packages")
    return STAND_IN


def _make_base(step: Step, mirror: str, why: str) -> None:
    if not is_root():
        raise Trouble(
            f"{REPOSITORY}:{TAG} can't be pulled ({why}), and making a base image needs root",
            "run this as root, or name an image with Python 3.11 by --base",
        )
    if shutil.which("debootstrap") is None:
        needed = ["debootstrap", "debian-archive-keyring"]
        apt_install(step, needed, f"{REPOSITORY}:{TAG} can't be pulled ({why})")
    with tempfile.TemporaryDirectory(prefix="zun-base-") as folder:
        tree, packed = Path(folder, "tree"), Path(folder, "tree.tar")
        step.doing(f"no registry answers: making a base image of Debian's packages, from {mirror}")
        run(
            ["debootstrap", "--variant=minbase", f"--include={_PACKAGES}", _SUITE, tree, mirror],
            what="making a Debian in a folder",
            way_out="check that the mirror answers; --mirror names another",
        )
        # Where a proxy between here and the package index has a certificate of its own, we know it.
        if Path("/", _AUTHORITIES).exists():
            shutil.copyfile(Path("/", _AUTHORITIES), tree / _AUTHORITIES)
        shutil.rmtree(tree / "var/cache/apt/archives", ignore_errors=True)
        step.doing("giving it to the engine")
        run(["tar", "-C", tree, "-cf", packed, "."], what="packing the base image")
        run(["docker", "import", packed, STAND_IN], what="importing the base image")


def build(step: Step, target: str, base: str, name: str) -> None:
    """Build the image of a process as `name`, upon `base`. Raises Trouble with the end of what the build said."""
    step.doing(f"building {name}")
    handed = [word for key in _HANDED_ON if os.environ.get(key) for word in ("--build-arg", key)]
    run(
        ["docker", "build", "--network", "host", "--file", CONTAINERFILE, "--target", target,
         "--build-arg", f"PYTHON={base}", *handed, "--tag", name, CHECKOUT],
        what=f"building the image of {target}",
        way_out="check that the build reaches Debian's mirrors and pip's index (https_proxy, PIP_INDEX_URL)",
    )  # fmt: skip
    step.done(f"built {name}")
