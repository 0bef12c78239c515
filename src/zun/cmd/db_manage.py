"""`zun-db-manage`: the database's schema."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence

from zun.conf import ConfigError, load
from zun.store import migrate
from zun.store.database import Database


def main(argv: Sequence[str] | None = None) -> int:
    """The command; 0, or 1 with the cause on stderr."""
    parser = argparse.ArgumentParser(
        prog="zun-db-manage",
        description="Looks after the schema of the database named by [database] connection.",
    )
    parser.add_argument("--config-file", action="append", metavar="FILE", help="configuration file")
    parser.add_argument(
        "command",
        choices=["upgrade", "version"],
        help="upgrade: bring the schema to the newest revision; version: print where it is",
    )
    args = parser.parse_args(argv)
    try:
        conf = load(args.config_file or None, prog="zun-db-manage")
    except ConfigError as exc:
        print(f"zun-db-manage: {exc}", file=sys.stderr)
        return 1
    database = Database(conf.database.connection)
    if args.command == "upgrade":
        migrate.upgrade(database)
    print(f"{migrate.current(database) or 'empty'} (newest: {migrate.head()})")
    database.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
