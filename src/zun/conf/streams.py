"""[streams]: followed logs, events and waiting, which are served apart from short requests."""

from __future__ import annotations

from oslo_config import cfg

GROUP = cfg.OptGroup(
    "streams",
    help="Long-lived answers: followed logs, events, waiting for a status, long commands. The API "
    "sends clients on to this server, with a ticket.",
)

OPTS: list[cfg.Opt] = [
    cfg.BoolOpt("enabled", default=True, help="Serve long-lived answers."),
    cfg.HostAddressOpt(
        "host_ip",
        default="127.0.0.1",
        help="Address to listen on. The traffic is plain HTTP, as that of the API.",
    ),
    cfg.PortOpt(
        "port",
        min=0,
        sample_default=9519,
        help="TCP port to listen on; 0 = any free one. Default: the API's port + 2.",
    ),
    cfg.URIOpt(
        "base_url",
        schemes=["http", "https"],
        help="How clients reach this server, for the API to send them there. Unset: the host name "
        "they reached the API by, and the port above. Needed behind a proxy that ends TLS.",
    ),
    cfg.IntOpt(
        "max_clients",
        default=4096,
        min=1,
        help="Connections at the same time; more are answered with a 503.",
    ),
    cfg.IntOpt(
        "max_followed",
        default=64,
        min=1,
        help="Followed logs and long commands at the same time; more are answered with a 503. Each "
        "has a thread of its own.",
    ),
    cfg.IntOpt(
        "max_wait", default=3600, min=1, help="Longest time, in seconds, to wait for a status."
    ),
    cfg.IntOpt(
        "max_execute",
        default=86400,
        min=1,
        help="Longest time, in seconds, a client may ask to wait for a command.",
    ),
    cfg.IntOpt(
        "ticket_seconds",
        default=30,
        min=1,
        help="Seconds within which a client must come with the ticket it was sent on with.",
    ),
    cfg.FloatOpt(
        "poll_interval",
        default=2.0,
        min=0.1,
        help="Seconds between two looks for events that no message told of.",
    ),
]
