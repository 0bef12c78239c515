"""A worker that dies between effect and record: whoever takes the operation back brings all of it to one truth."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.support.house import Rig, caller, quick_settings, running
from tests.support.lab import soon

from zun.model.container import Container
from zun.model.names import network_name
from zun.store import claims, hosts, networks
from zun.work.runner import RunnerSettings


class _Died(BaseException):
    """As good as a SIGKILL: nothing below catches it."""


@contextmanager
def dying_at(path: Path, point: str) -> Iterator[Rig]:
    """A house whose worker dies the first time it comes to `point`."""
    died: list[str] = []

    def checkpoint(name: str) -> None:
        if name == point and not died:
            died.append(name)
            raise _Died

    runner = RunnerSettings(workers=4, poll=0.1, lease=0.6)
    settings = quick_settings()
    settings = replace(
        settings,
        agent=replace(settings.agent, runner=runner),
        conductor=replace(settings.conductor, runner=runner, round=0.1),
    )
    with running(path, settings=settings, checkpoint=checkpoint) as rig:
        yield rig
        assert died == [point]


def started(rig: Rig) -> Container:
    uuid = rig.create().uuid
    rig.until(uuid, "Running")
    row = rig.settled(uuid)
    assert row is not None
    return row


@pytest.mark.parametrize("memory", [128, 1024])
@pytest.mark.parametrize(
    "point",
    [
        "before:resize_container:runtime_limits",
        "effect:resize_container:runtime_limits",
        "recorded:resize_container:runtime_limits",
        "recorded:resize_container:claim",
        "settle:resize_container:done",
    ],
)
def test_a_size_is_the_same_everywhere(tmp_path: Path, point: str, memory: int) -> None:
    with dying_at(tmp_path, point) as rig:
        row = started(rig)
        rig.house.services.containers.resize(caller(), row, {"memory": memory, "cpu": 2.0})
        after = rig.settled(row.uuid)
        assert after is not None
        with rig.db.read() as conn:
            held = claims.held_by(conn, row.uuid)
            (host,) = hosts.every(conn)
        assert held is not None
        limits = rig.fakes.runtime.limits_of(row.uuid)
        assert (held.cpu, held.memory) == (after.cpu, after.memory) == (2.0, memory)
        assert (limits.cpu, limits.memory) == (2.0, memory)
        assert (host.cpu_used, host.mem_used) == (2.0, memory)
        assert after.status == "Running"


def _agreed(rig: Rig, uuid: str) -> set[str]:
    """The container's networks by the records, the row and the engine, which must agree."""
    row = rig.row(uuid)
    assert row is not None
    with rig.db.read() as conn:
        recorded = {p.network_uuid: p.address for p in networks.ports_of(conn, uuid)}
    shown = {net: entries[0]["addr"] for net, entries in (row.addresses or {}).items()}
    engine: dict[str, Any] = dict(rig.fakes.runtime.inspect(uuid, soon()).addresses)
    assert shown == recorded
    assert engine == {network_name(net): (address,) for net, address in recorded.items()}
    return set(recorded)


@pytest.mark.parametrize(
    "point",
    [
        "effect:network_detach:network_disconnect",
        "recorded:network_detach:network_disconnect",
        "effect:network_detach:network_leave",
    ],
)
def test_a_network_goes_wholly(tmp_path: Path, point: str) -> None:
    with dying_at(tmp_path, point) as rig:
        row = started(rig)
        rig.house.services.networks.detach(caller(), row, "default", None)
        rig.settled(row.uuid)
        assert _agreed(rig, row.uuid) == set()
        assert list(rig.fakes.networks.list_networks(soon())) == []
