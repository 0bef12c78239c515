"""A container is made anew on another host, and somebody dies, or comes back, at every point of it.

Whatever happens: in the end exactly one copy runs, where the records say, with its address, and nothing of it is
anywhere else - not on an engine, not in a claim.
"""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from tests.crash.movers import (
    age,
    bury,
    dies_at,
    killed_conductor,
    running_on_a_dead_host,
)
from tests.support.house import PATIENCE, eventually
from tests.support.neighbourhood import Died, Neighbourhood

from zun.model.container import Container
from zun.model.lifecycle import Action, Status
from zun.store import claims

#: What a conductor comes to while it gives up a host and places what was there.
OF_THE_CONDUCTOR = [
    "lost:", "fenced:", "accepted:recreate", "recreate:", "recorded:recreate:place",
]  # fmt: skip

#: What the host comes to that makes the container.
OF_THE_HOST = [
    *(
        f"{moment}:recreate:{step}"
        for step in ("ports_stand", "image", "runtime_create", "runtime_start")
        for moment in ("before", "effect", "recorded")
    ),
    "settle:recreate:done",
    "settled:recreate:done",
]


def one_copy_runs(street: Neighbourhood, uuid: str, old: str, before: Container) -> None:
    """See the module."""

    def settled() -> bool:
        row = street.row(uuid)
        return (
            row is not None
            and row.status is Status.RUNNING
            and row.open_action is None
            and row.host != old
        )

    eventually(settled, f"it runs, is {street.row(uuid)}")
    row = street.row(uuid)
    assert row is not None
    assert row.host not in (None, old)
    assert row.addresses == before.addresses
    if street.hosts[old].agent is None:
        street.begin(old)
    assert street.where(uuid) == [row.host]
    assert uuid in street.hosts[str(row.host)].running
    with street.db.read() as conn:
        held = claims.held_by(conn, uuid)
    assert held is not None
    assert held.host == row.host
    for name in street.hosts:
        assert street.host(name).total_containers == (1 if name == row.host else 0)
    assert [o.action for o in street.journal(uuid)].count(Action.RECREATE) == 1


@pytest.mark.parametrize("point", OF_THE_CONDUCTOR)
def test_a_conductor_is_killed(street: Neighbourhood, tmp_path: Path, point: str) -> None:
    uuid, old, before = running_on_a_dead_host(street)
    age(street, old)
    killed_conductor(tmp_path, point)
    street.conduct()
    one_copy_runs(street, uuid, old, before)


@pytest.mark.parametrize("point", OF_THE_HOST)
def test_the_new_host_dies(street: Neighbourhood, point: str) -> None:
    uuid, old, before = running_on_a_dead_host(street)
    new = next(name for name in street.hosts if name != old)
    street.end(new)
    died = dies_at(street, point)
    street.begin(new)
    age(street, old)
    street.conduct()
    assert died.wait(PATIENCE), point
    bury(street, new)
    one_copy_runs(street, uuid, old, before)
    assert street.hosts[new].fakes.runtime.called("start", uuid) <= 2


@pytest.mark.parametrize("point", ["accepted:recreate", "recorded:recreate:place", *OF_THE_HOST])
def test_the_old_host_comes_back(street: Neighbourhood, point: str) -> None:
    uuid, old, before = running_on_a_dead_host(street)
    new = next(name for name in street.hosts if name != old)
    street.end(new)
    reached, back = threading.Event(), threading.Event()
    left: list[str] = []

    def checkpoint(name: str) -> None:
        if name == point and not reached.is_set():
            reached.set()
            street.begin(old)
            left.extend(street.hosts[old].fakes.runtime.uuids())
            back.set()

    street.checkpoint = checkpoint
    street.begin(new)
    age(street, old)
    street.conduct()
    assert back.wait(PATIENCE), point
    assert left == [], "it is gone before the host does anything else"
    one_copy_runs(street, uuid, old, before)


@pytest.mark.parametrize("point", ["admit", "clean"])
def test_the_old_host_dies_again_while_it_comes_back(street: Neighbourhood, point: str) -> None:
    uuid, old, before = running_on_a_dead_host(street)
    age(street, old)
    street.conduct()
    eventually(lambda: street.row(uuid).host not in (None, old), "made anew")  # type: ignore[union-attr]
    street.hosts[old].fakes.runtime.leave_out(uuid)  # only our records lead to it

    def checkpoint(name: str) -> None:
        if name == point:
            raise Died

    street.checkpoint = checkpoint
    with pytest.raises(Died):
        street.begin(old)
    agent = street.hosts[old].agent
    assert agent is not None
    agent.stop(1)
    street.hosts[old].agent = None
    assert street.host(old).fenced_at is not None, "it has not been let in"
    street.checkpoint = lambda name: None
    one_copy_runs(street, uuid, old, before)
