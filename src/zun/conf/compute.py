"""[compute]: this host's share of the work and the limits of its containers."""

from __future__ import annotations

from oslo_config import cfg

GROUP = cfg.OptGroup("compute", help="The agent of one host: what it offers, how it works.")

_OFFER: list[cfg.Opt] = [
    cfg.BoolOpt(
        "enable_cpu_pinning",
        default=False,
        help="Give containers with cpu_policy dedicated CPUs of their own. All others then run on [DEFAULT] "
        "floating_cpu_set.",
    ),
    cfg.IntOpt("reserved_host_cpus", default=0, min=0, help="CPUs kept back from containers."),
    cfg.IntOpt(
        "reserved_host_memory_mb",
        default=512,
        min=0,
        help="Memory in MiB kept back from containers.",
    ),
    cfg.IntOpt(
        "reserved_host_disk_mb", default=0, min=0, help="Disk in MiB kept back from containers."
    ),
    cfg.FloatOpt(
        "reserve_disk_for_image",
        default=0.2,
        min=0.0,
        max=1.0,
        help="Share of the engine's disk that is kept for images: hosts show and promise only the "
        "rest.",
    ),
    cfg.FloatOpt(
        "cpu_allocation_ratio",
        default=16.0,
        min=0.1,
        help="How often each CPU may be promised: 16.0 lets 16 containers of one CPU each share a "
        "core, 1.0 promises nothing twice. A container never gets more than its own cap.",
    ),
    cfg.FloatOpt(
        "ram_allocation_ratio",
        default=1.5,
        min=0.1,
        help="How often each MiB of memory may be promised. Above 1.0 the kernel may have to kill "
        "containers when all use what they were promised.",
    ),
    cfg.FloatOpt(
        "disk_allocation_ratio",
        default=1.0,
        min=0.1,
        help="How often each GiB of disk may be promised.",
    ),
]

_CONTAINERS: list[cfg.Opt] = [
    cfg.StrOpt(
        "unique_container_name_scope",
        default="",
        choices=[
            ("", "names need not be unique"),
            ("project", "unique among the containers of a project"),
            ("global", "unique among all containers"),
        ],
        help="Where a container's name must be unique. A second container of the same name gets a "
        "409.",
    ),
    cfg.StrOpt(
        "default_image_pull_policy",
        default="ifnotpresent",
        choices=[
            ("ifnotpresent", "pull only an image that the host does not have"),
            ("always", "ask the registry at every create"),
            ("never", "use only what the host has"),
        ],
        help="When to pull the image of a container whose user does not say.",
    ),
    cfg.StrOpt(
        "cpu_mode",
        default="quota",
        choices=[
            ("quota", "a hard cap: a container never uses more than it asked for"),
            (
                "shares",
                "a weight: a container may use idle CPUs, and yields when others want theirs",
            ),
        ],
        help="What a container's CPU number means.",
    ),
    cfg.IntOpt(
        "pids_limit",
        default=512,
        min=0,
        help="Most processes and threads in a container; 0 = no limit.",
    ),
    cfg.BoolOpt(
        "no_new_privileges",
        default=True,
        help="Keep processes in a container from gaining privileges, through setuid programs for "
        "example. Privileged containers are exempt.",
    ),
]

_WORK: list[cfg.Opt] = [
    cfg.IntOpt(
        "max_in_flight",
        default=0,
        min=0,
        help="Operations worked on at the same time; 0 = twice the cores. More makes each slower "
        "and none faster.",
    ),
    cfg.IntOpt(
        "operation_deadline",
        default=900,
        min=1,
        help="Seconds from acceptance within which an operation must end. What can't be done "
        "until then is undone and the container shows why.",
    ),
    cfg.IntOpt(
        "init_container_timeout",
        default=3600,
        min=1,
        help="Seconds each init container of a capsule may take, with all its retries. One that "
        "takes longer fails the capsule. It comes on top of operation_deadline.",
    ),
    cfg.FloatOpt(
        "poll_interval",
        default=5.0,
        min=0.1,
        help="Seconds between two looks for work that no message told of. Messages make it fast; "
        "this makes it certain.",
    ),
    cfg.IntOpt(
        "heartbeat_interval",
        default=10,
        min=1,
        help="Seconds between two signs of life of this host. Less than [DEFAULT] "
        "service_down_time.",
    ),
    cfg.IntOpt(
        "fence_after",
        default=60,
        min=0,
        help="Seconds without reaching the database after which this host stops the containers that may be moved: "
        "others may make them anew from some time after that. At least three times heartbeat_interval. 0 = never; then "
        "they are made anew only once an operator forces the host down.",
    ),
    cfg.IntOpt(
        "graceful_shutdown_timeout",
        default=30,
        min=0,
        help="Seconds to end running steps and requests when told to stop. What does not end in "
        "time is taken up at the next start.",
    ),
    cfg.IntOpt(
        "leftover_grace",
        default=300,
        min=0,
        help="Seconds for which a container on the engine that carries our label but belongs to "
        "no row is left alone before it is removed.",
    ),
    cfg.BoolOpt(
        "leftover_dry_run",
        default=False,
        help="Only log such leftovers, remove nothing.",
    ),
]

OPTS: list[cfg.Opt] = [*_OFFER, *_CONTAINERS, *_WORK]
