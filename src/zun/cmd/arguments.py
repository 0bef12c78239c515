"""What all commands of ours have in common: their arguments, reading the configuration, and how they fail."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version

from oslo_config import cfg
from oslo_log import log as oslo_log

from zun.cmd.credentials import CredentialsError
from zun.conf import ConfigError, load


class CannotServe(Exception):
    """The process can't begin: what is wrong, and the way out."""


#: What ends a command with a line for the operator instead of a traceback.
EXPECTED = (ConfigError, CannotServe, CredentialsError, OSError)

_FILES = """\
Without --config-file, /etc/zun/zun.conf, /etc/zun/zun.conf.d/*.conf and ~/.zun/zun.conf are read where they
exist; a variable OS_<GROUP>__<OPTION> in the environment wins over files. All options with their meaning:
docs/reference/configuration.md and etc/zun.conf.sample.
"""


def parser(prog: str, description: str) -> argparse.ArgumentParser:
    """A parser with `--version`, `--config-file` and `--state-dir`."""
    made = argparse.ArgumentParser(
        prog=prog,
        description=description,
        epilog=_FILES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    made.add_argument("--version", action="version", version=version("zun-successor"))
    made.add_argument(
        "--config-file", action="append", metavar="FILE",
        help="configuration file; may be given several times, later ones win",
    )  # fmt: skip
    made.add_argument(
        "--state-dir", metavar="DIR",
        help="directory of what this process keeps on disk (default: [DEFAULT] state_path)",
    )  # fmt: skip
    return made


def configured(args: argparse.Namespace, prog: str) -> cfg.ConfigOpts:
    """The configuration that `args` name. Raises ConfigError."""
    overrides = {"state_path": args.state_dir} if args.state_dir else {}
    return load(args.config_file or None, overrides=overrides, prog=prog)


def start_logging(conf: cfg.ConfigOpts) -> None:
    """As the options of oslo.log say."""
    oslo_log.setup(conf, "zun")
    # It warns of every request that waits for a thread, which is what its queue is for.
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)


def run(
    prog: str,
    description: str,
    serve: Callable[[cfg.ConfigOpts], int],
    argv: Sequence[str] | None,
) -> int:
    """A command without commands of its own: its exit code, 1 with the cause on stderr where it can't begin."""
    args = parser(prog, description).parse_args(argv)
    try:
        conf = configured(args, prog)
        start_logging(conf)
        return serve(conf)
    except EXPECTED as exc:
        return failed(prog, exc)


def failed(prog: str, error: Exception) -> int:
    """Says why a command can't go on; its exit code."""
    print(f"{prog}: {error}", file=sys.stderr)
    return 1
