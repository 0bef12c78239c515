"""Upstream's defects that show only when a host is at work; each test is named after its row of contract 13.2."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.api.conftest import front_of
from tests.api.test_actions import run
from tests.support.house import Fakes, Rig, eventually, quick_settings, running
from tests.support.lab import soon

from zun.drivers.errors import Rejected
from zun.drivers.fake import Fail, FakeImages
from zun.model.names import network_name
from zun.service.settings import QuotaSettings

C = "/v1/containers"


def test_defect_06_a_host_s_errors_tell_what_is_wrong_and_nothing_of_its_insides(
    lively: Any, rig: Rig
) -> None:
    run(lively, rig)
    rig.fakes.runtime.script("top", Fail(Rejected("ps: unknown option -- z")))
    refused = lively.get(f"{C}/web/top", query="ps_args=-z")
    assert refused.status == 400
    assert refused.error["code"].startswith("container.") and "-remote" not in refused.error["code"]
    assert "unknown option" in refused.error["title"]
    rig.fakes.runtime.script("top", Fail(RuntimeError("/var/lib/secret/path of the host")))
    broken = lively.get(f"{C}/web/top")
    assert broken.status == 500
    for answer in (refused, broken):
        for leaked in ("Traceback", ".py", "secret", 'File "'):
            assert leaked not in answer.body.decode()


@pytest.mark.parametrize("way", ["resize_container", "patch"])
def test_defect_11_a_size_is_counted(tmp_path: Path, way: str) -> None:
    limits = QuotaSettings(containers=5, cpu=2, memory=1024, disk=-1)
    with running(tmp_path, settings=quick_settings(quota=limits)) as rig:
        api = front_of(rig)
        uuid = run(api, rig, cpu=0.5, memory=256)
        run(api, rig, "other", cpu=0.5, memory=256)

        def ask(**size: Any) -> int:
            if way == "patch":
                status: int = api.request("PATCH", f"{C}/web", json=size).status
            else:
                status = api.post(f"{C}/web/resize_container", json=size).status
            rig.settled(uuid)
            return status

        assert (ask(memory=769), ask(cpu=1.6)) == (403, 403)
        row = rig.row(uuid)
        assert row is not None and (row.cpu, row.memory) == (0.5, 256)
        assert ask(memory=768, cpu=1.5) in (200, 202)
        used = api.get("/v1/quotas/p1", query="usages=True").json
        assert (used["memory"]["in_use"], used["cpu"]["in_use"]) == (1024, 2)


def test_defect_13_a_create_that_fails_later_can_be_deleted_and_uses_nothing(
    lively: Any, rig: Rig
) -> None:
    rig.fakes.images.script("ensure", Fail(Rejected("no such image")))
    made = lively.post(C, json={"image": "busybox", "name": "web"}).json
    assert rig.until(made["uuid"], "Error").status_reason
    rig.settled(made["uuid"])
    assert lively.request("DELETE", f"{C}/web").status == 204
    eventually(lambda: lively.get(f"{C}/web").status == 404)
    used = lively.get("/v1/quotas/p1", query="usages=True").json
    assert {key: value["in_use"] for key, value in used.items()} == {
        "containers": 0, "cpu": 0, "memory": 0, "disk": 0,
    }  # fmt: skip


def test_defect_16_a_network_that_is_gone_does_not_keep_a_container(lively: Any, rig: Rig) -> None:
    uuid = run(lively, rig)
    [network] = rig.fakes.networks.list_networks(soon())
    rig.fakes.runtime.disconnect(uuid, network_name(network), soon())
    rig.fakes.networks.vanish(network)
    assert lively.request("DELETE", f"{C}/web", query="stop=true").status == 204
    eventually(lambda: lively.get(f"{C}/web").status == 404)
    assert uuid not in rig.fakes.runtime.uuids()


def test_defect_30_an_image_that_is_not_there_is_said(tmp_path: Path) -> None:
    fakes = Fakes(images=FakeImages("busybox"))
    with running(tmp_path, fakes) as rig:
        api = front_of(rig)
        for bad in ("UPPER:1", "a//b", "x:", "x@sha256:1"):
            refused = api.post(C, json={"image": bad})
            assert (refused.status, "image" in refused.error["title"]) == (400, True), bad
        assert api.counts() == (0, 0, 0)
        missing = api.post(C, json={"image": "nosuch:7"}).json["uuid"]
        row = rig.until(missing, "Error")
        assert "nosuch:7" in str(row.status_reason)


def test_defect_36_a_delete_that_fails_has_its_end_in_the_record(lively: Any, rig: Rig) -> None:
    uuid = run(lively, rig)
    rig.fakes.runtime.script("remove", Fail(Rejected("the engine can't remove it")))
    answer = lively.request("DELETE", f"{C}/web", query="stop=true")
    rig.settled(uuid)
    request_id = answer.headers["x-openstack-request-id"]
    action = lively.get(f"{C}/web/container_actions/{request_id}").json
    assert (action["action"], action["message"]) == ("delete", "Error")
    assert action["finish_time"] is not None


def test_defect_37_a_delete_with_stop_is_one_operation_in_order(lively: Any, rig: Rig) -> None:
    uuid = run(lively, rig)
    before = len(rig.fakes.runtime.calls)
    assert lively.request("DELETE", f"{C}/web", query="stop=true").status == 204
    eventually(lambda: lively.get(f"{C}/web").status == 404)
    done = [c.verb for c in rig.fakes.runtime.calls[before:] if c.key == uuid]
    assert [verb for verb in done if verb in ("stop", "remove")] == ["stop", "remove"]
