"""[DEFAULT]: who this node is, where it keeps its files, what a container gets when nobody says."""

from __future__ import annotations

import os
import socket
from pathlib import Path

from oslo_config import cfg, types


def default_state_path() -> str:
    """Where a service keeps its files: /var/lib/zun for root, else in the user's home."""
    if os.geteuid() == 0:
        return "/var/lib/zun"
    home = os.environ.get("XDG_STATE_HOME") or str(Path("~/.local/state").expanduser())
    return str(Path(home) / "zun")


GROUP = cfg.OptGroup("DEFAULT")

OPTS: list[cfg.Opt] = [
    cfg.StrOpt(
        "host",
        default=socket.gethostname(),
        sample_default="<the machine's host name>",
        max_length=255,
        help="Name of this host: the scheduler places containers by it and the hosts API shows "
        "it. Change it only on a host without containers: rows keep the name they were made with.",
    ),
    cfg.StrOpt(
        "state_path",
        default=default_state_path(),
        sample_default="/var/lib/zun",
        help="Directory of everything this service keeps on disk: the SQLite database, local "
        "volumes, the standalone service's password files. Made with mode 0700. For a user other "
        "than root the default is ~/.local/state/zun.",
    ),
    cfg.MultiStrOpt(
        "auth_encryption_key",
        secret=True,
        help="Key of the registry passwords in the database: 32 characters, kept secret and never "
        "lost. May be given several times: the first seals, all open. Unset: the lines of the file "
        "auth_encryption_key in state_path, which `zun-standalone init` makes.",
    ),
    cfg.StrOpt(
        "container_runtime",
        help="OCI runtime of containers whose user names none. It must be registered with the "
        "engine. Unset: the engine's own default.",
    ),
    cfg.StrOpt(
        "sandbox_image",
        default="",
        help="Image of the container that holds a capsule's network. Its own command must run until "
        "it is killed. Empty: a tiny one that is made on the host, for x86_64 and aarch64, so that "
        "no registry is needed.",
    ),
    cfg.ListOpt(
        "image_driver_list",
        default=["docker"],
        item_type=types.String(choices=["docker"]),
        help="Image drivers that users may ask for. docker: registries, through the engine.",
    ),
    cfg.StrOpt(
        "default_image_driver",
        default="docker",
        help="Image driver of containers whose user names none; one of image_driver_list.",
    ),
    cfg.FloatOpt(
        "default_cpu",
        default=1.0,
        min=0.0,
        help="CPUs (cores, fractions allowed) of a container whose user gives none.",
    ),
    cfg.IntOpt(
        "default_memory",
        default=512,
        min=0,
        help="Memory in MiB of a container whose user gives none.",
    ),
    cfg.IntOpt(
        "default_disk",
        default=10,
        min=0,
        help="Disk in GiB of a container whose user gives none, on engines that can limit it.",
    ),
    cfg.FloatOpt("minimum_cpus", default=0.1, min=0.0, help="Fewest CPUs a user may ask for."),
    cfg.FloatOpt("maximum_cpus", default=16.0, min=0.0, help="Most CPUs a user may ask for."),
    cfg.IntOpt("minimum_memory", default=4, min=0, help="Least memory in MiB a user may ask for."),
    cfg.IntOpt(
        "maximum_memory", default=8192, min=0, help="Most memory in MiB a user may ask for."
    ),
    cfg.IntOpt("minimum_disk", default=1, min=0, help="Least disk in GiB a user may ask for."),
    cfg.IntOpt("maximum_disk", default=160, min=0, help="Most disk in GiB a user may ask for."),
    cfg.StrOpt(
        "default_availability_zone",
        default="nova",
        max_length=255,
        help="Availability zone this host is in.",
    ),
    cfg.StrOpt(
        "default_schedule_zone",
        max_length=255,
        help="Availability zone of containers whose user names none. Unset: any zone.",
    ),
    cfg.StrOpt(
        "floating_cpu_set",
        default="",
        help="CPUs that are never given to one container alone, where [compute] enable_cpu_pinning is set: all others "
        "run on these, such as 0-3,^2,8. Empty: CPU 0.",
    ),
    cfg.IntOpt(
        "service_down_time",
        default=180,
        min=1,
        help="Seconds without a heartbeat after which a service is down in any case. One that has missed three "
        "heartbeats ([compute] heartbeat_interval) is down before that.",
    ),
    cfg.IntOpt(
        "sync_container_state_interval",
        default=300,
        min=1,
        help="Seconds, with some jitter, between two complete comparisons of what the engine "
        "shows and what is recorded. Changes are followed at once through the engine's events; "
        "this listing catches what no event told, so it can't be turned off.",
    ),
]
