"""[api]: the HTTP side."""

from __future__ import annotations

from oslo_config import cfg

GROUP = cfg.OptGroup("api", help="The HTTP API.")

OPTS: list[cfg.Opt] = [
    cfg.HostAddressOpt(
        "host_ip",
        default="127.0.0.1",
        help="Address to listen on. The traffic is plain HTTP: put a TLS proxy in front before "
        "listening on anything but loopback.",
    ),
    cfg.PortOpt("port", default=9517, min=1, help="TCP port to listen on."),
    cfg.IntOpt(
        "threads",
        default=16,
        min=1,
        max=1024,
        help="Requests handled at the same time. Requests beyond that wait, they are not refused.",
    ),
    cfg.StrOpt(
        "auth_strategy",
        default="http_basic",
        choices=[
            ("keystone", "tokens of Keystone, as [keystone_authtoken] says"),
            ("http_basic", "user name and password, checked against <state_path>/htpasswd"),
            ("noauth", "everybody is the administrator; refused unless host_ip is loopback"),
        ],
        help="How users prove who they are.",
    ),
    cfg.IntOpt(
        "max_limit",
        default=1000,
        min=1,
        help="Most items in one page of a list; a request for more gets this many and a `next` "
        "link.",
    ),
    cfg.IntOpt(
        "max_request_body_size",
        default=1048576,
        min=1024,
        help="Largest request body in bytes; a larger one gets a 413.",
    ),
    cfg.IntOpt(
        "max_archive_size",
        default=67108864,
        min=1024,
        help="Largest request body, in bytes, of put_archive, and the largest archive get_archive "
        "answers with. A request is in memory, in about twice its size, and two are handled at a time; an "
        "answer is written to a file in the system's directory for temporary ones (TMPDIR) before it is sent, "
        "and four are at a time. A reverse proxy or WSGI server may have a bound of its own.",
    ),
]
