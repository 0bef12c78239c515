"""What a project may use and what it uses: counted in integers, so that sums are exact."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from zun.model.container import Container

#: What is limited, in the order it is shown (contract 8): a count, vCPU, MiB, GiB.
RESOURCES = ("containers", "cpu", "memory", "disk")

#: A limit that limits nothing.
UNLIMITED = -1

#: Effective limits by resource, in the units of RESOURCES.
Limits = Mapping[str, int]

#: A CPU is counted in thousandths.
MILLI = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class Amounts:
    """So much of each resource; `cpu` in thousandths of a vCPU. Differences may be negative."""

    containers: int = 0
    cpu: int = 0
    memory: int = 0
    disk: int = 0

    def __neg__(self) -> Amounts:
        return Amounts(
            containers=-self.containers, cpu=-self.cpu, memory=-self.memory, disk=-self.disk
        )

    def shown(self, resource: str) -> int | float:
        """The amount of one resource in the unit users know."""
        amount: int = getattr(self, resource)
        if resource != "cpu":
            return amount
        return amount // MILLI if amount % MILLI == 0 else amount / MILLI


def milli(cpu: float) -> int:
    """A number of CPUs in thousandths."""
    return round(cpu * MILLI)


def amounts_of(container: Container) -> Amounts:
    """What a container's row counts in its project (contract 8: whatever its status)."""
    return Amounts(
        containers=1, cpu=milli(container.cpu), memory=container.memory, disk=container.disk
    )


def resized(container: Container, cpu: float, memory: int) -> Amounts:
    """What a container would count more with these sizes; negative = less."""
    return Amounts(cpu=milli(cpu) - milli(container.cpu), memory=memory - container.memory)
