"""`zun-standalone`: the whole service in one process, on SQLite and the local container engine."""

from __future__ import annotations

import argparse
import fcntl
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from oslo_config import cfg
from oslo_log import log as oslo_log
from waitress.server import BaseWSGIServer, create_server

from zun.api.app import build_app
from zun.api.middleware.http_basic import HttpBasic
from zun.api.middleware.noauth import NoAuth
from zun.api.policies.enforcer import Enforcer
from zun.cmd import credentials, init, keys, wiring
from zun.cmd.metrics import serve_metrics
from zun.cmd.streams import streams_of, told_to
from zun.cmd.wsproxy import Unusable, proxy_of, reload_on_hangup, told_where
from zun.conf import ConfigError, load
from zun.drivers.docker import DockerImages, DockerNetworks, DockerRuntime, Engine
from zun.drivers.files import FileVolumes
from zun.store import migrate
from zun.store.database import Database
from zun.work.runner import Checkpoint

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

LOG = logging.getLogger(__name__)

_DESCRIPTION = """\
The container service in one process: API, conductor and agent, on SQLite and the container engine of
this machine. Without a command it serves in the foreground until SIGTERM or ^C.

  zun-standalone init    make the state directory, credentials and the entry in clouds.yaml
  zun-standalone         serve (makes what is missing in the state directory first)
  OS_CLOUD=zun openstack appcontainer list
"""


#: Seconds in which long-lived answers are brought to an end.
_STREAMS_END = 5

#: How many times the API's bound a body may be before the server itself cuts it off.
_BODY_SLACK = 16

#: Seconds that requests in progress have when the server ends.
_LAST_ANSWERS = 5.0


class AlreadyRunning(Exception):
    """Another instance has the state directory."""


def main(argv: Sequence[str] | None = None) -> int:
    """The command; 0, or 1 with the cause on stderr."""
    args = _parser().parse_args(argv)
    try:
        conf = load(args.config_file or None, overrides=_overrides(args), prog="zun-standalone")
    except ConfigError as exc:
        print(f"zun-standalone: {exc}", file=sys.stderr)
        return 1
    oslo_log.setup(conf, "zun")
    # It warns of every request that waits for a thread, which is what its queue is for.
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    if args.command == "init":
        return init.run(conf, args)
    try:
        return serve(conf)
    except (AlreadyRunning, credentials.CredentialsError, Unusable, OSError) as exc:
        print(f"zun-standalone: {exc}", file=sys.stderr)
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="zun-standalone",
        description=_DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=version("zun-successor"))
    parser.add_argument(
        "--config-file", action="append", metavar="FILE",
        help="configuration file; may be given several times (default: /etc/zun/zun.conf if there is one)",
    )  # fmt: skip
    parser.add_argument(
        "--state-dir", metavar="DIR",
        help="where database, credentials and injected files live (default: [DEFAULT] state_path)",
    )  # fmt: skip
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    init.add_arguments(commands.add_parser("init", help="prepare state directory and client"))
    return parser


def _overrides(args: argparse.Namespace) -> dict[str, object]:
    return {"state_path": args.state_dir} if args.state_dir else {}


def serve(
    conf: cfg.ConfigOpts,
    *,
    checkpoint: Checkpoint = lambda name: None,
) -> int:
    """Serves until SIGTERM or SIGINT; 0 if all steps in flight ended in time.

    Else the process ends with 1 at once; the next start resumes them. `checkpoint` is for crash tests.
    Raises AlreadyRunning; CredentialsError: a key is missing or wrong; OSError: an address is taken.
    """
    # There are no other users to be kept from a registry of this machine's network.
    conf.set_default("push_registries", ["*"], group="docker")
    state = Path(conf.state_path)
    lock = _lock(state)
    credentials.ensure(state)
    secrets = keys.load(conf)
    database = Database(conf.database.connection)
    migrate.upgrade(database)
    keys.check(database, secrets)
    settings = wiring.settings_of(conf)
    house = wiring.build(
        database, conf.host, lambda owner: docker_drivers(conf, owner), settings,
        secrets=secrets, checkpoint=checkpoint,
    )  # fmt: skip
    streams = streams_of(conf, house)
    proxy = proxy_of(conf, house.db, house.metrics.registry)
    app = build_app(
        house.services, told_where(told_to(settings.api, streams), proxy), _authenticate(conf),
        Enforcer(conf=conf), house.metrics.registry,
    )  # fmt: skip
    server = _Server(app, conf)
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    metrics = serve_metrics(conf, house)
    house.start()
    if streams is not None:
        streams.start()
    if proxy is not None:
        proxy.start()
        reload_on_hangup(conf, proxy)
    server.start()
    LOG.info("serving on http://%s:%d, state in %s", conf.api.host_ip, conf.api.port, state)
    stop.wait()
    LOG.info("stopping: no new requests, steps in flight may end")
    server.stop()
    if streams is not None:
        streams.stop(min(_STREAMS_END, conf.compute.graceful_shutdown_timeout + 1))
    if proxy is not None:
        proxy.stop(min(_STREAMS_END, conf.compute.graceful_shutdown_timeout + 1))
    metrics()
    ended = house.stop(conf.compute.graceful_shutdown_timeout)
    LOG.info("stopped" if ended else "stopped with steps in flight: the next start resumes them")
    logging.shutdown()
    if not ended or _busy():
        os._exit(0 if ended else 1)  # a call that hangs would keep the interpreter from ending
    lock.close()
    return 0


