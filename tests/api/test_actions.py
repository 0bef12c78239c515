"""Sizes, networks, files, usage, commit and images, from the request to the (fake) engine and back."""

from __future__ import annotations

import base64
import io
import tarfile
import threading
from typing import Any

import pytest
from tests.support.house import Rig, eventually
from tests.support.lab import soon
from tests.support.rawstreams import tar_of

from zun.api.middleware.archives import ArchiveGate
from zun.drivers.errors import Rejected, Unavailable
from zun.drivers.fake import Fail, LoseReply
from zun.drivers.runtime import Limits
from zun.drivers.subnets import checked_subnet
from zun.model.host import Claim
from zun.model.names import network_name, new_uuid
from zun.service.errors import Unavailable as UnavailableNow
from zun.store import claims, images, networks

C = "/v1/containers"
I = "/v1/images"  # noqa: E741
N = "/v1/networks"


def run(api: Any, rig: Rig, name: str = "web", *, project: str = "p1", **fields: Any) -> str:
    """The uuid of a container that runs."""
    body = {"image": "busybox", "name": name, **fields}
    answer = api.post(C, query="run=true", json=body, project=project, roles="admin")
    assert answer.status == 202, answer.body
    uuid: str = answer.json["uuid"]
    rig.until(uuid, "Running")
    rig.settled(uuid)
    return uuid


def claim(rig: Rig, uuid: str) -> Claim:
    with rig.db.read() as conn:
        held = claims.held_by(conn, uuid)
    assert held is not None
    return held


def sizes(rig: Rig, uuid: str) -> list[tuple[float, int]]:
    """CPUs and MiB of the claim, of the row and of the engine: all three must agree."""
    row, held, limits = rig.row(uuid), claim(rig, uuid), rig.fakes.runtime.limits_of(uuid)
    assert row is not None
    return [(x.cpu, x.memory) for x in (held, row, limits)]


# -- top, stats ------------------------------------------------------------------------------------------------------


def test_top(lively: Any, rig: Rig) -> None:
    run(lively, rig, command=["sleep", "5"])
    answer = lively.get(f"{C}/web/top", query="ps_args=None")
    assert (answer.status, list(answer.json)) == (200, ["Titles", "Processes"])
    assert answer.json["Processes"] == [["1", "sleep 5"]]
    assert lively.get(f"{C}/web/top", query="ps_args=--bad").status == 400


def test_stats_have_the_contract_s_keys_and_the_cpu_of_now(lively: Any, rig: Rig) -> None:
    uuid = run(lively, rig, memory=64)
    rig.fakes.runtime.keep_busy(uuid, 0.25)
    answer = lively.get(f"{C}/web/stats").json
    assert answer == {
        "CONTAINER": "web",
        "CPU %": pytest.approx(25.0, abs=0.1),
        "MEM USAGE(MiB)": 1.0,
        "MEM LIMIT(MiB)": 64.0,
        "MEM %": 1.56,
        "BLOCK I/O(B)": "4096/8192",
        "NET I/O(B)": "100/50",
    }


@pytest.mark.parametrize("verb", ["top", "stats"])
def test_questions_to_one_that_does_not_run_are_409(lively: Any, rig: Rig, verb: str) -> None:
    uuid = run(lively, rig)
    lively.post(f"{C}/web/stop")
    rig.until(uuid, "Stopped")
    assert lively.get(f"{C}/web/{verb}").status == 409


# -- archives --------------------------------------------------------------------------------------------------------


def test_archives_go_in_and_out_in_base64(lively: Any, rig: Rig) -> None:
    run(lively, rig)
    data = tar_of("file", bytes(range(256)))
    sent = base64.b64encode(data).decode()
    put = lively.post(f"{C}/web/put_archive", query={"path": "/tmp"}, json={"data": sent})
    assert (put.status, put.json) == (200, None)
    got = lively.get(f"{C}/web/get_archive", query={"path": "/tmp/file"}).json
    with tarfile.open(fileobj=io.BytesIO(base64.b64decode(got["data"]))) as tar:
        member = tar.extractfile("file")
        assert member is not None and member.read() == bytes(range(256))
    assert set(got["stat"]) == {"name", "size", "mode", "mtime", "linkTarget"}
    assert (got["stat"]["name"], got["stat"]["size"]) == ("file", 256)
    assert isinstance(got["stat"]["mode"], int)


