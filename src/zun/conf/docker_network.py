"""[docker_network]: addresses of the networks made on the engine, one a project."""

from __future__ import annotations

import ipaddress

from oslo_config import cfg, types

GROUP = cfg.OptGroup(
    "docker_network", help="Docker networks: one a project, made when first needed."
)


class Ipv4Network(types.ConfigType):
    """An IPv4 network in CIDR spelling, kept as text."""

    def __init__(self) -> None:
        super().__init__(type_name="IPv4 network")

    def __call__(self, value: object) -> str:
        """The network in its canonical spelling. Raises ValueError on anything else."""
        return str(ipaddress.IPv4Network(str(value)))

    def __repr__(self) -> str:
        return "IPv4 network"

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other)

    __hash__ = None  # type: ignore[assignment]

    def _formatter(self, value: object) -> str:
        return str(value)


OPTS: list[cfg.Opt] = [
    cfg.Opt(
        "subnet_pool",
        type=Ipv4Network(),
        default="10.201.0.0/16",
        help="Addresses the networks are cut from. Choose a range this host reaches nothing else "
        "by.",
    ),
    cfg.IntOpt(
        "subnet_prefix",
        default=24,
        min=8,
        max=29,
        help="Prefix length of each project's network: 24 gives 253 containers a project on this "
        "host.",
    ),
]
