"""The work of ./run-tests."""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

from workbench import engine as engines
from workbench import keystone, mariadb, postgresql, rabbitmq
from workbench.console import Steps, Trouble, guarded, paint, say
from workbench.engine import Engine
from workbench.hosts import missing_tools
from workbench.packages import CHECKOUT, apt_install, ensure_venv

FAST = ["tests/unit", "tests/api"]
#: One file after the other on each core. Each process of pytest starts a server of each database for itself.
SIDE_BY_SIDE = ["--numprocesses=auto", "--maxprocesses=4", "--dist=loadfile"]

#: Commands that tests run, and Debian's packages with them.
PACKAGES = {
    "docker-registry": "docker-registry",
    "chromium": "chromium",
    "chromedriver": "chromium-driver",
}

HELP = """\
Installs what the tests need, then runs every check and every test; ends with 0 if all pass.

Needs root where packages have to be installed or a container engine has to be started: Debian's
docker.io (only if no engine answers), busybox-static and docker-registry, for real images and a
real registry on loopback, chromium and chromium-driver for the console page; mariadb-server and
postgresql, of which the tests start private servers, and libmariadb-dev with a compiler, for
MariaDB's driver and uWSGI; rabbitmq-server, and a Keystone from PyPI in .venv-keystone.
"""

EPILOG = """\
Other arguments go to pytest:  ./run-tests tests/unit -k lifecycle -x
Chaos by hand:                 ./run-tests --chaos 60; again with the same blows: --chaos 60 --seed 4711
"""


def parse(argv: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """Our arguments, and pytest's."""
    parser = argparse.ArgumentParser(
        prog="run-tests",
        usage="run-tests [-h] [--fast] [--no-checks] [--no-install] [--venv DIR] "
        "[--chaos MINUTES [--seed N]] [pytest's arguments]",
        description=HELP,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--fast", action="store_true", help=f"only {' and '.join(FAST)}, no engine")
    parser.add_argument("--no-checks", action="store_true", help="only pytest: no ruff, mypy, docs")
    parser.add_argument("--no-install", action="store_true", help="use what is there as it is")
    parser.add_argument(
        "--venv", type=Path, default=CHECKOUT / ".venv", metavar="DIR",
        help="the virtual environment (default: .venv in the checkout)",
    )  # fmt: skip
    parser.add_argument(
        "--chaos", type=float, metavar="MINUTES",
        help="only tests/chaos, for so long: parts of a cluster fail while clients work (in CI: 2)",
    )  # fmt: skip
    parser.add_argument("--seed", type=int, metavar="N", help="of the chaos; it says which it took")
    args, rest = parser.parse_known_args(argv)
    if args.chaos is not None:
        args.no_checks = True
        rest = ["tests/chaos", "-s", *rest]
    args.venv = args.venv.expanduser().absolute()
    return args, rest


def prepare(args: argparse.Namespace) -> None:
    """Install what is missing; start an engine if none answers. Raises Trouble."""
    steps = Steps(4 if args.fast else 8)
    with steps.step("MariaDB") as step:
        mariadb.ensure_installed(step)
    with steps.step("what its driver and uWSGI are built with") as step:
        mariadb.ensure_client_builds(step)
    with steps.step("PostgreSQL") as step:
        postgresql.ensure_installed(step)
    with steps.step("virtual environment") as step:
        ensure_venv(step, args.venv, ["client", "mysql", "postgresql", "test"])
    if args.fast:
        return
    with steps.step("RabbitMQ") as step:
        rabbitmq.ensure_installed(step)
    with steps.step("Keystone") as step:
        keystone.ensure_installed(step)
    with steps.step("container engine") as step:
        state = CHECKOUT / ".venv-engine"
        state.mkdir(exist_ok=True)
        engines.ensure_engine(step, Engine(), state)
    with steps.step(
        "busybox-static, docker-registry, chromium, and what hosts of a cluster need"
    ) as step:
        absent = {package for command, package in PACKAGES.items() if not shutil.which(command)}
        missing = sorted(absent | set(missing_tools().values()))
        if engines.find_busybox() is None:
            missing.append("busybox-static")
        if missing:
            apt_install(step, missing, f"{' and '.join(missing)} not installed")
        step.done(f"installed {' '.join(missing)}" if missing else "already there")


def checks(args: argparse.Namespace, pytest: list[str]) -> dict[str, list[str]]:
    """What to run: label -> command, pytest last."""
    bin_dir = args.venv / "bin"
    python = str(bin_dir / "python")
    static = {
        "ruff check": [str(bin_dir / "ruff"), "check", "."],
        "ruff format": [str(bin_dir / "ruff"), "format", "--check", "."],
        "mypy": [str(bin_dir / "mypy")],
        "generated docs": [python, "-m", "zun.cmd.generate_docs", "--check"],
    }
    runs = tests(args, [python, "-m", "pytest"], pytest)
    return runs if args.no_checks else {**static, **runs}


def tests(args: argparse.Namespace, command: list[str], given: list[str]) -> dict[str, list[str]]:
    """Runs of pytest: label -> command. Without arguments for it, those that share nothing run side by side."""
    if given:
        return {"pytest": [*command, *(FAST if args.fast else []), *given]}
    fast = {"fast tests": [*command, *SIDE_BY_SIDE, *FAST]}
    others = [f"--ignore={directory}" for directory in FAST]
    return fast if args.fast else {**fast, "other tests": [*command, *others]}


def main() -> int:
    """Prepare, run, sum up."""
    args, rest = parse(sys.argv[1:])
    if not args.no_install:
        prepare(args)
    elif not (args.venv / "bin/python").exists():
        raise Trouble(f"there is no environment in {args.venv}", "run without --no-install once")
    results: list[tuple[str, int, float]] = []
    environment = {**os.environ, "PATH": f"{args.venv / 'bin'}:{os.environ.get('PATH', '')}"}
    for name, value in (("ZUN_CHAOS_MINUTES", args.chaos), ("ZUN_CHAOS_SEED", args.seed)):
        if value is not None:
            environment[name] = str(value)
    for label, command in checks(args, rest).items():
        say(paint(f"== {label}", "bold"))
        since = time.monotonic()
        code = subprocess.run(command, cwd=CHECKOUT, env=environment).returncode
        results.append((label, code, time.monotonic() - since))
    for label, code, seconds in results:
        verdict = paint("passed", "green") if code == 0 else paint(f"failed ({code})", "red")
        say(f"{label:<15} {verdict} in {seconds:.1f} s")
    return 1 if any(code for _, code, _ in results) else 0


if __name__ == "__main__":
    sys.exit(guarded(main))
