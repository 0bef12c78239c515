"""A container leaves a host that is drained, and somebody dies at every point of it; or nobody will have it.

Whatever happens: exactly one copy runs, on the other host, with its address, and nothing of it is left on the old one -
no container, no network, no claim.
"""

from __future__ import annotations

from pathlib import Path

import pytest
from tests.crash.movers import (
    age,
    bury,
    dies_at,
    killed_conductor,
    running_on_a_dead_host,
    running_somewhere,
)
from tests.crash.test_recreate import OF_THE_HOST
from tests.support.house import PATIENCE, eventually
from tests.support.neighbourhood import Neighbourhood

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