def test_archives_below_1_25_are_text(lively: Any, rig: Rig) -> None:
    run(lively, rig)
    data = tar_of("file", "Grüße\n".encode())
    put = lively.post(
        f"{C}/web/put_archive", query={"path": "/tmp"}, json={"data": data.decode()}, version="1.24"
    )
    assert put.status == 200, put.body
    got = lively.get(f"{C}/web/get_archive", query={"path": "/tmp/file"}, version="1.24").json
    with tarfile.open(fileobj=io.BytesIO(got["data"].encode())) as tar:
        member = tar.extractfile("file")
        assert member is not None and member.read() == "Grüße\n".encode()


def test_defect_40_an_archive_that_is_no_text_is_a_400_below_1_25(lively: Any, rig: Rig) -> None:
    uuid = run(lively, rig)
    rig.fakes.runtime._boxes[uuid].files["/tmp/binary"] = b"\xff\xfe"
    refused = lively.get(f"{C}/web/get_archive", query={"path": "/tmp/binary"}, version="1.24")
    assert refused.status == 400
    assert "1.25" in refused.error["title"]
    assert lively.get(f"{C}/web/get_archive", query={"path": "/tmp/binary"}).status == 200


def test_defect_21_archives_that_cannot_be_are_400(lively: Any, rig: Rig) -> None:
    run(lively, rig)
    good = base64.b64encode(tar_of("f", b"x")).decode()
    junk = base64.b64encode(b"junk" * 300).decode()
    for query, body, why in (
        ({}, {"data": good}, "path"),
        ({"path": "/tmp"}, {}, "data"),
        ({"path": "/tmp"}, {"data": "not base64!"}, "base64"),
        ({"path": "/tmp"}, {"data": junk}, "archive"),
        ({"path": "/nowhere"}, {"data": good}, "directory"),
        ({"path": "/tmp"}, {"data": 5}, "data"),
    ):
        refused = lively.post(f"{C}/web/put_archive", query=query, json=body)
        assert (refused.status, why in refused.error["title"]) == (400, True), refused.body
    assert lively.get(f"{C}/web/get_archive").status == 400
    assert lively.get(f"{C}/web/get_archive", query={"path": "/nowhere"}).status == 400
    coded = lively.post(f"{C}/web/put_archive", query={"path": "/"}, json={"data": "é"})
    assert coded.error["code"] == "container.base64-exception"


def test_archives_have_a_bound_of_their_own(lively: Any, rig: Rig) -> None:
    run(lively, rig)
    large = base64.b64encode(tar_of("f", b"x" * 150_000)).decode()
    query = {"path": "/tmp"}
    assert len(large) > lively.settings.max_body
    assert lively.post(f"{C}/web/put_archive", query=query, json={"data": large}).status == 200
    larger = {"data": large * 2}
    assert lively.post(f"{C}/web/put_archive", query=query, json=larger).status == 413
    assert lively.post(f"{C}/web/kill", json={"signal": large}).status == 413


# -- sizes -----------------------------------------------------------------------------------------------------------


def test_patch_changes_claim_engine_and_row_before_it_answers(lively: Any, rig: Rig) -> None:
    uuid = run(lively, rig, cpu=1, memory=256)
    answer = lively.request("PATCH", f"{C}/web", json={"cpu": 2, "memory": "128", "name": "new"})
    assert answer.status == 200, answer.body
    shown = (answer.json["cpu"], answer.json["memory"], answer.json["name"])
    assert shown == (2.0, "128", "new")
    assert sizes(rig, uuid) == [(2.0, 128)] * 3
    assert answer.json["status"] == "Running"
    assert (
        lively.get(f"{C}/new/container_actions").json["containerActions"][0]["action"] == "create"
    )


def test_resize_container_answers_the_old_values_and_then_it_is_so(lively: Any, rig: Rig) -> None:
    uuid = run(lively, rig, cpu=1, memory=256)
    answer = lively.post(f"{C}/web/resize_container", query="cpu=0.5&memory=512")
    assert (answer.status, answer.json["cpu"], answer.json["memory"]) == (202, 1.0, "256")
    eventually(lambda: sizes(rig, uuid) == [(0.5, 512)] * 3)
    assert lively.post(f"{C}/web/resize_container", json={"cpu": 1}, version="1.18").status == 406
    assert lively.post(f"{C}/web/resize_container", json={"disk": 1}).status == 400


