"""`zun-compute`: the agent of one host."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from oslo_config import cfg

from zun.cmd import arguments, hosting, keys, process, separate
from zun.cmd.metrics import serve_metrics
from zun.cmd.wiring import build_compute, probe_database
from zun.service.health import Health
from zun.work.metrics import WorkMetrics
from zun.work.runner import Checkpoint

LOG = logging.getLogger(__name__)

KIND = "zun-compute"
_DESCRIPTION = """\
The agent of this host: runs containers through its engine, watches them, answers questions about them. One a
host, with a state directory of its own.

  zun-compute --config-file /etc/zun/zun.conf

Its health and figures are at [metrics] host_ip, port: /healthcheck and /metrics.
"""


def serve(conf: cfg.ConfigOpts, *, checkpoint: Checkpoint = lambda name: None) -> int:
    """Works until SIGTERM; 0 if all steps in flight ended in time. Raises what `arguments.EXPECTED` names."""
    stop = process.told_to_stop()
    # A session has the client's connection and the engine's.
    process.more_files(
        2 * conf.agent_streams.max_sessions + process.SPARE, "[agent_streams] max_sessions"
    )
    with hosting.lock(Path(conf.state_path), KIND):
        secrets = keys.load(conf)
        base = separate.begin(conf, KIND, checkpoint=checkpoint)
        keys.check(base.ground.db, secrets)
        compute = build_compute(
            base.ground, conf.host, lambda owner: hosting.docker_drivers(conf, owner),
            secrets=secrets, metrics=WorkMetrics(base.registry),
        )  # fmt: skip
        probes = {
            "database": lambda: probe_database(base.ground.db),
            **compute.probes,
            "bus": base.bus.probe,
        }
        end_metrics = serve_metrics(conf, base.registry, offset=4, health=Health(probes))
        base.start()
        compute.agent.start()
        LOG.info("%s works, state in %s", base.name, conf.state_path)
        process.wait_for(stop)
        LOG.info("stopping: steps in flight may end")
        in_time = compute.agent.stop(conf.compute.graceful_shutdown_timeout)
        end_metrics()
        base.stop()
    process.end(in_time)


def main(argv: Sequence[str] | None = None) -> int:
    """The command; 0, or 1 with the cause on stderr."""
    return arguments.run(KIND, _DESCRIPTION, serve, argv)


if __name__ == "__main__":
    sys.exit(main())
