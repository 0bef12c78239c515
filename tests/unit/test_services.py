"""Services over a working house: what operators say counts, and a living agent is never forgotten."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from tests.support.house import Fakes, Rig, caller, eventually, make, quick_settings, running

from zun.model.container import Draft
from zun.service.errors import NotFound
from zun.store import hosts

HOST, BINARY = "host-1", "zun-compute"


def _refused(rig: Rig) -> str:
    row = rig.settled(rig.create(Draft(image="busybox")).uuid)
    assert row is not None and row.status == "Error"
    return str(row.status_reason)


def test_disabled_and_forced_down_hosts_get_nothing_new(tmp_path: Path) -> None:
    with running(tmp_path) as rig:
        service = rig.house.services.hosts
        before = rig.until(rig.create().uuid, "Running")
        service.disable(HOST, BINARY, "new disk")
        assert "disabled" in _refused(rig)
        service.enable(HOST, BINARY)
        service.force_down(HOST, BINARY, True)
        assert "down" in _refused(rig)
        service.force_down(HOST, BINARY, False)
        rig.until(rig.create().uuid, "Running")
        # What was there stays, and can be worked on.
        rig.house.services.containers.delete(caller(), before, force=True, stop=False)
        assert rig.settled(before.uuid) is None


def test_a_deleted_service_of_a_living_agent_comes_back(tmp_path: Path) -> None:
    with running(tmp_path) as rig:
        service = rig.house.services.hosts
        (host,) = hosts_of(rig)
        service.disable(HOST, BINARY, "x")
        service.delete_service(HOST, BINARY)
        eventually(lambda: service.services(), "the agent beats")
        (after,) = hosts_of(rig)
        assert (after.uuid, after.epoch, after.disabled) == (host.uuid, host.epoch, False)
        rig.until(rig.create().uuid, "Running")  # its work goes on under the same epoch


def hosts_of(rig: Rig) -> list[hosts.Host]:
    with rig.db.read() as conn:
        return hosts.every(conn)


def test_a_host_keeps_its_uuid_when_its_service_was_deleted(tmp_path: Path) -> None:
    """Its engine marks what is ours by that uuid."""
    with running(tmp_path) as rig:
        (host,) = hosts_of(rig)
        row = rig.until(rig.create().uuid, "Running")
    again = make(tmp_path, rig.fakes)
    again.house.services.hosts.delete_service(HOST, BINARY)
    with pytest.raises(NotFound):
        again.house.services.hosts.delete_service(HOST, BINARY)
    again.db.close()
    with running(tmp_path, Fakes()) as rig:
        (after,) = hosts_of(rig)
        assert (after.uuid, after.epoch) == (host.uuid, host.epoch + 1)
        assert rig.row(row.uuid) is not None


def test_a_share_of_the_disk_is_kept_for_images(tmp_path: Path) -> None:
    settings = quick_settings()
    settings = replace(settings, agent=replace(settings.agent, image_share=0.2))
    with running(tmp_path, settings=settings) as rig:
        (host,) = hosts_of(rig)
        assert (host.inventory.disk_total, host.disk) == (80, 80)
