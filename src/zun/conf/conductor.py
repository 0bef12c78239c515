"""[conductor]: watching the hosts, and what becomes of containers whose host has failed."""

from __future__ import annotations

from oslo_config import cfg

GROUP = cfg.OptGroup("conductor", help="The conductor: watching the hosts.")

OPTS: list[cfg.Opt] = [
    cfg.IntOpt(
        "max_in_flight",
        default=2,
        min=1,
        help="Operations that one conductor works on at once: placing, above all, which is short. More of them in one "
        "process wait for each other and make it slower; for more, start more conductors.",
    ),
    cfg.IntOpt(
        "host_watch_interval",
        default=5,
        min=1,
        help="Seconds between two looks at the hosts. A host that has missed three heartbeats is taken for down at the "
        "next look.",
    ),
    cfg.IntOpt(
        "recreate_after",
        default=180,
        min=0,
        help="Seconds without any touch of its agent after which a host is fenced, and the containers on it that may "
        "be moved are made anew on other hosts. Never sooner than 60 s after the host's own [compute] fence_after, so "
        "that the host has stopped them. 0 = only once an operator forces the host down.",
    ),
    cfg.ListOpt(
        "recreate_projects",
        default=[],
        help="Projects whose containers may be moved unless they say otherwise (hint on_host_failure), by id; * = all. "
        "Only containers that are made of nothing but their image can be: with the restart policy always or "
        "unless-stopped, without mounts, on no requested host.",
    ),
]
