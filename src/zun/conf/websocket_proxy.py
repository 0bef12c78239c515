"""[websocket_proxy]: interactive sessions, as users' clients reach them (contract 11)."""

from __future__ import annotations

from oslo_config import cfg

GROUP = cfg.OptGroup(
    "websocket_proxy",
    help="Interactive sessions: attach and exec, through zun-wsproxy, by URLs that are good once.",
)

OPTS: list[cfg.Opt] = [
    cfg.PortOpt(
        "wsproxy_port",
        default=6784,
        min=0,
        help="TCP port zun-wsproxy listens on; 0 = any free one (zun-standalone only).",
    ),
    cfg.URIOpt(
        "base_url",
        schemes=["ws", "wss"],
        help="How clients reach zun-wsproxy. Unset: the host name they reached the API by, and "
        "wsproxy_port. Needed where zun-wsproxy is on another machine than the API, or behind a proxy "
        "that ends TLS.",
    ),
    cfg.URIOpt(
        "console_base_url",
        schemes=["http", "https"],
        help="How browsers reach the console page. Unset: base_url, with http for ws and https for wss.",
    ),
    cfg.IntOpt(
        "token_seconds",
        default=60,
        min=1,
        max=86400,
        help="Seconds within which a client must come with the URL of its session.",
    ),
    cfg.IntOpt(
        "session_limit",
        default=86400,
        min=0,
        help="Longest time, in seconds, a session may take; 0 = any.",
    ),
    cfg.IntOpt(
        "idle_limit",
        default=3600,
        min=0,
        help="A session in which nothing is typed and nothing printed for so many seconds is ended; "
        "0 = never.",
    ),
]
