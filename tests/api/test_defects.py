"""Upstream's defects that this API must not have; each test is named after its row of contract 13.2."""

from __future__ import annotations

from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from zun.api.versions import MAX_VERSION
from zun.model.lifecycle import Status

C = "/v1/containers"
WEB = f"{C}/web"
OK = {"image": "busybox"}


def test_defect_02_force_with_stop_needs_the_force_rule(api: Any) -> None:
    api.seed()
    result = api.request("DELETE", WEB, query="force=true&stop=true")
    assert result.status == 403
    assert "container:delete_force" in result.error["title"]
    assert api.get(WEB).json["task_state"] is None
    assert api.request("DELETE", WEB, query="force=true&stop=true", roles="admin").status == 204


def test_defect_07_digests_are_kept(api: Any) -> None:
    image = "busybox@sha256:" + "0" * 64
    assert api.post(C, json={"image": image}).json["image"] == image


def test_defect_12_resource_url_is_no_parameter(api: Any) -> None:
    result = api.get(C, query="resource_url=http://evil.example")
    assert result.status == 400
    api.seed()
    api.seed_host()
    api.seed_image("alpine")
    for collection in ("hosts", "images"):
        query = "resource_url=http://evil.example&limit=1"
        listed = api.get(f"/v1/{collection}", query=query, roles="admin")
        assert (listed.status, len(listed.json[collection])) == (200, 1)
        assert "evil" not in listed.body.decode()


def test_defect_13_a_refused_create_leaves_nothing(api: Any) -> None:
    for fields in ({"mounts": None}, {"mounts": [{"type": "tmpfs", "source": "a", "destination": "/a"}]},
                   {"mounts": [{"source": "nosuch", "destination": "/a"}]}, {"nets": None}):  # fmt: skip
        assert api.post(C, json={**OK, **fields}).status == 400
        assert api.counts() == (0, 0, 0)


@pytest.mark.parametrize("version", ["0.9", "1.0", f"1.{MAX_VERSION.minor + 1}", "2.1", "99.0"])
def test_defect_19_out_of_range_microversion(api: Any, version: str) -> None:
    for path in (C, "/v1", WEB):
        result = api.get(path, version=version)
        assert result.status == 406
        error = result.error
        assert error["code"] == "zun.microversion-unsupported"
        assert (error["min_version"], error["max_version"]) == ("1.1", str(MAX_VERSION))
        assert error["links"][0]["rel"] == "help"
        assert version in error["title"]


@pytest.mark.parametrize(
    "content_type", [None, "text/plain", "application/octet-stream", "application/json-patch+json"]
)
def test_defect_20_wrong_content_type(api: Any, content_type: str | None) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    result = api.post(C, body=b'{"image": "busybox"}', headers=headers)
    assert (result.status, result.error["code"]) == (415, "container.unsupported-media-type")


@pytest.mark.parametrize("content_type", ["application/json", "Application/JSON; charset=utf-8"])
def test_defect_20_right_content_type(api: Any, content_type: str) -> None:
    assert (
        api.post(C, body=b'{"image": "busybox"}', headers={"Content-Type": content_type}).status
        == 202
    )


@pytest.mark.parametrize(
    ("method", "path", "body", "version", "named"),
    [
        ("POST", C, {**OK, "cpu": None}, "1.40", "cpu"),
        ("POST", C, {**OK, "memory": None}, "1.40", "memory"),
        ("POST", C, {**OK, "disk": None}, "1.40", "disk"),
        ("POST", C, {**OK, "nets": None}, "1.40", "nets"),
        ("POST", C, {**OK, "mounts": None}, "1.40", "mounts"),
        ("PATCH", WEB, {"cpu": None}, "1.40", "cpu"),
        ("PATCH", WEB, {"memory": None}, "1.40", "memory"),
        ("POST", C, {**OK, "labels": {"a": {"b": 1}}}, "1.40", "labels.a"),
        ("POST", C, {**OK, "command": "echo 'a"}, "1.19", "command"),
        ("POST", f"{WEB}/execute", {}, "1.40", "command"),
        ("POST", "/v1/networks", {"neutron_net_id": None}, "1.40", "name"),
    ],
)
def test_defect_21_crashes_that_are_400(
    api: Any, method: str, path: str, body: dict[str, Any], version: str, named: str
) -> None:
    api.seed()
    result = api.request(method, path, json=body, version=version, roles="admin")
    assert result.status == 400
    assert named in result.error["title"]


def test_defect_21_a_null_retry_count_is_none(api: Any) -> None:
    policy = {"Name": "on-failure", "MaximumRetryCount": None}
    assert (
        api.post(C, json={**OK, "restart_policy": policy}).json["restart_policy"][
            "MaximumRetryCount"
        ]
        == "0"
    )


def test_defect_23_a_host_that_is_down_is_503_without_retry_after(api: Any) -> None:
    api.seed(host="nowhere")
    result = api.post(f"{WEB}/execute", query="command=ls")
    assert (result.status, result.error["code"]) == (503, "container.service-unavailable")
    assert "retry-after" not in result.headers


