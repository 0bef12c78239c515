"""`zun-db-manage`: the database's schema, its history, and the secrets in it."""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta

from oslo_config import cfg

from zun.cmd import keys
from zun.cmd.arguments import CannotServe
from zun.cmd.credentials import CredentialsError
from zun.cmd.database import connect
from zun.conf import ConfigError, load
from zun.store import history, inspection, migrate
from zun.store.database import Database
from zun.store.errors import DatabaseError
from zun.work.clock import utcnow

_DESCRIPTION = """\
Looks after the database named by [database] connection. `zun-db-manage COMMAND --help` tells more of each.
"""

_UPGRADE = """\
Brings the schema to the newest revision, from empty or from any earlier one; does nothing where it is there.

Safe while services of the release before run: revisions only add. Run it before services of the new release start.
Two at once are one. MariaDB can't undo a revision that failed half way: take a backup before.
"""

_CHECK = """\
Says whether the database is as the service needs it: reachable, schema at the newest revision, text compared by its
bytes, and on MariaDB what of its settings stands in the way. Ends with 1 where something is wrong.
"""

_PURGE = """\
Removes history older than DAYS days: events, operations that ended (what `openstack appcontainer action list` shows),
idempotency keys and spent tokens. Containers, hosts, quotas and operations that are open stay.

Safe while the services run: it goes in batches, each a short transaction, and may be interrupted and run again.
Events are also removed by the conductors by themselves, after 30 days.
"""

_ROTATE = """\
Seals every registry password with the newest encryption key: the first line of auth_encryption_key in the state
directory (or the first [DEFAULT] auth_encryption_key). Restart the services with both keys first, run this, then
take the old key away and restart again.
"""

_SAID_EVERY = 5.0  # seconds


def main(argv: Sequence[str] | None = None) -> int:
    """The command; 0, or 1 with the cause on stderr."""
    args = _parser().parse_args(argv)
    try:
        overrides = {"state_path": args.state_dir} if args.state_dir else {}
        conf = load(args.config_file or None, overrides=overrides, prog="zun-db-manage")
        database = connect(conf)
        try:
            return _COMMANDS[args.command](conf, database, args)
        finally:
            database.close()
    except (ConfigError, CannotServe, CredentialsError, DatabaseError) as exc:
        print(f"zun-db-manage: {exc}", file=sys.stderr)
        return 1


def _upgrade(conf: cfg.ConfigOpts, database: Database, args: argparse.Namespace) -> int:
    migrate.upgrade(database)
    return _version(conf, database, args)


def _version(_conf: cfg.ConfigOpts, database: Database, _args: argparse.Namespace) -> int:
    print(f"{migrate.current(database) or 'empty'} (newest: {migrate.head()})")
    return 0


def _check(_conf: cfg.ConfigOpts, database: Database, _args: argparse.Namespace) -> int:
    found = inspection.problems(database)
    print(inspection.describe(database))
    for problem in found:
        print(f"wrong: {problem}")
    if not found:
        print("nothing is wrong")
    return 1 if found else 0


def _purge(_conf: cfg.ConfigOpts, database: Database, args: argparse.Namespace) -> int:
    before = utcnow() - timedelta(days=args.days)
    for kind in history.KINDS:
        with database.read() as conn:
            there = history.count(conn, kind, before)
        if args.dry_run:
            print(f"{kind}: {there} would be removed")
            continue
        removed = _remove(database, kind, before, args.batch, there)
        print(f"{kind}: {removed} removed")
    return 0


def _remove(database: Database, kind: str, before: datetime, batch: int, there: int) -> int:
    removed, said = 0, time.monotonic()
    while True:
        done = database.run(lambda conn: history.remove(conn, kind, before, batch), twice=True)
        removed += done
        if done < batch:
            return removed
        if time.monotonic() - said > _SAID_EVERY:
            said = time.monotonic()
            print(f"{kind}: {removed} of {there} removed ...", flush=True)


def _rotate(conf: cfg.ConfigOpts, database: Database, _args: argparse.Namespace) -> int:
    done, there = keys.rotate(database, keys.load(conf))
    print(f"{done} of {there} registry passwords were sealed anew with the newest key")
    return 0


_COMMANDS: dict[str, Callable[[cfg.ConfigOpts, Database, argparse.Namespace], int]] = {
    "upgrade": _upgrade,
    "version": _version,
    "check": _check,
    "purge": _purge,
    "rotate-secrets": _rotate,
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="zun-db-manage", description=_DESCRIPTION)
    parser.add_argument("--config-file", action="append", metavar="FILE", help="configuration file")
    parser.add_argument(
        "--state-dir", metavar="DIR",
        help="where the encryption keys are, and the database if it is SQLite (default: [DEFAULT] state_path)",
    )  # fmt: skip
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)

    def add(name: str, short: str, long: str) -> argparse.ArgumentParser:
        return commands.add_parser(
            name, help=short, description=long, formatter_class=argparse.RawDescriptionHelpFormatter
        )

    add("upgrade", "bring the schema to the newest revision", _UPGRADE)
    add(
        "version", "print where the schema is", "Prints the revision of the schema, and the newest."
    )
    add("check", "say whether the database is as the service needs it", _CHECK)
    purge = add("purge", "remove old history", _PURGE)
    purge.add_argument("days", type=_days, metavar="DAYS", help="what is older goes; 1 or more")
    purge.add_argument("--dry-run", action="store_true", help="only count")
    purge.add_argument(
        "--batch",
        type=_batch,
        default=1000,
        metavar="ROWS",
        help="rows a transaction (default: 1000)",
    )
    add("rotate-secrets", "seal registry passwords with the newest key", _ROTATE)
    return parser


def _days(text: str) -> int:
    return _between(text, 1, 36_500)


def _batch(text: str) -> int:
    return _between(text, 1, 10_000)


def _between(text: str, least: int, most: int) -> int:
    number = int(text)
    if not least <= number <= most:
        raise argparse.ArgumentTypeError(f"must be from {least} to {most}")
    return number


if __name__ == "__main__":
    sys.exit(main())
