"""Figures for Prometheus: those the process counts, and those the database knows when it is asked."""

from __future__ import annotations

import logging
import os
import socket
import threading
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from socketserver import ThreadingMixIn
from typing import TYPE_CHECKING, Any, cast
from wsgiref.simple_server import WSGIRequestHandler, WSGIServer, make_server

from oslo_config import cfg
from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from zun.api.middleware.health import HealthCheck
from zun.service.health import Health
from zun.store import containers, operations
from zun.store.database import Database

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

LOG = logging.getLogger(__name__)

#: Seconds between two tries to take over the port of the figures.
_TURN = 5.0


class Records(Collector):
    """Counts rows at each scrape: containers by status, open operations by queue."""

    def __init__(self, db: Database) -> None:
        self._db = db

    def collect(self) -> Iterable[GaugeMetricFamily]:
        """The gauges; none while the database can't be read."""
        held = GaugeMetricFamily("zun_containers", "Containers, by status.", labels=["status"])
        waiting = GaugeMetricFamily(
            "zun_operations_open", "Operations that have not ended, by queue.", labels=["queue"]
        )
        try:
            with self._db.read() as conn:
                by_status = containers.count_by_status(conn)
                by_queue = operations.open_counts(conn)
        except Exception:
            LOG.exception("the records can't be counted")
            return
        for status, number in by_status.items():
            held.add_metric([status], number)
        for queue, number in by_queue.items():
            waiting.add_metric([queue], number)
        yield held
        yield waiting


class _Server(ThreadingMixIn, WSGIServer):
    daemon_threads = True


class _Server6(_Server):
    address_family = socket.AF_INET6


class _Silent(WSGIRequestHandler):
    def log_message(self, *_: object) -> None:
        """Nothing: neither Prometheus nor a probe is worth a line each time."""


def serve_metrics(
    conf: cfg.ConfigOpts,
    registry: CollectorRegistry,
    *,
    offset: int = 1,
    health: Health | None = None,
) -> Callable[[], None]:
    """Serves /metrics as configured, and /healthcheck where `health` is given; returns what ends it.

    The port is [metrics] port, or else the API's plus `offset`; where only that is taken, any free one.
    Raises OSError: the configured port is taken.
    """
    own = conf.metrics
    if not own.enabled:
        return lambda: None
    app = make_wsgi_app(registry)
    server = _bound(
        conf, offset, app if health is None else HealthCheck(cast("WSGIApplication", app), health)
    )
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    LOG.info("metrics on http://%s:%d/metrics", own.host_ip, server.server_port)

    def end() -> None:
        server.shutdown()
        server.server_close()
        thread.join(5)

    return end


def _bound(conf: cfg.ConfigOpts, offset: int, app: Any) -> _Server:
    own = conf.metrics
    ports = [own.port] if own.port is not None else [conf.api.port + offset, 0]
    for port in ports:
        try:
            return _make(own.host_ip, port, app)
        except OSError as exc:
            if port != ports[-1]:
                LOG.info("port %d is taken: metrics are on another one", port)
                continue
            raise OSError(
                f"/metrics can't listen on {own.host_ip}:{port} ({exc.strerror}); "
                "set [metrics] port, or enabled = false"
            ) from exc
    raise AssertionError("there is always a port to try")


def _make(host: str, port: int, app: Any) -> _Server:
    family = _Server6 if ":" in host else _Server
    return make_server(host, port, app, family, handler_class=_Silent)


def serve_shared(conf: cfg.ConfigOpts) -> None:
    """Serves the figures of all processes that share PROMETHEUS_MULTIPROC_DIR, from whichever of them gets the port.

    For the workers of a WSGI server; when the one that serves ends, another takes over. Without that variable none
    could tell of the others: nothing is served.
    """
    if not conf.metrics.enabled:
        return
    if "PROMETHEUS_MULTIPROC_DIR" not in os.environ:
        LOG.info("no /metrics from this worker: set PROMETHEUS_MULTIPROC_DIR for all of them")
        return
    registry = CollectorRegistry()
    MultiProcessCollector(registry)  # type: ignore[no-untyped-call]
    threading.Thread(
        target=_serve_in_turn, args=(conf, registry), name="metrics", daemon=True
    ).start()


def _serve_in_turn(conf: cfg.ConfigOpts, registry: CollectorRegistry) -> None:
    port = conf.api.port + 1 if conf.metrics.port is None else conf.metrics.port
    while True:
        with suppress(OSError):
            server = _make(conf.metrics.host_ip, port, make_wsgi_app(registry))
            LOG.info("metrics on http://%s:%d/metrics", conf.metrics.host_ip, server.server_port)
            server.serve_forever()
        time.sleep(_TURN)