@pytest.mark.parametrize(
    "name",
    ["web.txt", "web.com", "c1.example.com", "web.json", "web.html", "a.tar.gz", "v1", "..x"],
)
def test_defect_24_names_with_dots_are_reachable(api: Any, name: str) -> None:
    row = api.seed(name=name)
    assert api.get(f"{C}/{name}").json["uuid"] == row.uuid
    assert api.get(f"/containers//{name}/").json["uuid"] == row.uuid
    assert api.post(f"{C}/{name}/stop").status == 202


def test_defect_23_an_image_by_name_is_no_500(api: Any) -> None:
    api.seed_image("alpine")
    for method in ("GET", "DELETE"):
        assert api.request(method, "/v1/images/alpine", roles="admin").status == 404
    assert api.get("/v1/images/alpine/search", query="image_driver=nosuch").status == 400


def test_defect_24_hosts_with_dots_are_reachable(api: Any) -> None:
    api.seed_host("c1.example.com")
    assert api.get("/v1/hosts/c1.example.com", roles="admin").json["hostname"] == "c1.example.com"


def test_defect_26_a_204_is_empty(api: Any) -> None:
    api.seed(status=Status.STOPPED)
    result = api.request("DELETE", WEB)
    assert (result.status, result.body) == (204, b"")
    assert "content-type" not in result.headers
    assert result.headers.get("content-length", "0") == "0"


def test_defect_27_a_null_name_renames_nothing(api: Any) -> None:
    api.seed()
    result = api.request("PATCH", WEB, json={"name": None})
    assert result.status == 400
    assert "name" in result.error["title"]
    assert api.get(WEB).status == 200


@pytest.mark.parametrize("spelling", ["true", "True", "1", "yes", "on", "t"])
def test_defect_28_auto_remove_filter_in_any_spelling(api: Any, spelling: str) -> None:
    api.seed(auto_remove=True)
    api.seed(name="kept")
    result = api.get(C, query=f"auto_remove={spelling}")
    assert [item["name"] for item in result.json["containers"]] == ["web"]
    result = api.get(C, query="auto_remove=False")
    assert [item["name"] for item in result.json["containers"]] == ["kept"]


def test_defect_29_next_repeats_filters(api: Any) -> None:
    for number in range(3):
        api.seed(name=f"web{number}", project_id=f"p{number}", image="a b&c")
    query = "limit=1&image=a%20b%26c&auto_remove=no&status=Running&memory=512&all_projects=yes"
    query += "&sort_key=name&sort_dir=desc"
    seen = []
    for _ in range(3):
        result = api.get(C, query=query, roles="admin")
        seen += [item["name"] for item in result.json["containers"]]
        query = urlsplit(result.json["next"]).query
        params = parse_qs(query)
        assert params["image"] == ["a b&c"]
        assert params["status"] == ["Running"]
        assert params["memory"] == ["512"]
        assert params["auto_remove"] == ["False"]
        assert params["all_projects"] == ["True"]
        assert (params["sort_key"], params["sort_dir"], params["limit"]) == (
            ["name"],
            ["desc"],
            ["1"],
        )
    assert seen == ["web2", "web1", "web0"]


@pytest.mark.parametrize("policy", ["Always", "Never", "IfNotPresent", "always"])
def test_defect_31_pull_policies_lose_their_capitals(api: Any, policy: str) -> None:
    created = api.post(C, json={**OK, "image_pull_policy": policy}, roles="admin")
    assert created.json["image_pull_policy"] == policy.lower()


def test_defect_36_the_newest_action_of_a_request_is_shown(api: Any) -> None:
    created = api.post(C, json={**OK, "name": "web"})
    request_id = created.headers["x-openstack-request-id"]
    shown = api.get(f"{WEB}/container_actions/{request_id}")
    assert shown.json["action"] == "create"


def test_defect_44_hostnames_end_at_63_and_healthchecks_are_checked(api: Any) -> None:
    assert api.post(C, json={**OK, "hostname": "h" * 64}).status == 400
    assert api.post(C, json={**OK, "hostname": "h" * 63}).status == 202
    assert api.post(C, json={**OK, "healthcheck": {"cmd": 5}}).status == 400


def test_defect_45_links_know_the_mount_and_next_does_not(api: Any) -> None:
    row = api.seed()
    shown = api.get(WEB, environ={"SCRIPT_NAME": "/container"}).json
    assert shown["links"][0]["href"] == f"http://zun.test:9517/container/v1/containers/{row.uuid}"
    listed = api.get(C, query="limit=1", environ={"SCRIPT_NAME": "/container"}).json
    assert listed["next"].startswith("http://zun.test:9517/v1/containers?")


@pytest.mark.parametrize("key", ["websocket_token", "container_id", "exit_code", "image_digest"])
def test_defect_46_internal_columns_are_no_sort_keys(api: Any, key: str) -> None:
    result = api.get(C, query=f"sort_key={key}")
    assert (result.status, result.error["code"]) == (400, "container.invalid-parameter-value")


@pytest.mark.parametrize(
    "collection", ["containers", "images", "hosts", "registries", "availability_zones"]
)
@pytest.mark.parametrize("key", ["password", "inventory", "epoch", "params", "id desc", "nosuch"])
def test_defect_46_nor_of_any_other_list(api: Any, collection: str, key: str) -> None:
    result = api.get(f"/v1/{collection}", query={"sort_key": key}, roles="admin")
    assert result.status == 400
