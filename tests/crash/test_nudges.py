"""A nudge may be lost, doubled, late, or for nothing; and rows may go away under an operation's feet."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from tests.support.house import Fakes, Rig, caller, eventually, running

from zun.bus.local import LocalBus
from zun.drivers.fake import Block
from zun.model.container import Draft, MountRequest
from zun.model.lifecycle import Action, Status
from zun.model.names import new_uuid
from zun.model.operation import CONDUCTOR_QUEUE, host_queue
from zun.store import claims, containers, networks, schema


class Deaf(LocalBus):
    """Loses every nudge."""

    def nudge(self, queue: str) -> None:
        """Nothing."""


class Echo(LocalBus):
    """Doubles every nudge, and nudges queues nobody knows of."""

    def nudge(self, queue: str) -> None:
        """Twice, and once for nobody."""
        super().nudge(queue)
        super().nudge(queue)
        super().nudge(host_queue("nowhere"))


def life(rig: Rig) -> None:
    """A container's whole life."""
    mount = MountRequest(type="bind", source="", destination="/probe")
    uuid = rig.create(Draft(image="busybox", run=True, mounts=[mount])).uuid
    row = rig.settled(uuid)
    for action, status in ((Action.STOP, Status.STOPPED), (Action.START, Status.RUNNING)):
        assert row is not None
        rig.house.services.containers.act(caller(), row, action)
        row = rig.settled(uuid)
        assert row is not None
        assert row.status is status
    assert row is not None
    rig.house.services.containers.delete(caller(), row, force=False, stop=True)
    assert rig.settled(uuid) is None
    runtime = rig.fakes.runtime
    assert [runtime.called(verb, uuid) for verb in ("create", "start", "stop", "remove")] == [
        1,
        2,
        2,
        1,
    ]


@pytest.mark.parametrize("bus", [Deaf, Echo], ids=["lost", "doubled"])
def test_nudges_that_are_lost_or_doubled_are_harmless(bus: type[LocalBus], tmp_path: Path) -> None:
    with running(tmp_path, Fakes(), bus=bus()) as rig:
        life(rig)
        nothing_is_left(rig)


def test_a_nudge_for_nothing_is_harmless(tmp_path: Path) -> None:
    bus = LocalBus()
    with running(tmp_path, Fakes(), bus=bus) as rig:
        stop = threading.Event()

        def storm() -> None:
            while not stop.wait(0.001):
                for queue in (CONDUCTOR_QUEUE, host_queue("host-1"), host_queue(new_uuid())):
                    bus.nudge(queue)

        thread = threading.Thread(target=storm)
        thread.start()
        try:
            life(rig)
        finally:
            stop.set()
            thread.join()
        nothing_is_left(rig)


@pytest.mark.parametrize(
    ("driver", "verb"),
    [("volumes", "ensure"), ("networks", "ensure_network"), ("images", "ensure"), ("runtime", "create"),
     ("runtime", "start"), ("runtime", "inspect")],
)  # fmt: skip
def test_a_row_that_goes_away_under_an_operation(driver: str, verb: str, tmp_path: Path) -> None:
    fakes, entered, go = Fakes(), threading.Event(), threading.Event()
    with running(tmp_path, fakes) as rig:
        getattr(fakes, driver).script(verb, Block(go, entered=entered))
        mount = MountRequest(type="bind", source="", destination="/probe")
        uuid = rig.create(Draft(image="busybox", run=True, mounts=[mount])).uuid
        assert entered.wait(30)
        with rig.db.write() as conn:
            containers.delete(conn, uuid)
        go.set()
        assert rig.settled(uuid) is None
        nothing_is_left(rig)


def nothing_is_left(rig: Rig) -> None:
    """After a listing of the engine, which takes away what nobody owns."""

    def nothing() -> bool:
        rig.house.agent.observer.look_at_all()
        fakes = rig.fakes
        return not (
            fakes.runtime.uuids() or fakes.volumes.list() or fakes.networks._specs or records(rig)
        )

    eventually(nothing, f"nothing is left, not {records(rig)}")


def records(rig: Rig) -> list[str]:
    """What the database still has of containers."""
    with rig.db.read() as conn:
        found = [f"claim of {c.container_uuid}" for c in claims.claims_on(conn, "host-1")]
        found += [f"network {n.uuid}" for n in networks.every(conn)]
        found += [f"port {row.uuid}" for row in conn.execute(schema.ports.select())]
        open_key = schema.operations.c.open_key
        query = schema.operations.select().where(open_key.is_not(None))
        return found + [f"operation {row.action}" for row in conn.execute(query)]