def test_a_size_the_host_has_no_room_for_is_refused_naming_what_lacks(
    lively: Any, rig: Rig
) -> None:
    uuid = run(lively, rig, cpu=1, memory=256)
    run(lively, rig, "other", cpu=4, memory=8192)
    refused = lively.request("PATCH", f"{C}/web", json={"memory": 8192, "cpu": 2})
    assert refused.status == 409
    assert "memory" in refused.error["title"] and "CPU" not in refused.error["title"]
    both = lively.post(f"{C}/web/resize_container", json={"memory": 8192, "cpu": 16})
    assert both.status == 409
    assert "CPU and memory" in both.error["title"]
    assert sizes(rig, uuid) == [(1.0, 256)] * 3
    assert rig.fakes.runtime.called("update") == 0


def test_a_size_the_engine_refuses_is_undone(lively: Any, rig: Rig) -> None:
    uuid = run(lively, rig, cpu=1, memory=256)
    refused = lively.request("PATCH", f"{C}/web", json={"memory": 4, "name": "new"})
    assert refused.status == 409
    assert sizes(rig, uuid) == [(1.0, 256)] * 3
    row = rig.row(uuid)
    assert row is not None
    assert (row.status, row.name) == ("Running", "web")
    assert row.status_reason is not None and "out of range" in row.status_reason
    assert lively.request("PATCH", f"{C}/web", json={"memory": 512}).status == 200
    assert sizes(rig, uuid) == [(1.0, 512)] * 3


@pytest.mark.parametrize("memory", [128, 512])
def test_a_size_whose_reply_was_lost_converges(lively: Any, rig: Rig, memory: int) -> None:
    """In the middle of it the claim is the greater of both: neither way can be refused for want of room."""
    uuid = run(lively, rig, cpu=1, memory=256)
    seen: list[Claim] = []
    rig.fakes.runtime.script("update", LoseReply(), Fail(Unavailable("away"), times=2))
    rig.fakes.runtime.script("inspect", Fail(Unavailable("away")))
    lively.post(f"{C}/web/resize_container", json={"memory": memory})
    seen.append(claim(rig, uuid))
    assert seen[0].memory == max(memory, 256) or rig.settled(uuid)
    rig.settled(uuid)
    assert sizes(rig, uuid) == [(1.0, memory)] * 3


def test_a_size_that_is_refused_after_a_lost_reply_is_taken_back(lively: Any, rig: Rig) -> None:
    uuid = run(lively, rig, cpu=1, memory=256)
    rig.fakes.runtime.script("update", LoseReply(), Fail(Rejected("no more")))
    lively.post(f"{C}/web/resize_container", json={"memory": 128})
    rig.settled(uuid)
    assert sizes(rig, uuid) == [(1.0, 256)] * 3


def test_a_rebuild_keeps_the_new_size(lively: Any, rig: Rig) -> None:
    uuid = run(lively, rig, cpu=1, memory=256)
    lively.request("PATCH", f"{C}/web", json={"memory": 128})
    lively.post(f"{C}/web/rebuild")
    rig.until(uuid, "Running")
    rig.settled(uuid)
    assert rig.fakes.runtime.limits_of(uuid) == Limits(cpu=1.0, memory=128)


# -- networks --------------------------------------------------------------------------------------------------------


def make_network(api: Any, name: str = "blue", project: str = "p1") -> str:
    answer = api.post(N, json={"name": name}, roles="admin", project=project)
    assert answer.status == 200, answer.body
    assert set(answer.json) == {
        "uuid", "name", "project_id", "user_id", "network_id", "neutron_net_id",
    }  # fmt: skip
    uuid: str = answer.json["neutron_net_id"]
    return uuid


def listed(api: Any, version: str = "latest") -> list[Any]:
    found: list[Any] = api.get(f"{C}/web/network_list", version=version).json["networks"]
    return found


