"""The filters: each turns away the hosts that can't serve a request, and has the words for that.

A filter is made for one request; where that asks for nothing of the kind there is none to ask.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from zun.model.host import Host, Mode, beats
from zun.work.scheduler.values import PlaceRequest, World

Passes = Callable[[Host], bool]
Made = Sequence[tuple[str, Passes]]
Maker = Callable[[PlaceRequest, World], Made]

#: Of those that a request excludes.
TRIED = "tried already"

_SLACK = 1e-9  # sums of tenths of a CPU are not exact
_LABEL = "label:"

#: Names that others give to what an engine calls otherwise.
_ARCHITECTURES = {
    "amd64": "x86_64",
    "x64": "x86_64",
    "arm64": "aarch64",
    "386": "i386",
    "i686": "i386",
}


def architecture(word: str) -> str:
    """One name for an architecture that has several."""
    return _ARCHITECTURES.get(word.lower(), word.lower())


def _requested(request: PlaceRequest, world: World) -> Made:
    made: list[tuple[str, Passes]] = []
    if request.host is not None:
        made.append(("not the requested host", lambda h: h.hostname == request.host))
    if request.excluded:
        excluded = frozenset(request.excluded)
        made.append((TRIED, lambda h: h.hostname not in excluded))
    return made


def _compute(request: PlaceRequest, world: World) -> Made:
    now, down_after = world.now, world.down_after

    def alive(host: Host) -> bool:
        if host.forced_down or host.lost_at is not None or host.fenced_at is not None:
            return False
        life = world.life(host)
        return beats(now, down_after, life.last_seen_up, life.lease_until)

    return (
        ("disabled", lambda h: not h.disabled),
        ("draining", lambda h: h.mode is not Mode.DRAINING),
        ("in maintenance", lambda h: h.mode is not Mode.MAINTENANCE),
        ("down", alive),
    )


def _zone(request: PlaceRequest, world: World) -> Made:
    zone = request.availability_zone
    if zone is None:
        return ()
    return (("in another zone", lambda h: h.availability_zone == zone),)


def _runtime(request: PlaceRequest, world: World) -> Made:
    runtime = request.runtime
    if runtime is None:
        return ()
    return (("without the runtime", lambda h: runtime in h.inventory.runtimes),)


def _image_driver(request: PlaceRequest, world: World) -> Made:
    driver = request.image_driver
    if driver is None:
        return ()
    return (
        (
            "without the image driver",
            lambda h: not h.inventory.image_drivers or driver in h.inventory.image_drivers,
        ),
    )


def _architecture(request: PlaceRequest, world: World) -> Made:
    hint = request.hints.get("architecture")
    if not isinstance(hint, str):
        return ()
    wanted = architecture(hint)
    return (
        ("of another architecture", lambda h: architecture(h.inventory.architecture) == wanted),
    )


def _labels(request: PlaceRequest, world: World) -> Made:
    wanted = {
        key.removeprefix(_LABEL): str(value)
        for key, value in request.hints.items()
        if key.startswith(_LABEL)
    }
    if not wanted:
        return ()
    items = wanted.items()
    return (("without the label", lambda h: all(h.inventory.labels.get(k) == v for k, v in items)),)


def _cpu_set(request: PlaceRequest, world: World) -> Made:
    if request.cpu_policy != "dedicated":
        return ()
    return (
        ("without CPU pinning", lambda h: h.enable_cpu_pinning),
        ("short of CPUs of its own", lambda h: request.cpu <= len(h.free_cpus)),
    )


def _cpu(request: PlaceRequest, world: World) -> Made:
    if request.cpu_policy == "dedicated":
        return ()
    cpu, one = request.cpu, request.one_cpu or request.cpu
    # Whatever may be promised to all together: no single one gets more than is really there.
    return (
        (
            "short of CPU",
            lambda h: (
                one <= h.inventory.cpus and h.cpu_used - h.cpus_pinned + cpu <= h.cpus + _SLACK
            ),
        ),
    )


def _memory(request: PlaceRequest, world: World) -> Made:
    memory, one = request.memory, request.one_memory or request.memory
    return (
        (
            "short of memory",
            lambda h: one <= h.inventory.mem_total and h.mem_used + memory <= h.memory,
        ),
    )


def _disk(request: PlaceRequest, world: World) -> Made:
    disk = request.disk
    limit: Made = ()
    if request.wants_disk_quota:
        limit = (("unable to limit disk", lambda h: h.inventory.disk_quota_supported),)
    return (*limit, ("short of disk", lambda h: h.disk_used + disk <= h.disk))


def _affinity(request: PlaceRequest, world: World) -> Made:
    near, away = request.neighbours.near, request.neighbours.away
    made: list[tuple[str, Passes]] = []
    if near is not None:
        made.append(("away from those it must be with", lambda h: h.hostname in near))
    if away:
        made.append(("with one it must not be with", lambda h: h.hostname not in away))
    return made


#: Asked in this order. Those without a name keep a promise to a user, and are asked whatever is configured.
FILTERS: Sequence[tuple[str | None, Maker]] = (
    (None, _requested),
    ("AvailabilityZoneFilter", _zone),
    (None, _compute),
    ("RuntimeFilter", _runtime),
    ("ImageDriverFilter", _image_driver),
    ("ArchitectureFilter", _architecture),
    ("LabelFilter", _labels),
    ("CpuSetFilter", _cpu_set),
    ("CpuFilter", _cpu),
    ("RamFilter", _memory),
    ("DiskFilter", _disk),
    (None, _affinity),
)

#: What [scheduler] enabled_filters may name. ComputeFilter is always asked; naming it is no mistake.
NAMES: Sequence[str] = ("ComputeFilter", *(name for name, _ in FILTERS if name is not None))


def asked(request: PlaceRequest, world: World) -> Made:
    """The filters to ask for this request, in order."""
    wanted = world.settings.filters
    return [
        one
        for name, make in FILTERS
        if name is None or wanted is None or name in wanted
        for one in make(request, world)
    ]
