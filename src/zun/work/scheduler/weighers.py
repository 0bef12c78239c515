"""The weighers: which host of those that fit is best. The lowest cost is; the name decides between equals."""

from __future__ import annotations

import math
from collections.abc import Callable

from zun.model.host import Host
from zun.work.scheduler.values import PlaceRequest, World


def cost(request: PlaceRequest, world: World) -> Callable[[Host], tuple[float, str]]:
    """The cost of placing `request` on a host: how full it is, and whatever else the operator weighs."""
    settings, neighbours = world.settings, request.neighbours
    sign = 1.0 if settings.spread else -1.0
    liked, disliked = neighbours.liked, neighbours.disliked
    most = max([*liked.values(), *disliked.values(), 1])

    def of(host: Host) -> tuple[float, str]:
        total = sign * load(host)
        if (io_load := world.life(host).io_load) is not None:
            total += settings.io_weight * io_load
        if host.hostname in world.having:
            total -= settings.image_weight
        if liked or disliked:
            near = disliked.get(host.hostname, 0) - liked.get(host.hostname, 0)
            total += settings.soft_affinity_weight * near / most
        return total, host.hostname

    return of


def load(host: Host) -> float:
    """The share of a host that is claimed, of the resource it has least of: 0 is empty, 1 is full."""
    shared = host.cpu_used - host.cpus_pinned
    return max(
        shared / host.cpus if host.cpus else math.inf,
        host.mem_used / host.memory if host.memory else math.inf,
    )