def test_networks_are_made_and_removed(lively: Any) -> None:
    uuid = make_network(lively)
    assert lively.post(N, json={"name": "blue"}, roles="admin").status == 409
    assert lively.post(N, json={"name": "default"}, roles="admin").status == 400
    assert lively.post(N, json={}, roles="admin").status == 400
    needs_neutron = lively.post(N, json={"name": "x", "neutron_net_id": new_uuid()}, roles="admin")
    assert (needs_neutron.status, "Neutron" in needs_neutron.error["title"]) == (400, True)
    assert lively.post(N, json={"name": "green"}).status == 403
    assert lively.request("DELETE", f"{N}/{uuid}").status == 403
    assert lively.request("DELETE", f"{N}/{uuid}", roles="admin", version="1.26").status == 406
    gone = lively.request("DELETE", f"{N}/{uuid}", roles="admin")
    assert (gone.status, gone.body) == (204, b"")
    assert lively.request("DELETE", f"{N}/{uuid}", roles="admin").status == 404
    assert lively.get(N).status == 405


def test_a_container_made_on_a_network_of_its_project(lively: Any, rig: Rig) -> None:
    blue = make_network(lively)
    uuid = run(lively, rig, nets=[{"network": "blue", "v4-fixed-ip": "10.201.0.77"}])
    (entry,) = listed(lively)
    assert (entry["net_id"], entry["fixed_ips"][0]["ip_address"]) == (blue, "10.201.0.77")
    assert list(rig.fakes.runtime.inspect(uuid, soon()).addresses) == [network_name(blue)]
    used = lively.request("DELETE", f"{N}/{blue}", roles="admin")
    assert (used.status, "in use" in used.error["title"]) == (409, True)
    lively.request("DELETE", f"{C}/web", query="stop=true")
    eventually(lambda: rig.row(uuid) is None)
    # Its last container is gone: the bridge goes from the host, the network stays, for somebody made it.
    assert list(rig.fakes.networks.list_networks(soon())) == []
    with rig.db.read() as conn:
        assert networks.get(conn, blue) is not None
    assert lively.request("DELETE", f"{N}/blue", roles="admin").status == 204


def test_a_subnet_the_host_has_elsewhere_is_exchanged(lively: Any, rig: Rig) -> None:
    rig.fakes.networks._taken.append(checked_subnet("10.201.0.0/24"))
    blue = make_network(lively)
    run(lively, rig, nets=[{"network": blue}])
    (entry,) = listed(lively)
    assert (entry["net_id"], entry["fixed_ips"][0]["ip_address"]) == (blue, "10.201.1.2")


def test_attach_list_and_detach(lively: Any, rig: Rig) -> None:
    uuid = run(lively, rig)
    blue = make_network(lively)
    (default,) = listed(lively)
    answer = lively.post(f"{C}/web/network_attach", query=f"network={blue}&port=None&fixed_ip=None")
    assert (answer.status, answer.json) == (200, None)
    rig.settled(uuid)
    assert {entry["net_id"] for entry in listed(lively)} == {default["net_id"], blue}
    assert set(listed(lively)[0]) == {"net_id", "port_id", "fixed_ips"}
    assert set(listed(lively)[0]["fixed_ips"][0]) == {"subnet_id", "version", "ip_address"}
    assert set(listed(lively, "1.17")[0]) == {
        "net_id", "subnet_id", "port_id", "version", "ip_address",
    }  # fmt: skip
    again = lively.post(f"{C}/web/network_attach", query=f"network={blue}")
    assert (again.status, again.error["code"]) == (400, "container.invalid")
    by_port = lively.post(f"{C}/web/network_detach", query=f"port={default['port_id']}")
    assert (by_port.status, by_port.json) == (202, None)
    rig.settled(uuid)
    assert [entry["net_id"] for entry in listed(lively)] == [blue]
    assert list(rig.fakes.runtime.inspect(uuid, soon()).addresses) == [network_name(blue)]
    assert lively.post(f"{C}/web/network_detach", json={"network": "blue"}).status == 202
    rig.settled(uuid)
    assert listed(lively) == []
    assert lively.get(f"{C}/web").json["addresses"] == {}
    # Without arguments: the project's default network, made again.
    assert lively.post(f"{C}/web/network_attach").status == 200
    rig.settled(uuid)
    (back,) = listed(lively)
    assert back["net_id"] not in (blue, default["net_id"])
    actions = lively.get(f"{C}/web/container_actions").json["containerActions"]
    assert [a["action"] for a in actions] == [
        "network_attach", "network_detach", "network_detach", "network_attach", "create",
    ]  # fmt: skip
    shown = lively.get(f"{C}/web/container_actions/{actions[0]['request_id']}").json
    assert shown["events"][0]["event"] == "compute__do_network_attach"


