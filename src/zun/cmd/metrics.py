"""Figures for Prometheus: those the process counts, and those the database knows when it is asked."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable

from oslo_config import cfg
from prometheus_client import start_http_server
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from zun.cmd.wiring import House
from zun.store import containers, operations
from zun.store.database import Database

LOG = logging.getLogger(__name__)


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


def serve_metrics(conf: cfg.ConfigOpts, house: House) -> Callable[[], None]:
    """Serves /metrics as configured; returns what ends it. Raises OSError: the port is taken."""
    if not conf.metrics.enabled:
        return lambda: None
    port = conf.api.port + 1 if conf.metrics.port is None else conf.metrics.port
    registry = house.metrics.registry
    registry.register(Records(house.db))
    try:
        server, thread = start_http_server(port, conf.metrics.host_ip, registry)
    except OSError as exc:
        raise OSError(
            f"/metrics can't listen on {conf.metrics.host_ip}:{port} ({exc.strerror}); "
            "set [metrics] port, or enabled = false"
        ) from exc
    LOG.info("metrics on http://%s:%d/metrics", conf.metrics.host_ip, server.server_port)

    def end() -> None:
        server.shutdown()
        server.server_close()
        thread.join(5)

    return end
