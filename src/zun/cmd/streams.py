"""Wires the server of long-lived answers to a house."""

from __future__ import annotations

import logging
from dataclasses import replace

from oslo_config import cfg

from zun.api.errors import render
from zun.api.settings import ApiSettings
from zun.api.views import later as views
from zun.cmd.wiring import House
from zun.streams.handlers import Render, Sources
from zun.streams.server import StreamServer, StreamSettings

LOG = logging.getLogger(__name__)


def make_streams(
    house: House, settings: StreamSettings | None = None, *, host: str = "127.0.0.1", port: int = 0
) -> StreamServer:
    """The server for `house`, bound and not started. Raises OSError: the address can't be had."""
    assert house.services.later is not None
    return StreamServer(
        house.db,
        house.bus,
        house.services.later,
        Sources(follow=house.sources.follow, execute=house.sources.execute),
        Render(container=views.container, executed=views.executed_later),
        render,
        settings or StreamSettings(),
        house.metrics.registry,
        house.clock,
        host=host,
        port=port,
    )


def streams_of(conf: cfg.ConfigOpts, house: House) -> StreamServer | None:
    """As configured; None where it is switched off. Raises OSError: the port is taken."""
    own = conf.streams
    if not own.enabled:
        return None
    port = conf.api.port + 2 if own.port is None else own.port
    settings = StreamSettings(
        connections=own.max_clients, blocking=own.max_followed, poll=own.poll_interval
    )
    try:
        server = make_streams(house, settings, host=own.host_ip, port=port)
    except OSError as exc:
        raise OSError(
            f"long-lived answers can't be served on {own.host_ip}:{port} ({exc.strerror}); "
            "set [streams] port, or enabled = false"
        ) from exc
    LOG.info("long-lived answers on http://%s:%d", own.host_ip, server.port)
    return server


def told_to(settings: ApiSettings, server: StreamServer | None) -> ApiSettings:
    """The API's settings with where its long-lived answers are."""
    return settings if server is None else replace(settings, streams_port=server.port)
