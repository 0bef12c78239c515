"""[quota]: what a project may use where nothing else is set for it."""

from __future__ import annotations

from oslo_config import cfg

GROUP = cfg.OptGroup(
    "quota",
    help="Limits of a project that has none of its own and for which the quota class `default` "
    "says nothing. -1 = no limit.",
)

OPTS: list[cfg.Opt] = [
    cfg.IntOpt("containers", default=40, min=-1, help="Containers of a project; -1 = no limit."),
    cfg.IntOpt(
        "memory",
        default=51200,
        min=-1,
        help="Memory in MiB of all containers of a project together; -1 = no limit. A container "
        "whose user gives none counts with [DEFAULT] default_memory.",
    ),
    cfg.IntOpt(
        "cpu",
        default=20,
        min=-1,
        help="CPUs of all containers of a project together; -1 = no limit. A container whose user "
        "gives none counts with [DEFAULT] default_cpu.",
    ),
    cfg.IntOpt(
        "disk",
        default=100,
        min=-1,
        help="Disk in GiB of all containers of a project together; -1 = no limit. A container "
        "whose user gives none counts with [DEFAULT] default_disk where its host can limit disk, "
        "and with 0 where not.",
    ),
    cfg.StrOpt(
        "driver",
        default="DbQuotaDriver",
        choices=[
            ("DbQuotaDriver", "limits are kept in the database and enforced"),
            ("NoopQuotaDriver", "nothing is limited; use is counted all the same"),
        ],
        help="Whether projects are limited.",
    ),
]