def _busy() -> bool:
    others = (t for t in threading.enumerate() if t is not threading.current_thread())
    return any(not thread.daemon for thread in others)


def docker_drivers(conf: cfg.ConfigOpts, owner: str) -> wiring.Drivers:
    """The drivers of the engine on this machine; `owner` marks what is ours on it."""
    engine = Engine(conf.docker.api_url, timeout=conf.docker.default_timeout)
    return wiring.Drivers(
        runtime=DockerRuntime(engine),
        images={"docker": DockerImages(engine)},
        network=DockerNetworks(engine, owner),
        volumes=FileVolumes(conf.state_path),
    )


def _authenticate(conf: cfg.ConfigOpts) -> Callable[[WSGIApplication], WSGIApplication]:
    if conf.api.auth_strategy == "noauth":
        return NoAuth
    state = Path(conf.state_path)
    return lambda app: HttpBasic(
        app, htpasswd=state / "htpasswd", identities=state / "identities.yaml"
    )


def _lock(state: Path) -> Any:
    state.mkdir(parents=True, exist_ok=True, mode=0o700)
    handle = (state / "lock").open("a")
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as exc:
        handle.close()
        raise AlreadyRunning(
            f"another zun-standalone is running on {state}; stop it, or choose another --state-dir"
        ) from exc
    return handle


class _Server:
    """The HTTP server in a thread of its own."""

    def __init__(self, app: WSGIApplication, conf: cfg.ConfigOpts) -> None:
        sockets: dict[int, Any] = {}
        self._server = create_server(
            app,
            map=sockets,
            host=conf.api.host_ip,
            port=conf.api.port,
            threads=conf.api.threads,
            ident=None,
            expose_tracebacks=False,
            # select() ends at 1,024 descriptors, and long-lived answers may have taken those below.
            asyncore_use_poll=True,
            # The server takes in a body before the API may judge it: past this it stops, with words of its own.
            max_request_body_size=max(
                _BODY_SLACK * conf.api.max_request_body_size, 2 * conf.api.max_archive_size
            ),
        )
        # One a socket that is listened on; the map has their helpers, too.
        self._doors: list[Any] = [
            each for each in sockets.values() if isinstance(each, BaseWSGIServer)
        ]
        # A daemon: it never ends by itself, and what it still holds in the end are idle connections.
        self._thread = threading.Thread(target=self._server.run, name="http", daemon=True)

    def start(self) -> None:
        """Begins to serve; the port is bound already."""
        self._thread.start()

    def stop(self) -> None:
        """Ends: requests in progress are answered, no new ones are taken."""
        end = time.monotonic() + _LAST_ANSWERS
        while True:
            # Its sockets are closed in its own thread, which may be waiting for them just now.
            for door in self._doors:
                door.trigger.pull_trigger(partial(self._close, door))
            if not any(door.active_channels for door in self._doors) or time.monotonic() > end:
                return
            time.sleep(0.01)

    @staticmethod
    def _close(door: Any) -> None:
        door.del_channel()
        door.socket.close()
        for channel in list(door.active_channels.values()):
            if not channel.requests:
                channel.close_when_flushed = True


if __name__ == "__main__":
    sys.exit(main())
