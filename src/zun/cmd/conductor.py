"""`zun-conductor`: places containers, and recovers what a dead process left."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence

from oslo_config import cfg

from zun.cmd import arguments, process, separate
from zun.cmd.metrics import Records, serve_metrics
from zun.cmd.wiring import build_conductor, probe_database
from zun.service.health import Health
from zun.work.metrics import WorkMetrics
from zun.work.runner import Checkpoint

LOG = logging.getLogger(__name__)

KIND = "zun-conductor"
_DESCRIPTION = """\
Places containers on hosts, watches hosts, and takes up what a dead process left. Any number may run, on any
machines: each takes work that no other has.

  zun-conductor --config-file /etc/zun/zun.conf

Its health and figures are at [metrics] host_ip, port: /healthcheck and /metrics.
"""


def serve(conf: cfg.ConfigOpts, *, checkpoint: Checkpoint = lambda name: None) -> int:
    """Works until SIGTERM; 0 if all steps in flight ended in time. Raises what `arguments.EXPECTED` names."""
    stop = process.told_to_stop()
    base = separate.begin(conf, KIND, checkpoint=checkpoint)
    metrics = WorkMetrics(base.registry)
    # The slot is the name: a conductor that starts anew takes back at once what its older life held.
    conductor = build_conductor(base.ground, f"{conf.host}:{base.name}", metrics=metrics)
    base.registry.register(Records(base.ground.db))
    probes = {
        "database": lambda: probe_database(base.ground.db),
        "conductor": conductor.probe,
        "bus": base.bus.probe,
    }
    end_metrics = serve_metrics(conf, base.registry, offset=3, health=Health(probes))
    base.start()
    conductor.start()
    LOG.info("%s works", base.name)
    process.wait_for(stop)
    LOG.info("stopping: steps in flight may end")
    in_time = conductor.stop(conf.compute.graceful_shutdown_timeout)
    end_metrics()
    base.stop()
    process.end(in_time)


def main(argv: Sequence[str] | None = None) -> int:
    """The command; 0, or 1 with the cause on stderr."""
    return arguments.run(KIND, _DESCRIPTION, serve, argv)


if __name__ == "__main__":
    sys.exit(main())
