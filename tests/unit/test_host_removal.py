"""A host is removed from the records while something is on it, or on its way from it; and may come back."""

from __future__ import annotations

import threading
from collections.abc import Sequence

import pytest
from tests.support.house import caller, eventually
from tests.support.street import (
    MOVABLE,
    RECREATE,
    Street,
    being_made_anew,
    kill,
    look_alone,
    lose,
    placed,
    running_copies,
)  # fmt: skip

from zun.drivers.errors import Rejected
from zun.drivers.fake import Block, Fail
from zun.model.host import Mode
from zun.model.lifecycle import Action, Status
from zun.model.operation import CONDUCTOR_QUEUE, OperationState
from zun.service.errors import NotFound
from zun.service.host_removal import HostRemoval
from zun.service.images import PullRequest
from zun.service.queries import ListQuery
from zun.store import claims, hosts


def test_a_host_that_was_removed_by_force_comes_back_clean(street: Street) -> None:
    uuid, name = placed(street)
    movable, _ = placed(street, **MOVABLE)
    with street.db.read() as conn:
        ident = hosts.uuid_of(conn, name)
    lose(street, name)
    street.services.hosts.remove(name, force=True)
    row = street.row(uuid)
    assert row is not None
    assert (row.status, row.host) == (Status.ERROR, None)
    with pytest.raises(NotFound):
        street.services.hosts.find(name)
    assert [h.hostname for h in street.services.hosts.list(ListQuery(limit=10))] != [name]
    street.services.containers.delete(caller(), row, force=False, stop=False)
    assert street.settled(uuid) is None
    assert uuid in street.where(uuid) or street.where(uuid) == [name], "its engine still has it"
    street.begin(name)
    back = street.services.hosts.find(name)
    assert (back.uuid, back.total_containers, back.fenced_at) == (ident, 0, None)
    assert street.where(uuid) == []
    assert street.row(movable) is not None


def test_a_fenced_host_that_was_removed_empty_comes_back_clean(street: Street) -> None:
    """Without force, for it has nothing more by the records; its engine has."""
    uuid, name = placed(street, **MOVABLE)
    kill(street, name)
    street.services.hosts.force_down(name, hosts.BINARY, True)
    street.look()
    row = street.settled(uuid)
    assert row is not None
    street.services.hosts.remove(name, force=False)
    with pytest.raises(NotFound):
        street.services.hosts.find(name)
    assert uuid in street.hosts[name].running
    street.begin(name)
    assert running_copies(street, uuid) == [row.host]
    assert street.services.hosts.find(name).fenced_at is None


def test_what_is_being_made_anew_when_its_host_is_removed_goes_on(street: Street) -> None:
    uuid, name = placed(street, **MOVABLE)
    go = being_made_anew(street, name)
    street.services.hosts.remove(name, force=True)
    go.set()
    row = street.settled(uuid)
    assert row is not None
    assert row.status is Status.RUNNING
    assert row.host not in (None, name)


def test_what_moved_away_while_its_host_is_removed_is_not_given_up(
    street: Street, monkeypatch: pytest.MonkeyPatch
) -> None:
    go, entered = threading.Event(), threading.Event()
    uuid, name = placed(street, **MOVABLE)
    for other, host in street.hosts.items():
        if other != name:
            host.fakes.images.script("ensure", Block(go, entered=entered))
    lose(street, name)
    look = look_alone(street)
    street.fall_silent(name, RECREATE)
    look()
    assert street.journal(uuid)[0].action is Action.RECREATE
    seen = HostRemoval._on

    def then_it_moves(self: HostRemoval, host: str) -> Sequence[object]:
        rows = seen(self, host)
        assert [row.uuid for row in rows] == [uuid]
        street.conduct()
        assert entered.wait(30)
        go.set()
        assert street.settled(uuid) is not None
        return rows

    monkeypatch.setattr(HostRemoval, "_on", then_it_moves)
    street.services.hosts.remove(name, force=True)
    row = street.row(uuid)
    assert row is not None
    assert (row.status, street.where(uuid)[-1:]) == (Status.RUNNING, [row.host])
    assert row.host not in (None, name)
    with street.db.read() as conn:
        held = claims.held_by(conn, uuid)
    assert held is not None
    assert held.host == row.host


def test_what_can_not_be_made_anew_after_its_host_was_removed_says_so(street: Street) -> None:
    uuid, name = placed(street, **MOVABLE)
    go = being_made_anew(street, name, then=Fail(Rejected("too old"), 5))
    street.services.hosts.remove(name, force=True)
    go.set()
    row = street.settled(uuid)
    assert row is not None
    assert street.journal(uuid)[0].state is OperationState.FAILED
    assert (row.status, row.host, row.status_reason) == (Status.ERROR, None, "too old")


def test_what_finds_no_place_after_its_host_was_removed_is_nobodys(street: Street) -> None:
    uuid, name = placed(street, **MOVABLE)
    for other in street.hosts:
        if other != name:
            street.services.hosts.disable(other, hosts.BINARY, None)
    lose(street, name)
    street.fall_silent(name, RECREATE)
    street.look()
    eventually(lambda: "disabled" in (street.journal(uuid)[0].error or ""), "no host fits")
    street.services.hosts.remove(name, force=True)
    row = street.row(uuid)
    assert row is not None
    assert (row.status, row.host) == (Status.REBUILDING, name)
    street.clock.pass_(24 * 3600)
    row = street.settled(uuid)
    assert row is not None
    assert (row.status, row.host, row.lost_status) == (Status.ERROR, None, None)
    assert "disabled" in (row.status_reason or "")
    with street.db.read() as conn:
        assert claims.held_by(conn, uuid) is None
    street.begin(name)
    assert street.where(uuid) == []


def test_what_has_left_a_host_goes_on_when_that_is_removed(street: Street) -> None:
    go, entered = threading.Event(), threading.Event()
    uuid, name = placed(street, **MOVABLE)
    street.hosts[name].fakes.networks.script("remove_network", Block(go, entered=entered))
    look = street.conductors[0].watch.look
    street.services.hosts.set_mode(name, Mode.DRAINING, None)
    look()
    assert entered.wait(30)
    street.rest()
    go.set()
    eventually(lambda: street.journal(uuid)[0].queue == CONDUCTOR_QUEUE, "it has left")
    kill(street, name)
    street.services.hosts.force_down(name, hosts.BINARY, True)
    street.services.hosts.remove(name, force=True)
    street.conduct()
    row = street.settled(uuid)
    assert row is not None
    assert row.status is Status.RUNNING
    assert street.where(uuid) == [row.host]
    assert street.journal(uuid)[0].action is Action.MOVE


def test_a_pull_by_a_host_that_is_removed_has_failed(street: Street) -> None:
    """The records of images are the host's, should it return; what was to be done ends."""
    name = next(iter(street.hosts))
    kill(street, name)
    image = street.services.images.pull(caller(), PullRequest(repo="busybox", host=name))
    lose(street, name)
    street.services.hosts.remove(name, force=True)
    [pull] = street.journal(image.uuid)
    assert (pull.state, pull.error) == (OperationState.FAILED, f"Host {name} was removed.")