def test_network_requests_that_cannot_be(lively: Any, rig: Rig) -> None:
    run(lively, rig)
    make_network(lively, "foreign", project="p2")
    blue = make_network(lively)
    (default,) = listed(lively)
    for verb, query, status, slug in (
        ("attach", "network=nosuch", 404, "network-not-found"),
        ("attach", "network=foreign", 404, "network-not-found"),
        ("attach", f"port={new_uuid()}", 400, "invalid-value"),
        ("attach", "network=a&port=b", 400, "invalid-value"),
        ("attach", "network=blue&fixed_ip=nonsense", 400, "invalid-value"),
        ("attach", "network=blue&fixed_ip=fd00::1", 400, "invalid-value"),
        ("attach", "network=blue&fixed_ip=10.9.9.9", 400, "invalid-value"),
        ("attach", "", 400, "invalid"),
        ("detach", "", 400, "invalid-value"),
        ("detach", f"network=blue&port={default['port_id']}", 400, "invalid-value"),
        ("detach", f"network={blue}", 400, "invalid"),
        ("detach", "network=nosuch", 404, "network-not-found"),
        ("detach", f"port={new_uuid()}", 404, "port-not-found"),
    ):
        refused = lively.post(f"{C}/web/network_{verb}", query=query)
        assert (refused.status, refused.error["code"]) == (status, f"container.{slug}"), query
    assert lively.post(f"{C}/web/network_attach", version="1.7").status == 406
    assert lively.post(f"{C}/web/network_detach", version="1.5").status == 406
    assert lively.get(f"{C}/web/network_list", version="1.12").status == 406


def test_an_attach_the_engine_refuses_leaves_nothing(lively: Any, rig: Rig) -> None:
    uuid = run(lively, rig)
    blue = make_network(lively)
    rig.fakes.runtime.script("connect", LoseReply(Rejected("no")))
    lively.post(f"{C}/web/network_attach", query="network=blue")
    row = rig.settled(uuid)
    assert row is not None and row.status == "Running"
    assert blue not in (row.addresses or {})
    assert network_name(blue) not in rig.fakes.runtime.inspect(uuid, soon()).addresses
    with rig.db.read() as conn:
        assert [p.network_uuid for p in networks.ports_of(conn, uuid)] == list(row.addresses or {})


def test_a_detach_the_engine_refuses_leaves_all_as_it_was(lively: Any, rig: Rig) -> None:
    uuid = run(lively, rig)
    before = listed(lively)
    rig.fakes.runtime.script("disconnect", LoseReply(Rejected("no")))
    lively.post(f"{C}/web/network_detach", query=f"network={before[0]['net_id']}")
    rig.settled(uuid)
    assert listed(lively) == before
    assert len(rig.fakes.runtime.inspect(uuid, soon()).addresses) == 1


def test_defect_35_detach_by_port_leaves_the_other_networks(lively: Any, rig: Rig) -> None:
    blue, green = make_network(lively), make_network(lively, "green")
    uuid = run(lively, rig, nets=[{"network": "blue"}, {"network": "green"}])
    ports = {entry["net_id"]: entry["port_id"] for entry in listed(lively)}
    lively.post(f"{C}/web/network_detach", query=f"port={ports[green]}")
    rig.settled(uuid)
    assert [entry["net_id"] for entry in listed(lively)] == [blue]


@pytest.mark.parametrize("verb", ["add_security_group", "remove_security_group"])
def test_security_groups_need_neutron(lively: Any, rig: Rig, verb: str) -> None:
    run(lively, rig)
    refused = lively.post(f"{C}/web/{verb}", query="name=default", version="1.14")
    assert refused.status == 400
    assert "security groups need Neutron, which is not configured" in refused.error["title"]
    assert lively.post(f"{C}/web/{verb}", version="1.14").status == 400
    assert lively.post(f"{C}/web/{verb}", query="name=default").status == 406


