"""Which CPUs a container gets for its own: near to one another if they can be."""

from __future__ import annotations

from collections.abc import Collection, Sequence

from zun.model.host import NumaCell


def pick(wanted: int, free: Collection[int], cells: Sequence[NumaCell]) -> Sequence[int] | None:
    """`wanted` of the `free` CPUs, sorted; None if there are too few.

    From the cell with the fewest that are enough, so that others keep room for greater wishes; else from as few cells
    as it takes, the fullest first.
    """
    if len(free) < wanted:
        return None
    left = sorted(free)
    by_cell = [sorted(set(cell.cpus) & set(free)) for cell in cells]
    enough = [cpus for cpus in by_cell if len(cpus) >= wanted]
    if enough:
        return min(enough, key=len)[:wanted]
    near = [cpu for cpus in sorted(by_cell, key=len, reverse=True) for cpu in cpus]
    return sorted([*near, *(cpu for cpu in left if cpu not in near)][:wanted])
