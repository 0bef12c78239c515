"""[agent_streams]: the byte streams of a host's agent, and how zun-wsproxy and the API connect to them."""

from __future__ import annotations

from oslo_config import cfg

GROUP = cfg.OptGroup(
    "agent_streams",
    help="Byte streams between a host's agent and zun-wsproxy or the API: sessions, followed logs, "
    "files. Each is opened by a ticket that is good once; nothing of them goes through the message bus.",
)

OPTS: list[cfg.Opt] = [
    cfg.HostAddressOpt(
        "host_ip",
        default="127.0.0.1",
        help="Address the agent listens on. Beyond loopback the TLS options below belong to it: without "
        "them everybody on the way can read the streams, and the service does not start.",
    ),
    cfg.BoolOpt(
        "allow_plain_text",
        default=False,
        help="Listen beyond loopback without TLS all the same. Whoever is on the way reads and types along in "
        "every session, and reads every file: only for a network that nobody else is on.",
    ),
    cfg.PortOpt("port", default=0, min=0, help="TCP port the agent listens on; 0 = any free one."),
    cfg.HostAddressOpt(
        "advertised_host",
        help="Name or address by which zun-wsproxy and the API reach this agent; the certificate must be "
        "for it. Default: host_ip.",
    ),
    cfg.IntOpt(
        "max_sessions",
        default=2048,
        min=1,
        help="Streams at the same time; more are refused with a 503.",
    ),
    cfg.StrOpt(
        "cert_file",
        help="Certificate (PEM) that this process shows: an agent to those who connect, zun-wsproxy and "
        "the API to agents. Needs key_file and ca_file; then both sides must show one.",
    ),
    cfg.StrOpt("key_file", help="Private key (PEM) of cert_file."),
    cfg.StrOpt(
        "ca_file",
        help="Certificates (PEM) of the authority that signs the other side's certificate.",
    ),
]
