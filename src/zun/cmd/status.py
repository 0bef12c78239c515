"""`zun-status upgrade check`: what stands in the way of an upgrade, or of working at all."""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from importlib.metadata import version

import sqlalchemy as sa
from oslo_config import cfg
from oslo_upgradecheck.upgradecheck import Code, Result, UpgradeCommands
from prometheus_client import CollectorRegistry

from zun import conf as options
from zun.bus import RPC_VERSION
from zun.cmd import arguments, keys
from zun.cmd.arguments import CannotServe
from zun.cmd.credentials import CredentialsError
from zun.cmd.tls import agent_context
from zun.service.presence import LATELY
from zun.store import migrate, operations, processes
from zun.store.database import Database
from zun.store.errors import DatabaseError
from zun.work.clock import utcnow
from zun.work.steps import STEPS

KIND = "zun-status"
_DESCRIPTION = """\
Looks whether this release can work with what is there: database, message queue, identity, configuration, the
processes that run now, and the work that is under way. Run it with the new release before its processes start.

  zun-status --config-file /etc/zun/zun.conf upgrade check

The exit code is 0 where all is well, 1 where something needs a look, 2 where the upgrade has to wait.
"""
#: The key that upstream Zun has by default, known to everybody.
_PUBLISHED_KEY = "notgood but just enough i think"
#: Of upstream's options: credentials to call other services with. Where they are given they are tried.
_OWN_GROUP = "keystone_auth"
#: Seconds that a message queue has to take a message.
_PATIENCE = 10.0

_NO_DATABASE = (DatabaseError, sa.exc.SQLAlchemyError)

Check = Callable[[cfg.ConfigOpts], Result]


def check_database(conf: cfg.ConfigOpts) -> Result:
    """Whether it answers, and its schema is this release's."""
    database = Database(conf.database.connection)
    try:
        wrong, at = migrate.missing(database), migrate.current(database)
    except _NO_DATABASE as exc:
        return Result(Code.FAILURE, f"the database does not answer: {exc}".splitlines()[0])
    finally:
        database.close()
    if wrong:
        return Result(Code.FAILURE, f"{wrong}: run zun-db-manage upgrade, old processes may run on")
    if at != migrate.head():
        return Result(Code.WARNING, f"the schema is at {at}, newer than this release's")
    return Result(Code.SUCCESS)


def check_configuration(conf: cfg.ConfigOpts) -> Result:
    """Whether it is fit for a cloud, and says nothing in vain."""
    wrong, odd = [], []
    if conf.api.auth_strategy == "noauth":
        wrong.append("[api] auth_strategy = noauth makes everybody the administrator")
    elif conf.api.auth_strategy == "http_basic":
        odd.append("[api] auth_strategy = http_basic is for the standalone service")
    if conf.database.connection.startswith("sqlite"):
        odd.append("[database] connection is SQLite, which is for one machine")
    try:
        agent_context(conf)
    except options.ConfigError as exc:
        wrong.append(str(exc))
    except OSError:
        pass  # files that are for the service's eyes, not for whoever asks
    unknown = options.unknown_options(conf, read={_OWN_GROUP})
    odd += [line.partition(": ")[2] for line in unknown]
    return _judged(wrong, odd)


def check_keys(conf: cfg.ConfigOpts) -> Result:
    """Whether the secrets in the database open, with a key that is one."""
    given = list(conf.auth_encryption_key or ())
    if _PUBLISHED_KEY in [key.rstrip("\0") for key in given]:
        return Result(Code.FAILURE, "[DEFAULT] auth_encryption_key is the published default")
    database = Database(conf.database.connection)
    try:
        keys.check(database, keys.load(conf))
    except CredentialsError as exc:
        return Result(Code.FAILURE, str(exc))
    except _NO_DATABASE:
        return Result(Code.WARNING, "the database can't be asked for what is sealed")
    finally:
        database.close()
    odd = [] if given else ["the key is a file of this machine: all of them need the same"]
    return _judged([], odd)


def check_messages(conf: cfg.ConfigOpts) -> Result:
    """Whether the message queue takes a message."""
    from zun.bus.oslo import OsloBus, OsloSettings
    from zun.cmd.separate import messages

    try:
        url = messages(conf)
    except CannotServe as exc:
        return Result(Code.FAILURE, str(exc))
    with tempfile.TemporaryDirectory() as locks:
        made = OsloSettings(url=url, name=KIND, host=conf.host, locks=locks)
        try:
            bus = OsloBus(options.of_libraries(conf), made, CollectorRegistry())
        except ValueError as exc:
            return Result(Code.FAILURE, f"[DEFAULT] transport_url: {exc}")
        bus.publisher.start()
        until = time.monotonic() + _PATIENCE
        while not bus.publisher.connected and time.monotonic() < until:
            time.sleep(0.05)
        failure = bus.publisher.failure
    return (
        Result(Code.FAILURE, f"no message is taken: {failure}") if failure else Result(Code.SUCCESS)
    )