# -- images ----------------------------------------------------------------------------------------------------------


def pull(api: Any, status: int = 202, **body: Any) -> Any:
    answer = api.post(I, json={"repo": "alpine", "host": "host-1", **body}, roles="admin")
    assert answer.status == status, answer.body
    return answer


def test_images_are_pulled_shown_and_removed(lively: Any, rig: Rig) -> None:
    answer = pull(lively, repo="alpine:3", tag="ignored")
    uuid = answer.json["uuid"]
    assert answer.headers["location"].endswith(f"/v1/images/{uuid}")
    assert (answer.json["repo"], answer.json["tag"]) == ("alpine", "3")

    def there() -> Any:
        shown = lively.get(f"{I}/{uuid}", roles="admin").json
        return shown if shown["image_id"] else None

    shown = eventually(there)
    assert set(shown) == {
        "uuid", "links", "image_id", "repo", "tag", "size", "project_id", "host",
    }  # fmt: skip
    assert shown["size"] == "1000000"
    with rig.db.read() as conn:
        row = images.get(conn, uuid)
    assert row is not None and str(row.digest).startswith("sha256:")
    pull(lively, 409, repo="alpine", tag="3")
    assert lively.get(I, roles="admin").json["images"] == [shown]
    assert lively.get(I, roles="admin", project="p2").json["images"] == []
    gone = lively.request("DELETE", f"{I}/{uuid}", roles="admin")
    assert (gone.status, gone.json) == (200, None)
    eventually(lambda: lively.get(f"{I}/{uuid}", roles="admin").status == 404)
    assert rig.fakes.images.called("remove", "alpine:3") == 1


def test_a_pull_that_fails_leaves_the_row(lively: Any, rig: Rig) -> None:
    rig.fakes.images.script("ensure", Fail(Rejected("denied")))
    uuid = pull(lively).json["uuid"]
    rig.settled(uuid)
    shown = lively.get(f"{I}/{uuid}", roles="admin").json
    assert (shown["image_id"], shown["size"]) == (None, None)


def test_an_image_in_use_stays(lively: Any, rig: Rig) -> None:
    uuid = pull(lively).json["uuid"]
    rig.settled(uuid)
    rig.fakes.images.use("alpine")
    lively.request("DELETE", f"{I}/{uuid}", roles="admin")
    rig.settled(uuid)
    assert lively.get(f"{I}/{uuid}", roles="admin").status == 200


def test_images_that_cannot_be(lively: Any) -> None:
    pull(lively, 400, host="nosuch")
    pull(lively, 400, repo="UPPER")
    pull(lively, 400, repo="zun-commit/p/x")
    pull(lively, 400, tag="no tag")
    pull(lively, 400, extra=1)
    assert lively.post(I, json={"repo": "alpine"}, roles="admin").status == 400
    assert lively.post(I, json={"repo": "alpine", "host": "host-1"}).status == 403
    assert lively.get(f"{I}/{new_uuid()}", roles="admin").status == 404
    assert lively.get(f"{I}/alpine", roles="admin").status == 404
    assert lively.get(I, query="sort_key=nosuch", roles="admin").status == 400
    assert lively.post(I, body=b"{}", roles="admin").status == 415


def test_images_come_in_pages(lively: Any, rig: Rig) -> None:
    for name in ("b", "a", "c"):
        rig.settled(pull(lively, repo=f"my/{name}").json["uuid"])
    first = lively.get(I, query="limit=2&sort_key=repo", roles="admin").json
    assert [i["repo"] for i in first["images"]] == ["my/a", "my/b"]
    rest = lively.get(I, query=first["next"].partition("?")[2], roles="admin").json
    assert [i["repo"] for i in rest["images"]] == ["my/c"]
    assert rest["next"] is None


@pytest.mark.parametrize("name", ["alpine", "me/app", "registry.example.com:5000/deep/er/app"])
def test_defect_25_a_name_with_slashes_is_searched_for(lively: Any, rig: Rig, name: str) -> None:
    rig.fakes.images.publish(name)
    rig.fakes.images.publish(f"{name}-two")
    found = lively.get(f"{I}/{name}/search", query="image_driver=docker").json
    assert [item["name"] for item in found] == [name, f"{name}-two"]
    assert found[0]["metadata"] == {"is_official": False, "star_count": 0}
    exact = lively.get(f"{I}/{name}/search", query="exact_match=True&image_driver=None").json
    assert [item["name"] for item in exact] == [name]
    assert lively.get(f"{I}/{name}/search", query="image_driver=glance").status == 400


