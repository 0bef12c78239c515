"""`zun-streams`, the process of long-lived answers; and how their server is wired, there and in zun-standalone."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from dataclasses import replace

from oslo_config import cfg
from prometheus_client import CollectorRegistry

from zun.api.errors import render
from zun.api.settings import ApiSettings
from zun.api.views import later as views
from zun.cmd import arguments, process
from zun.cmd.metrics import serve_metrics
from zun.cmd.tls import client_context
from zun.cmd.wiring import Ground, House, probe_database
from zun.service.health import Health
from zun.service.later import Later
from zun.streams.handlers import Render, Sources
from zun.streams.remote import RemoteSources
from zun.streams.server import StreamServer, StreamSettings

LOG = logging.getLogger(__name__)

KIND = "zun-streams"
_DESCRIPTION = """\
Serves long-lived answers - events, waiting for a status, followed logs, long commands - on [streams] host_ip and
port. The API sends clients here with a ticket; tell it where "here" is with [streams] base_url. Any number may run.

  zun-streams --config-file /etc/zun/zun.conf
"""

#: Seconds in which long-lived answers are brought to an end.
END = 5


def make_streams(
    house: House, settings: StreamSettings | None = None, *, host: str = "127.0.0.1", port: int = 0
) -> StreamServer:
    """The server for `house`, bound and not started. Raises OSError: the address can't be had."""
    assert house.services.later is not None
    sources = Sources(follow=house.sources.follow, execute=house.sources.execute)
    return _server(
        house.ground, house.services.later, sources, house.metrics.registry,
        settings or StreamSettings(), host, port,
    )  # fmt: skip


def _server(
    ground: Ground,
    later: Later,
    sources: Sources,
    registry: CollectorRegistry,
    settings: StreamSettings,
    host: str,
    port: int,
) -> StreamServer:
    rendering = Render(container=views.container, executed=views.executed_later)
    return StreamServer(
        ground.db, ground.bus, later, sources, rendering, render, settings, registry, ground.clock,
        host=host, port=port,
    )  # fmt: skip


def streams_of(
    conf: cfg.ConfigOpts,
    ground: Ground,
    later: Later,
    sources: Sources,
    registry: CollectorRegistry,
) -> StreamServer | None:
    """As configured; None where it is switched off. Raises OSError: the port is taken."""
    own = conf.streams
    if not own.enabled:
        return None
    port = port_of(conf)
    settings = StreamSettings(
        connections=own.max_clients, blocking=own.max_followed, poll=own.poll_interval
    )
    try:
        server = _server(ground, later, sources, registry, settings, own.host_ip, port)
    except OSError as exc:
        raise OSError(
            f"long-lived answers can't be served on {own.host_ip}:{port} ({exc.strerror}); "
            "set [streams] port, or enabled = false"
        ) from exc
    LOG.info("long-lived answers on http://%s:%d", own.host_ip, server.port)
    return server


def port_of(conf: cfg.ConfigOpts) -> int:
    """Where long-lived answers are served; 0 = any free port."""
    port: int = conf.api.port + 2 if conf.streams.port is None else conf.streams.port
    return port


def told_to(settings: ApiSettings, server: StreamServer | None) -> ApiSettings:
    """The API's settings with where its long-lived answers are."""
    return settings if server is None else replace(settings, streams_port=server.port)


def serve(conf: cfg.ConfigOpts) -> int:
    """Serves until SIGTERM; 0. Raises what `zun.cmd.arguments.EXPECTED` names."""
    if not conf.streams.enabled:
        raise arguments.CannotServe("[streams] enabled = false: there is nothing to serve")
    # zun-standalone imports this module too, and has no use for a message queue.
    from zun.cmd import separate

    stop = process.told_to_stop()
    own = conf.streams
    process.more_files(own.max_clients + own.max_followed + process.SPARE, "[streams] max_clients")
    base = separate.begin(conf, KIND)
    later = Later(base.ground.db, base.ground.clock, base.ground.settings.ticket_seconds)
    remote = RemoteSources(base.ground.db, base.ground.clock, client_context(conf))
    sources = Sources(follow=remote.follow, execute=remote.execute)
    server = streams_of(conf, base.ground, later, sources, base.registry)
    assert server is not None
    probes = {
        "database": lambda: probe_database(base.ground.db),
        "streams": lambda: "serving" if server.alive else _ended(),
        "bus": base.bus.probe,
    }
    end_metrics = serve_metrics(conf, base.registry, offset=5, health=Health(probes))
    base.start()
    remote.start()
    server.start()
    process.wait_for(stop)
    LOG.info("stopping: followers are told")
    server.stop(min(END, conf.compute.graceful_shutdown_timeout + 1))
    remote.stop()
    end_metrics()
    base.stop()
    process.end(in_time=True)


def _ended() -> str:
    raise RuntimeError("the server of long-lived answers has ended; see the log")


def main(argv: Sequence[str] | None = None) -> int:
    """The command; 0, or 1 with the cause on stderr."""
    return arguments.run(KIND, _DESCRIPTION, serve, argv)


if __name__ == "__main__":
    sys.exit(main())
