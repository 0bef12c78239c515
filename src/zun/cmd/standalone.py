"""`zun-standalone`: the whole service in one process, on SQLite and the local container engine."""

from __future__ import annotations

import argparse
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from oslo_config import cfg

from zun.api.app import build_app
from zun.api.policies.enforcer import Enforcer
from zun.cmd import arguments, credentials, hosting, identity, init, keys, process, wiring
from zun.cmd.database import connect
from zun.cmd.metrics import Records, serve_metrics
from zun.cmd.serving import ApiServer
from zun.cmd.streams import END, streams_of, told_to
from zun.cmd.tls import client_context
from zun.cmd.wsproxy import proxy_of, reload_on_hangup, told_where
from zun.store import migrate
from zun.streams.handlers import Sources
from zun.work.metrics import DatabaseMetrics
from zun.work.runner import Checkpoint

LOG = logging.getLogger(__name__)

KIND = "zun-standalone"
_DESCRIPTION = """\
The container service in one process: API, conductor and agent, on SQLite and the container engine of
this machine. Without a command it serves in the foreground until SIGTERM or ^C.

  zun-standalone init    make the state directory, credentials and the entry in clouds.yaml
  zun-standalone         serve (makes what is missing in the state directory first)
  OS_CLOUD=zun openstack appcontainer list
"""


def main(argv: Sequence[str] | None = None) -> int:
    """The command; 0, or 1 with the cause on stderr."""
    args = _parser().parse_args(argv)
    try:
        conf = arguments.configured(args, KIND)
        arguments.start_logging(conf)
        return init.run(conf, args) if args.command == "init" else serve(conf)
    except arguments.EXPECTED as exc:
        return arguments.failed(KIND, exc)


def _parser() -> argparse.ArgumentParser:
    parser = arguments.parser(KIND, _DESCRIPTION)
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    init.add_arguments(commands.add_parser("init", help="prepare state directory and client"))
    return parser


def serve(
    conf: cfg.ConfigOpts,
    *,
    checkpoint: Checkpoint = lambda name: None,
) -> int:
    """Serves until SIGTERM or SIGINT; 0 if all steps in flight ended in time.

    Else the process ends with 1 at once; the next start resumes them. `checkpoint` is for crash tests.
    Raises CannotServe: another has the state directory; CredentialsError: a key is missing or wrong; OSError: an
    address is taken.
    """
    # There are no other users to be kept from a registry of this machine's network.
    conf.set_default("push_registries", ["*"], group="docker")
    state = Path(conf.state_path)
    lock = hosting.lock(state, KIND)
    credentials.ensure(state)
    secrets = keys.load(conf)
    database = connect(conf)
    migrate.upgrade(database)
    keys.check(database, secrets)
    settings = wiring.settings_of(conf)
    house = wiring.build(
        database, conf.host, lambda owner: hosting.docker_drivers(conf, owner), settings,
        secrets=secrets, checkpoint=checkpoint, tls=client_context(conf),
    )  # fmt: skip
    database.watch(DatabaseMetrics(house.metrics.registry))
    assert house.services.later is not None
    sources = Sources(follow=house.sources.follow, execute=house.sources.execute)
    streams = streams_of(conf, house.ground, house.services.later, sources, house.metrics.registry)
    proxy = proxy_of(conf, house.db, house.metrics.registry)
    app = build_app(
        house.services, told_where(told_to(settings.api, streams), proxy), identity.authentication(conf),
        Enforcer(conf=conf), house.metrics.registry, identity.front(conf),
    )  # fmt: skip
    server = ApiServer(app, conf)
    stop = process.told_to_stop()
    process.more_files()
    house.metrics.registry.register(Records(database))
    metrics = serve_metrics(conf, house.metrics.registry)
    house.start()
    if streams is not None:
        streams.start()
    if proxy is not None:
        proxy.start()
        reload_on_hangup(conf, proxy)
    server.start()
    LOG.info("serving on http://%s:%d, state in %s", conf.api.host_ip, conf.api.port, state)
    process.wait_for(stop)
    LOG.info("stopping: no new requests, steps in flight may end")
    server.stop()
    if streams is not None:
        streams.stop(min(END, conf.compute.graceful_shutdown_timeout + 1))
    if proxy is not None:
        proxy.stop(min(END, conf.compute.graceful_shutdown_timeout + 1))
    metrics()
    ended = house.stop(conf.compute.graceful_shutdown_timeout)
    lock.close()
    process.end(ended)


if __name__ == "__main__":
    sys.exit(main())
