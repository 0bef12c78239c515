"""[scheduler]: which host a container gets (contract 11)."""

from __future__ import annotations

from oslo_config import cfg, types

GROUP = cfg.OptGroup("scheduler", help="How the conductor chooses the host of a container.")

#: As of `zun.work.scheduler.filters`, which a test holds this against: options import no other layer.
FILTERS = (
    "ComputeFilter", "AvailabilityZoneFilter", "RuntimeFilter", "ImageDriverFilter", "ArchitectureFilter",
    "LabelFilter", "CpuSetFilter", "CpuFilter", "RamFilter", "DiskFilter",
)  # fmt: skip

OPTS: list[cfg.Opt] = [
    cfg.ListOpt(
        "enabled_filters",
        default=list(FILTERS),
        item_type=types.String(choices=[*FILTERS, "PciPassthroughFilter"]),
        help="Filters that are asked. A host that is down, disabled, drained or not the requested one, and one where a "
        "container must not be because of its affinity, is turned away whatever is named here; and nothing gets more "
        "of a host than it has. PciPassthroughFilter is accepted and does nothing.",
    ),
    cfg.StrOpt(
        "placement_strategy",
        default="spread",
        choices=[
            ("spread", "the emptiest host that fits"),
            ("pack", "the fullest host that fits"),
        ],
        help="Which of the hosts that fit is best. How full a host is, is the share that is claimed of the resource it "
        "has least of.",
    ),
    cfg.FloatOpt(
        "image_weight_multiplier",
        default=0.02,
        min=0.0,
        help="How much emptier (pack: fuller) another host has to be than one that has fetched the image once: 0.1 is "
        "a tenth of a host, and many small containers would be one host's. 0 = images do not matter.",
    ),
    cfg.FloatOpt(
        "io_ops_weight_multiplier",
        default=0.1,
        min=0.0,
        help="How much waiting for disks counts: at 0.1 a host on which something always waits counts as a tenth "
        "fuller. Agents tell it with each heartbeat, from the kernel's pressure figures.",
    ),
    cfg.FloatOpt(
        "soft_affinity_weight_multiplier",
        default=1.0,
        min=0.0,
        help="How much the wishes of groups with a soft policy count.",
    ),
    cfg.IntOpt(
        "max_attempts",
        default=3,
        min=1,
        help="Hosts that may refuse one container - for want of disk space, of a runtime, of an image for their "
        "architecture - before its create fails.",
    ),
    cfg.IntOpt(
        "host_sample",
        default=100,
        min=1,
        help="Where there are more hosts, so many of them, taken at random, are looked at first, and all only if none "
        "of those fits.",
    ),
]
