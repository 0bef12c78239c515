"""A container leaves a host that is drained, and somebody dies at every point of it; or nobody will have it.

Whatever happens: exactly one copy runs, on the other host, with its address, and nothing of it is left on the old one -
no container, no network, no claim.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.crash.conductor import settings
from tests.crash.test_recreate import (
    MOVABLE,
    OF_THE_HOST,
    Died,
    age,
    killed_conductor,
    running_on_a_dead_host,
)
from tests.support.house import PATIENCE, eventually
from tests.support.neighbourhood import Neighbourhood, neighbourhood

from zun.drivers.deadline import Deadline
from zun.drivers.errors import Rejected
from zun.drivers.fake import Fail
from zun.model.container import Container
from zun.model.host import Mode
from zun.model.lifecycle import Action, Status
from zun.store import claims
from zun.work.kinds import steps_of

#: What the host comes to that is left.
OF_THE_OLD_HOST = [
    f"{moment}:move:{step}"
    for step in ("runtime_stop", "runtime_remove", "ports_leave")
    for moment in ("before", "effect", "recorded")
]

#: What is taken back on a host that will not have it.
UNDONE = ["undo:recreate:ports_stand", "undone:recreate:ports_stand"]


@pytest.fixture
def street(tmp_path: Path) -> Iterator[Neighbourhood]:
    """Two hosts whose agents live in this process, on fakes; a host is down when a test says so."""
    quick = settings()
    agent = replace(quick.agent, lease=PATIENCE, fence_after=20.0)
    with neighbourhood(tmp_path, 2, replace(quick, agent=agent)) as street:
        yield street


def running_somewhere(street: Neighbourhood) -> tuple[str, str, Container]:
    """A container that runs, its host, and its row."""
    for name in street.hosts:
        street.begin(name)
    street.conduct()
    uuid = street.create(**MOVABLE)
    row = street.settled(uuid)
    assert row is not None and row.status is Status.RUNNING and row.host is not None
    return uuid, row.host, row


def drain(street: Neighbourhood, name: str) -> None:
    street.services.hosts.set_mode(name, Mode.DRAINING, None)


def networks_on(street: Neighbourhood, name: str) -> list[str]:
    return list(street.hosts[name].fakes.networks.list_networks(Deadline(PATIENCE)))


def it_has_moved(street: Neighbourhood, uuid: str, old: str, before: Container) -> None:
    """See the module."""
    (new,) = street.hosts.keys() - {old}

    def settled() -> bool:
        row = street.row(uuid)
        assert row is not None
        return (row.status, row.open_action, row.host) == (Status.RUNNING, None, new)

    eventually(settled, f"it runs on {new}, is {street.row(uuid)}")
    row = street.row(uuid)
    assert row is not None
    assert row.addresses == before.addresses
    assert street.where(uuid) == [new]
    assert uuid in street.hosts[new].running
    assert networks_on(street, old) == []
    assert len(networks_on(street, new)) == 1
    with street.db.read() as conn:
        held = claims.held_by(conn, uuid)
    assert held is not None and held.host == new
    assert [street.host(name).total_containers for name in (old, new)] == [0, 1]
    assert [o.action for o in street.journal(uuid)] == [Action.MOVE, Action.CREATE]


def dies_at(street: Neighbourhood, point: str) -> threading.Event:
    """Whoever comes to a point first dies there; from the next agent that begins on."""
    died = threading.Event()

    def checkpoint(name: str) -> None:
        if name == point and not died.is_set():
            died.set()
            raise Died

    street.checkpoint = checkpoint
    return died


def bury(street: Neighbourhood, name: str) -> None:
    """The worker of an agent is dead: what it has in hand, nobody ends. Another begins."""
    agent = street.hosts[name].agent
    assert agent is not None
    agent.stop(0.1)
    street.hosts[name].agent = None
    street.begin(name)


@pytest.mark.parametrize("point", OF_THE_OLD_HOST)
def test_the_host_that_is_left_dies(street: Neighbourhood, point: str) -> None:
    uuid, old, before = running_somewhere(street)
    street.end(old)
    died = dies_at(street, point)
    street.begin(old)
    drain(street, old)
    assert died.wait(PATIENCE), point
    bury(street, old)
    it_has_moved(street, uuid, old, before)
    assert street.hosts[old].fakes.networks.called("remove_network") <= 2


@pytest.mark.parametrize("point", ["recorded:move:place"])
def test_a_conductor_is_killed(street: Neighbourhood, tmp_path: Path, point: str) -> None:
    uuid, old, before = running_somewhere(street)
    street.rest()
    drain(street, old)
    killed_conductor(tmp_path, point)
    street.conduct()
    it_has_moved(street, uuid, old, before)


@pytest.mark.parametrize("point", UNDONE)
def test_a_host_that_will_not_have_it_dies_while_it_gives_back(
    street: Neighbourhood, point: str
) -> None:
    """Nobody else is there to have it: it stays what it was, and nothing of it is where it could not be."""
    uuid, old, _ = running_on_a_dead_host(street)
    (new,) = street.hosts.keys() - {old}
    street.end(new)
    street.hosts[new].fakes.runtime.script("create", Fail(Rejected("no"), 10))
    died = dies_at(street, point)
    street.begin(new)
    age(street, old)
    street.conduct()
    assert died.wait(PATIENCE), point
    bury(street, new)
    row = street.settled(uuid)
    assert row is not None
    assert (row.status, row.host) == (Status.UNKNOWN, old)
    assert street.where(uuid) == [old]
    assert networks_on(street, new) == []
    assert street.host(new).total_containers == 0


def test_every_step_between_hosts_has_its_points() -> None:
    """A move does the steps of a stop and leaves; then it does those of a re-creation, step by step the same."""

    def cut(points: list[str]) -> list[str]:
        return list(dict.fromkeys(p.split(":")[2] for p in points if not p.startswith("settle")))

    move = [*cut(OF_THE_OLD_HOST), "place", *cut(OF_THE_HOST)]
    assert move == list(steps_of(Action.MOVE, {}))
    assert ["place", *cut(OF_THE_HOST)] == list(steps_of(Action.RECREATE, {}))
