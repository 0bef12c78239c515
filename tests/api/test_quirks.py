"""Upstream's quirks that clients rely on; each test is named after its row of contract 13.1."""

from __future__ import annotations

from typing import Any

import pytest
from tests.api.test_actions import listed, make_network, run
from tests.support.house import Rig, eventually

from zun.model.lifecycle import Status
from zun.model.names import runtime_name

C = "/v1/containers"
WEB = f"{C}/web"
OK = {"image": "busybox"}


def test_quirk_02_old_versions_see_and_send_what_came_later(api: Any) -> None:
    fields = {"nets": [], "auto_heal": True, "tty": True, "cpu_policy": "shared"}
    made = api.post(C, json={**OK, "name": "web", **fields}, version="1.1")
    assert made.status == 202, made.body
    shown = api.get(WEB, version="1.1").json
    assert {"tty", "entrypoint", "registry_id", "healthcheck", "cpu_policy"} <= set(shown)
    assert set(shown) == set(api.get(WEB, version="1.40").json)


def test_quirk_03_memory_and_counts_are_text_and_what_is_unset_is_null_once(api: Any) -> None:
    policy = {"Name": "on-failure", "MaximumRetryCount": 2}
    made = api.post(C, json={**OK, "name": "web", "memory": 64, "cpu": 1, "restart_policy": policy})
    assert (made.json["memory"], made.json["restart_policy"]) == (
        "64",
        {"Name": "on-failure", "MaximumRetryCount": "2"},
    )
    assert isinstance(made.json["cpu"], float)
    for field, empty in (("ports", []), ("labels", {}), ("addresses", {}), ("command", [])):
        assert made.json[field] is None
        assert api.get(WEB).json[field] == empty


def test_quirk_04_links_are_in_some_lists(api: Any) -> None:
    api.seed()
    api.seed_host()
    api.seed_image("alpine")
    api.post("/v1/registries", json={"registry": {"domain": "r.example.com"}})
    for collection, has in (("containers", 0), ("registries", 0), ("images", 1), ("hosts", 1)):
        [item] = api.get(f"/v1/{collection}", roles="admin").json[collection]
        assert ("links" in item) == bool(has), collection
    assert [link["rel"] for link in api.get(WEB).json["links"]] == ["self", "bookmark"]


def test_quirk_06_answers_that_are_no_objects(api: Any) -> None:
    api.seed()
    assert isinstance(api.get(f"{WEB}/logs").json, str)
    api.seed_host()
    found = api.get("/v1/images/alpine/search")
    assert found.status in (200, 503) and (found.status == 503 or isinstance(found.json, list))
    assert list(api.get(f"{WEB}/container_actions").json) == ["containerActions"]


def test_quirk_07_statuses_and_empty_bodies(lively: Any, rig: Rig) -> None:
    uuid = run(lively, rig)
    make_network(lively)

    def did(method: str, path: str, **how: Any) -> tuple[int, Any]:
        answer = lively.request(method, path, roles="admin", **how)
        rig.settled(uuid)
        return answer.status, answer.json if answer.body else answer.body

    assert did("POST", f"{WEB}/stop") == (202, None)
    assert did("POST", f"{WEB}/network_attach", query="network=blue") == (200, None)
    assert did("POST", f"{WEB}/network_detach", query="network=blue") == (202, None)
    image = lively.post("/v1/images", json={"repo": "alpine", "host": "host-1"}, roles="admin")
    eventually(
        lambda: lively.get(f"/v1/images/{image.json['uuid']}", roles="admin").json["image_id"]
    )
    rig.settled(image.json["uuid"])
    assert did("DELETE", f"/v1/images/{image.json['uuid']}") == (200, None)
    assert did("DELETE", "/v1/quotas/p1") == (200, None)
    assert did("POST", "/v1/networks", json={"name": "green"})[0] == 200
    assert did("DELETE", "/v1/networks/green") == (204, b"")
    registry = lively.post("/v1/registries", json={"registry": {"domain": "r.example.com"}})
    assert registry.status == 201
    assert did("DELETE", f"/v1/registries/{registry.json['registry']['uuid']}") == (204, b"")
    assert lively.request("DELETE", WEB).status == 204
    eventually(lambda: rig.row(uuid) is None)
    service = "host=host-1&binary=zun-compute"
    assert lively.request("DELETE", "/v1/services", query=service, roles="admin").status == 200


