"""[docker]: the container engine of this host."""

from __future__ import annotations

from oslo_config import cfg

GROUP = cfg.OptGroup("docker", help="The Docker engine, or another that speaks its API.")

OPTS: list[cfg.Opt] = [
    cfg.StrOpt(
        "api_url",
        default="unix:///var/run/docker.sock",
        regex=r"^unix:///.+",
        help="The engine's unix socket. TCP is refused on purpose: whoever reaches an open engine "
        "port is root on the host.",
    ),
    cfg.IntOpt(
        "default_timeout",
        default=60,
        min=1,
        help="Seconds to wait for an answer of the engine. Pulling an image is bounded by the "
        "operation's deadline instead.",
    ),
    cfg.IntOpt(
        "execute_timeout",
        default=60,
        min=1,
        help="Seconds a command run in a container without a terminal may take before the request "
        "is answered with an error.",
    ),
    cfg.IntOpt(
        "execute_output_limit",
        default=1048576,
        min=1024,
        help="Most output, in bytes, returned of a command run in a container; the rest is cut "
        "off.",
    ),
    cfg.IntOpt(
        "log_limit",
        default=8388608,
        min=1024,
        help="Most log output, in bytes, returned by one request; the oldest is cut off.",
    ),
    cfg.ListOpt(
        "push_registries",
        default=[],
        help="Registries to which a commit may send an image: domains (`registry.example.com:5000`), with "
        "`*` for any part. Empty: none; zun-standalone: `*`, unless this is set. Hosts reach what users can't, "
        "and push in their name: in a cloud, never name a registry that other users' containers, "
        "or the cloud itself, take images from and that asks for no password.",
    ),
]
