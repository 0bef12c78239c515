"""The work of scripts/build-images."""

from __future__ import annotations

import argparse
import re
import sys

from workbench import images
from workbench.console import Steps, guarded, say
from workbench.engine import Engine, ensure_engine
from workbench.packages import CHECKOUT

HELP = """\
Builds an image for each process of a cloud, by the Containerfile, on the container engine of this machine.

The base is the official image of Python. Where no registry answers, one is made of Debian's packages (debootstrap,
as root), so that the Containerfile can be tried anywhere. May be run again: what has not changed is not built anew.
"""

EPILOG = """\
  scripts/build-images                                   zun/zun-api:latest and the others
  scripts/build-images --prefix registry.example.com/zun/ --tag 0.2.0 zun-api zun-compute
  docker push registry.example.com/zun/zun-api:0.2.0

How each is run: docs/how-to/deploy.md. Environment: proxies (https_proxy ...) and PIP_INDEX_URL reach the build.
"""

_PREFIX = re.compile(r"[a-z0-9][a-z0-9._:/-]*")
_TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}")


def parse(argv: list[str]) -> argparse.Namespace:
    """The command line; see HELP."""
    known = images.targets()
    parser = argparse.ArgumentParser(
        prog="build-images",
        description=HELP,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "targets", nargs="*", metavar="PROCESS",
        help=f"which to build (default: all): {', '.join(known)}",
    )  # fmt: skip
    parser.add_argument("--prefix", default="zun/", help="before each name (default: %(default)s)")
    parser.add_argument("--tag", default="latest", help="after each name (default: %(default)s)")
    parser.add_argument("--base", metavar="IMAGE", help="an image with Python 3.11 to build upon")
    parser.add_argument(
        "--mirror", metavar="URL", default=images.MIRROR,
        help="of Debian, for a base made here (default: %(default)s)",
    )  # fmt: skip
    args = parser.parse_args(argv)
    if unknown := sorted(set(args.targets) - set(known)):
        parser.error(f"no such process: {', '.join(unknown)}; there are {', '.join(known)}")
    if args.prefix and not _PREFIX.fullmatch(args.prefix):
        parser.error("--prefix must be lower case, as in registry.example.com/zun/")
    if not _TAG.fullmatch(args.tag):
        parser.error("--tag must be up to 128 letters, digits, dots, dashes and underscores")
    args.targets = args.targets or known
    return args


def main() -> int:
    """Build what is wanted, a line each."""
    args = parse(sys.argv[1:])
    engine = Engine()
    steps = Steps(2 + len(args.targets))
    with steps.step("container engine") as step:
        state = CHECKOUT / ".venv-engine"
        state.mkdir(exist_ok=True)
        ensure_engine(step, engine, state)
        images.ensure_command(step)
    with steps.step("base image") as step:
        base = args.base or images.ensure_base(step, engine, args.mirror)
        if args.base:
            step.done(args.base)
    for target in args.targets:
        with steps.step(target) as step:
            images.build(step, target, base, f"{args.prefix}{target}:{args.tag}")
    say(f"Built in {steps.seconds:.0f} s. How each is run: docs/how-to/deploy.md")
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main))