def test_quirk_08_no_host_is_an_error_later_and_a_delete_answers_before(
    lively: Any, rig: Rig
) -> None:
    made = lively.post(C, json={**OK, "name": "huge", "memory": 8000, "cpu": 16})
    assert (made.status, made.json["status"]) == (202, "Creating")
    row = rig.until(made.json["uuid"], "Error")
    assert row.status_reason and row.host is None
    run(lively, rig)
    assert lively.request("DELETE", WEB, query="stop=true").status == 204
    eventually(lambda: lively.get(WEB).status == 404)


@pytest.mark.parametrize("where", ["query", "body"])
def test_quirk_12_actions_take_their_parameters_anywhere_in_python_s_spelling(
    api: Any, where: str
) -> None:
    api.seed()

    def ask(path: str, **fields: str) -> int:
        how: dict[str, Any] = {"query": fields} if where == "query" else {"json": fields}
        status: int = api.post(f"{WEB}/{path}", **how).status
        return status

    assert ask("execute", command="id", run="True", interactive="False") == 200
    assert ask("kill", signal="None") == 202


def test_quirk_13_command_lines_are_split_and_an_empty_list_is_the_image_s(api: Any) -> None:
    old = api.post(C, json={**OK, "command": "sh -c 'echo  a b'"}, version="1.19").json
    assert old["command"] == ["sh", "-c", "echo  a b"]
    assert api.post(C, json={**OK, "command": []}, version="1.20").json["command"] is None
    api.seed()
    api.post(f"{WEB}/execute", query={"command": "echo 'a  b'"})
    assert api.answers["execute"]["command"] == ["echo", "a  b"]


@pytest.mark.parametrize(
    ("version", "tty"), [("1.19", False), ("1.20", True), ("1.35", True), ("1.36", False)]
)
def test_quirk_14_interactive_implies_a_terminal_in_between(
    api: Any, version: str, tty: bool
) -> None:
    made = api.post(C, json={**OK, "interactive": True}, version=version).json
    assert (made["interactive"], made["tty"]) == (True, tty)


def test_quirk_15_the_default_network_and_the_address_of_version_4(lively: Any, rig: Rig) -> None:
    blue = make_network(lively)
    address = {"network": blue, "v4-fixed-ip": "10.201.0.77", "v6-fixed-ip": "2001:db8::1"}
    uuid = run(lively, rig, nets=[address])
    [entry] = listed(lively)
    assert entry["fixed_ips"][0]["ip_address"] == "10.201.0.77"
    assert lively.post(f"{WEB}/network_attach").status == 200
    rig.settled(uuid)
    assert len(listed(lively)) == 2


def test_quirk_17_healthchecks_and_registries_come_back_by_other_names(api: Any) -> None:
    registry = api.post(
        "/v1/registries", json={"registry": {"domain": "r.example.com", "name": "home"}}
    ).json["registry"]["uuid"]
    made = api.post(
        C, json={**OK, "healthcheck": {"cmd": "true", "interval": 5}, "registry": "home"}
    )
    assert made.json["healthcheck"] == {"test": "true", "interval": 5}
    assert made.json["registry_id"] == registry


def test_quirk_22_the_message_is_title_and_detail(api: Any) -> None:
    error = api.get(f"{C}/nosuch").error
    assert error["title"] == error["detail"] != ""
    assert (error["request_id"], error["links"]) == ("", [])


def test_quirk_23_the_engine_s_name_is_of_the_uuid(api: Any) -> None:
    row = api.seed(status=Status.STOPPED)
    assert runtime_name(row.uuid) == f"zun-{row.uuid}"
