"""The reaper removes what carries our mark and has no record: nothing else, and not at once."""

from __future__ import annotations

import logging
from collections.abc import Callable

import pytest
from tests.support.capsules import capsule
from tests.support.envs import HOST, HOST_ID, env, metrics
from tests.support.house import Fakes
from tests.support.rows import NOW, container

from zun.compute.reaper import Reaper, ReaperSettings
from zun.drivers.deadline import Deadline
from zun.drivers.errors import Rejected, Unavailable
from zun.drivers.fake import Act, Fail
from zun.drivers.network import NetworkSpec
from zun.drivers.runtime import Plan
from zun.drivers.volume import VolumeRequest
from zun.model.names import new_uuid
from zun.store import capsules, containers, networks
from zun.store.database import Database

GRACE = 300.0


class World:
    """A host with leftovers, and a clock that the test moves."""

    def __init__(self, db: Database, fakes: Fakes) -> None:
        self.db, self.fakes, self.time, self.metrics = db, fakes, 0.0, metrics()

    def reaper(self, *, dry_run: bool = False) -> Callable[[], None]:
        surroundings = env(self.db, self.fakes)
        reaper = Reaper(
            surroundings, ReaperSettings(grace=GRACE, dry_run=dry_run), self.metrics,
            monotonic=lambda: self.time,
        )  # fmt: skip
        return lambda: reaper.sweep(list(self.fakes.runtime.list(HOST_ID, Deadline(5))))

    def on_engine(self, uuid: str, owner: str = HOST_ID) -> None:
        plan = Plan(uuid=uuid, project_id="p", host=owner, generation="g", image="i")
        self.fakes.runtime.put(plan)

    def files(self, uuid: str) -> None:
        request = VolumeRequest(container_uuid=uuid, index=0, destination="/x", content=b"x")
        self.fakes.volumes.ensure(request, Deadline(5))

    def network(self, uuid: str, octet: int) -> None:
        spec = NetworkSpec(uuid=uuid, project_id="p", name="n", subnet=f"10.99.{octet}.0/24")
        self.fakes.networks.ensure_network(spec, Deadline(5))

    def there(self, uuid: str) -> bool:
        return (
            uuid in self.fakes.runtime.uuids()
            or uuid in self.fakes.volumes.list()
            or uuid in self.fakes.networks.list_networks(Deadline(5))
        )


@pytest.fixture
def world(db: Database, fakes: Fakes) -> World:
    return World(db, fakes)


@pytest.fixture
def leftovers(world: World) -> list[str]:
    """One of each kind."""
    uuids = [new_uuid() for _ in range(3)]
    world.on_engine(uuids[0])
    world.files(uuids[1])
    world.network(uuids[2], 1)
    return uuids


def test_leftovers_go_when_they_were_seen_long_enough(world: World, leftovers: list[str]) -> None:
    sweep = world.reaper()
    sweep()
    world.time = GRACE - 1
    sweep()
    assert all(map(world.there, leftovers))
    world.time = GRACE
    sweep()
    assert not any(map(world.there, leftovers))
    count = world.metrics.leftovers.labels
    assert [count(k)._value.get() for k in ("container", "files", "network")] == [1, 1, 1]


def test_one_that_was_away_in_between_begins_its_grace_anew(world: World) -> None:
    uuid = new_uuid()
    sweep = world.reaper()
    world.files(uuid)
    sweep()
    world.fakes.volumes.release(uuid, Deadline(5))
    world.time = 200
    sweep()
    world.files(uuid)
    world.time = GRACE + 1
    sweep()
    assert world.there(uuid)


def test_a_dry_run_only_says_so(
    world: World, leftovers: list[str], caplog: pytest.LogCaptureFixture
) -> None:
    sweep = world.reaper(dry_run=True)
    sweep()
    world.time = GRACE * 2
    with caplog.at_level(logging.WARNING):
        sweep()
    assert all(map(world.there, leftovers))
    assert all(uuid in caplog.text for uuid in leftovers)


def test_what_has_a_record_is_never_touched(world: World) -> None:
    with world.db.write() as conn:
        known = container(host=HOST)
        # Even one that is recorded nowhere: whose it is, is for its next operation to say.
        unplaced = container(host=None)
        for one in (known, unplaced):
            containers.insert(conn, one)
        net = networks.ensure(conn, "p", "default", ["10.99.7.0/24"], NOW)
    for one in (known, unplaced):
        world.on_engine(one.uuid)
        world.files(one.uuid)
    world.network(net.uuid, 7)
    sweep = world.reaper()
    sweep()
    world.time = GRACE * 10
    sweep()
    assert all(world.there(one.uuid) for one in (known, unplaced))
    assert world.there(net.uuid)


def test_the_sandbox_of_another_hosts_capsule_goes(world: World) -> None:
    moved, unplaced = capsule(host="host-2"), capsule(host=None)
    with world.db.write() as conn:
        for one in (moved, unplaced):
            capsules.insert(conn, one)
    for one in (moved, unplaced):
        world.on_engine(one.uuid)
    sweep = world.reaper()
    sweep()
    world.time = GRACE * 2
    sweep()
    assert not world.there(moved.uuid)
    assert world.there(unplaced.uuid)


def test_what_was_placed_here_anew_since_it_was_listed_stays(world: World) -> None:
    moved = container(host="host-2")
    with world.db.write() as conn:
        containers.insert(conn, moved)
    world.on_engine(moved.uuid)
    sweep = world.reaper()
    sweep()
    world.time = GRACE * 2
    anew = Act(before=lambda: world.on_engine(moved.uuid))
    world.fakes.runtime.script("remove", anew)
    sweep()
    assert world.there(moved.uuid)


def test_what_the_records_say_is_another_hosts_goes(world: World) -> None:
    """It was made anew elsewhere, and nobody was here to remove it."""
    moved = container(host="host-2")
    with world.db.write() as conn:
        containers.insert(conn, moved)
    world.on_engine(moved.uuid)
    sweep = world.reaper()
    sweep()
    assert world.there(moved.uuid)
    world.time = GRACE * 2
    sweep()
    assert not world.there(moved.uuid)


def test_what_is_another_hosts_is_never_touched(world: World) -> None:
    uuid = new_uuid()
    world.on_engine(uuid, owner="44444444-4444-4444-8444-444444444444")
    sweep = world.reaper()
    sweep()
    world.time = GRACE * 10
    sweep()
    assert world.there(uuid)


@pytest.mark.parametrize("error", [Unavailable("away"), Rejected("in use")])
def test_one_that_will_not_go_does_not_keep_the_others(world: World, error: Exception) -> None:
    stubborn, willing = new_uuid(), new_uuid()
    world.on_engine(stubborn)
    world.on_engine(willing)
    sweep = world.reaper()
    sweep()
    world.time = GRACE
    world.fakes.runtime.script("remove", Fail(error))
    sweep()
    assert world.there(stubborn)
    assert not world.there(willing)
    sweep()
    assert not world.there(stubborn), "it is tried again at the next listing"


def test_networks_that_can_not_be_listed_do_not_keep_the_others(world: World) -> None:
    uuid = new_uuid()
    world.on_engine(uuid)
    world.fakes.networks.script("list_networks", Fail(Unavailable("x"), times=2))
    sweep = world.reaper()
    sweep()
    world.time = GRACE
    sweep()
    assert not world.there(uuid)
