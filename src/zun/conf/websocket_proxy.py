"""[websocket_proxy]: interactive sessions, as users' clients reach them (contract 11)."""

from __future__ import annotations

from oslo_config import cfg, types

GROUP = cfg.OptGroup(
    "websocket_proxy",
    help="Interactive sessions: attach and exec, through zun-wsproxy, by URLs that are good once.",
)

OPTS: list[cfg.Opt] = [
    cfg.BoolOpt("enabled", default=True, help="Serve interactive sessions within zun-standalone."),
    cfg.HostAddressOpt(
        "wsproxy_host",
        default="127.0.0.1",
        help="Address zun-wsproxy listens on. Beyond loopback, give it a certificate, or put a proxy "
        "that ends TLS before it: what is typed is plain text otherwise.",
    ),
    cfg.PortOpt(
        "wsproxy_port",
        min=0,
        sample_default=6784,
        help="TCP port zun-wsproxy listens on; 0 = any free one (zun-standalone only). Default: 6784, or "
        "the API's port + 6 where that is not 9517.",
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
    cfg.ListOpt(
        "allowed_origins",
        default=[],
        item_type=types.HostAddress(),
        help="Host names of other sites whose pages may open sessions, the dashboard's for one. Pages of "
        "the host by which zun-wsproxy itself is reached always may.",
    ),
    cfg.StrOpt(
        "cert",
        help="File with the certificate for clients, and those that lead to its CA, in PEM. Read again on "
        "SIGHUP. Unset: no TLS.",
    ),
    cfg.StrOpt("key", help="File with the certificate's key, in PEM. Unset: it is in cert."),
    cfg.BoolOpt(
        "ssl_only",
        default=False,
        help="Refuse to start without a certificate.",
    ),
    cfg.ListOpt(
        "frame_ancestors",
        default=[],
        help="Whose pages may show the console in a frame, as sources of Content-Security-Policy: "
        "https://dashboard.example.com. Nobody's by default.",
    ),
    cfg.IntOpt(
        "max_sessions",
        default=1000,
        min=1,
        help="Sessions at the same time in one process; more are answered with a 503. Each takes two file "
        "descriptors, four in zun-standalone; the process raises its own limit as far as it may.",
    ),
]