def check_identity(conf: cfg.ConfigOpts) -> Result:
    """Whether the service's own credentials are good, where Keystone is used."""
    if conf.api.auth_strategy != "keystone":
        return Result(Code.SUCCESS, "Keystone is not used")
    from keystoneauth1 import loading
    from keystoneauth1.exceptions import ClientException

    wrong, odd = [], []
    for group in ("keystone_authtoken", _OWN_GROUP):
        read = options.of_libraries(conf)
        loading.register_auth_conf_options(read, group)
        loading.register_session_conf_options(read, group)
        try:
            auth = loading.load_auth_from_conf_options(read, group)
            session = loading.load_session_from_conf_options(read, group, auth=auth)
            if auth is None and group == _OWN_GROUP:
                continue  # no process needs it
            if auth is None:
                odd.append(f"[{group}] has no auth_type")
            elif session.get_endpoint(service_type="container", interface="public") is None:
                odd.append("the catalogue has no endpoint of type container")
        except ClientException as exc:
            wrong.append(f"[{group}]: {type(exc).__name__}: {exc}")
    return _judged(wrong, sorted(set(odd)))


def check_processes(conf: cfg.ConfigOpts) -> Result:
    """Whether those that run can speak with this release."""
    database = Database(conf.database.connection)
    try:
        with database.read() as conn:
            running = processes.since(conn, utcnow() - LATELY)
    except _NO_DATABASE:
        return Result(Code.WARNING, "the database can't be asked which processes run")
    finally:
        database.close()
    mine = version("zun-successor")
    wrong = [
        f"{each.name} speaks version {each.rpc} of the protocol between processes, this release {RPC_VERSION}"
        for each in running
        if each.rpc.partition(".")[0] != RPC_VERSION.partition(".")[0]
    ]
    odd = [f"{each.name} is release {each.version}" for each in running if each.version != mine]
    return _judged(wrong, odd)


def check_steps(conf: cfg.ConfigOpts) -> Result:
    """Whether this release knows every step of the work under way."""
    database = Database(conf.database.connection)
    try:
        with database.read() as conn:
            unknown = sorted(operations.open_steps(conn) - STEPS.keys())
    except _NO_DATABASE:
        return Result(Code.WARNING, "the database can't be asked for the work under way")
    finally:
        database.close()
    if unknown:
        named = ", ".join(unknown)
        return Result(
            Code.FAILURE,
            f"open operations have steps that this release does not know ({named}): let the other release end them",
        )
    return Result(Code.SUCCESS)


#: Title -> check, in the order in which an operator would go about it.
CHECKS: tuple[tuple[str, Check], ...] = (
    ("Configuration", check_configuration),
    ("Database", check_database),
    ("Keys of secrets", check_keys),
    ("Message queue", check_messages),
    ("Identity", check_identity),
    ("Processes that run", check_processes),
    ("Work under way", check_steps),
)


def _judged(wrong: Sequence[str], odd: Sequence[str]) -> Result:
    if wrong or odd:
        return Result(Code.FAILURE if wrong else Code.WARNING, "; ".join([*wrong, *odd]))
    return Result(Code.SUCCESS)


class _Checks(UpgradeCommands):
    """The library's table and exit code, with our checks of one configuration."""

    def __init__(self, conf: cfg.ConfigOpts) -> None:
        self._upgrade_checks = tuple(
            (title, lambda _self, check=check: check(conf)) for title, check in CHECKS
        )


def main(argv: Sequence[str] | None = None) -> int:
    """The command; the exit code is the gravest of all checks."""
    parser = arguments.parser(KIND, _DESCRIPTION)
    commands = parser.add_subparsers(dest="category", metavar="upgrade", required=True)
    upgrade = commands.add_parser("upgrade", help="about changing releases")
    upgrade.add_argument("command", choices=["check"], help="see above")
    args = parser.parse_args(argv)
    try:
        return int(_Checks(arguments.configured(args, KIND)).check())
    except arguments.EXPECTED as exc:
        return arguments.failed(KIND, exc)


if __name__ == "__main__":
    sys.exit(main())
