"""[metrics]: where Prometheus may read."""

from __future__ import annotations

from oslo_config import cfg

GROUP = cfg.OptGroup("metrics", help="Figures for Prometheus, on a port of their own.")

OPTS: list[cfg.Opt] = [
    cfg.BoolOpt("enabled", default=True, help="Serve /metrics."),
    cfg.HostAddressOpt(
        "host_ip",
        default="127.0.0.1",
        help="Address to listen on. Whoever reaches it may read all figures: there is no "
        "authentication.",
    ),
    cfg.PortOpt(
        "port",
        min=0,
        sample_default=9518,
        help="TCP port to listen on; 0 = any free one. Default: the API's port + 1.",
    ),
]