def test_defect_23_a_registry_that_cannot_search_is_no_500(lively: Any, rig: Rig) -> None:
    rig.fakes.images.script("search", Fail(Rejected("this registry offers no search")))
    assert lively.get(f"{I}/alpine/search").status == 400


# -- defects of what was there before --------------------------------------------------------------------------------


def test_defect_34_auto_heal_rebuilds_what_vanished(lively: Any, rig: Rig) -> None:
    uuid = run(lively, rig, auto_heal=True)
    before = rig.fakes.runtime.inspect(uuid, soon()).runtime_id
    rig.fakes.runtime.vanish(uuid)
    eventually(lambda: rig.fakes.runtime.inspect(uuid, soon()).runtime_id not in (None, before))
    rig.until(uuid, "Running")
    actions = eventually(
        lambda: lively.get(f"{C}/web/container_actions").json["containerActions"][0]
    )
    assert actions["action"] == "rebuild"


def test_defect_35_a_signal_that_does_not_kill_leaves_it_running(lively: Any, rig: Rig) -> None:
    uuid = run(lively, rig)
    assert lively.post(f"{C}/web/kill", query="signal=SIGHUP").status == 202
    row = rig.settled(uuid)
    assert row is not None and row.status == "Running"
    assert lively.post(f"{C}/web/kill").status == 202
    row = rig.settled(uuid)
    assert row is not None and row.status == "Stopped"


def test_defect_35_a_rebuild_uses_the_new_image_s_command(lively: Any, rig: Rig) -> None:
    rig.fakes.images.publish("old", command=("old-command",))
    rig.fakes.images.publish("new", command=("new-command",))
    uuid = run(lively, rig, image="old")
    assert lively.get(f"{C}/web").json["command"] == ["old-command"]
    lively.post(f"{C}/web/rebuild", query="image=new&image_driver=None")
    eventually(lambda: lively.get(f"{C}/web").json["command"] == ["new-command"])
    rig.settled(uuid)
    assert not rig.fakes.runtime.plan_of(uuid).command
    given = run(lively, rig, "given", command=["mine"])
    lively.post(f"{C}/given/rebuild", query="image=new")
    rig.settled(given)
    assert list(rig.fakes.runtime.plan_of(given).command or ()) == ["mine"]


def test_defect_40_logs_that_are_no_text_are_shown(lively: Any, rig: Rig) -> None:
    uuid = run(lively, rig)
    rig.fakes.runtime.append_log(uuid, b"\xff\xfe is no text\n")
    assert lively.get(f"{C}/web/logs").json == "\ufffd\ufffd is no text\n"


def test_defect_40_what_a_command_prints_that_is_no_text_is_shown(api: Any) -> None:
    api.seed()
    api.answers.clear()
    answer = api.post(f"{C}/web/execute", query={"command": "cat /bin/sh"}).json
    assert (answer["output"], answer["exit_code"]) == ("root\ufffd\n", 3)


def test_the_gate_for_archives_says_when_it_is_full() -> None:
    entered, go_on = threading.Event(), threading.Event()

    def app(environ: Any, start_response: Any) -> list[bytes]:
        del start_response
        if environ["PATH_INFO"].endswith("archive"):
            entered.set()
            assert go_on.wait(30)
        return [b""]

    gate = ArchiveGate(app, patience=0.05)
    busy = {"PATH_INFO": "/v1/containers/web/put_archive"}
    nobody: Any = None
    threads = []
    for _ in range(2):
        entered.clear()
        threads.append(threading.Thread(target=gate, args=(busy, nobody)))
        threads[-1].start()
        assert entered.wait(30)
    with pytest.raises(UnavailableNow):
        gate(busy, nobody)
    assert gate({"PATH_INFO": "/v1/containers"}, nobody) == [b""]
    go_on.set()
    for thread in threads:
        thread.join(30)
    assert gate(busy, nobody) == [b""]
