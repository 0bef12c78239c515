"""`zun-db-manage`: the database's schema, and the secrets in it."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence

from oslo_config import cfg

from zun.cmd import keys
from zun.cmd.credentials import CredentialsError
from zun.conf import ConfigError, load
from zun.store import migrate
from zun.store.database import Database

_DESCRIPTION = """\
Looks after the database named by [database] connection.

  upgrade         bring the schema to the newest revision
  version         print where the schema is
  rotate-secrets  seal every registry password with the newest encryption key: the first line of
                  auth_encryption_key in the state directory (or the first [DEFAULT]
                  auth_encryption_key). Restart the services with both keys first, run this, then
                  take the old key away and restart again.
"""


def main(argv: Sequence[str] | None = None) -> int:
    """The command; 0, or 1 with the cause on stderr."""
    args = _parser().parse_args(argv)
    try:
        overrides = {"state_path": args.state_dir} if args.state_dir else {}
        conf = load(args.config_file or None, overrides=overrides, prog="zun-db-manage")
        database = Database(conf.database.connection)
        print(_COMMANDS[args.command](conf, database))
        database.close()
    except (ConfigError, CredentialsError) as exc:
        print(f"zun-db-manage: {exc}", file=sys.stderr)
        return 1
    return 0


def _upgrade(conf: cfg.ConfigOpts, database: Database) -> str:
    migrate.upgrade(database)
    return _version(conf, database)


def _version(_conf: cfg.ConfigOpts, database: Database) -> str:
    return f"{migrate.current(database) or 'empty'} (newest: {migrate.head()})"


def _rotate(conf: cfg.ConfigOpts, database: Database) -> str:
    done, there = keys.rotate(database, keys.load(conf))
    return f"{done} of {there} registry passwords were sealed anew with the newest key"


_COMMANDS: dict[str, Callable[[cfg.ConfigOpts, Database], str]] = {
    "upgrade": _upgrade,
    "version": _version,
    "rotate-secrets": _rotate,
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="zun-db-manage",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config-file", action="append", metavar="FILE", help="configuration file")
    parser.add_argument(
        "--state-dir", metavar="DIR",
        help="where the database and the encryption keys are (default: [DEFAULT] state_path)",
    )  # fmt: skip
    parser.add_argument("command", choices=list(_COMMANDS), help="see above")
    return parser


if __name__ == "__main__":
    sys.exit(main())
