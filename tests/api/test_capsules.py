"""Capsules as a client sees them (contract 2.5, 4): both shapes, both forms of a template, who sees what."""

from __future__ import annotations

import json
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.support.house import eventually

from zun.model.capsule import SORT_KEYS

K = "/v1/capsules"
C = "/v1/containers"
ADMIN = {"project": "ops", "user": "root", "roles": "admin"}
BOX = {"image": "busybox"}

FULL: dict[str, Any] = {
    "capsuleVersion": "beta",
    "kind": "capsule",
    "metadata": {
        "name": "template",
        "labels": {"app": "web", "n": 1},
        "annotations": {"note": {"any": ["thing"]}},
        "comment": "ignored",
    },
    "spec": {
        "restartPolicy": "OnFailure",
        "containers": [
            {
                "image": "nginx",
                "name": "front",
                "command": ["nginx"],
                "args": ["-g", "daemon off;"],
                "env": {"ENV1": "/usr/local/bin"},
                "workDir": "/root",
                "imagePullPolicy": "IfNotPresent",
                "resources": {"requests": {"cpu": "0.5", "memory": "128"}},
                "ports": [
                    {"name": "p", "containerPort": 80, "hostPort": 80, "protocol": "TCP"},
                    {"containerPort": 53, "protocol": "UDP"},
                ],
                "stdin": True,
                "tty": "true",
            },
            {**BOX, "resources": {"requests": {"cpu": 0.25, "memory": 64}}},
        ],
        "initContainers": [{**BOX, "command": ["true"], "resources": {"requests": {"cpu": 1}}}],
    },
    "availabilityZone": "nova",
}


def template(**spec: Any) -> dict[str, Any]:
    return {"kind": "capsule", "metadata": {}, "spec": {"containers": [BOX], **spec}}


def made(api: Any, wanted: Any = None, **who: Any) -> dict[str, Any]:
    answer = api.post(K, json={"template": template() if wanted is None else wanted}, **who)
    assert answer.status == 202, answer.body
    body: dict[str, Any] = answer.json
    return body


# ---- create


def test_a_full_template(api: Any) -> None:
    answer = api.post(K, json={"template": FULL}, **{**ADMIN, "project": "p1"})
    assert answer.status == 202, answer.body
    one = answer.json
    assert answer.headers["location"] == f"http://zun.test:9517{K}/{one['uuid']}"
    shown = {key: one[key] for key in ("name", "labels", "annotations", "restart_policy", "status")}
    assert shown == {
        "name": "template",
        "labels": {"app": "web", "n": "1"},
        "annotations": {"note": {"any": ["thing"]}},
        "restart_policy": {"Name": "on-failure", "MaximumRetryCount": "0"},
        "status": "Creating",
    }
    # Of CPU the init container needs more than both others, of memory these more.
    assert (one["cpu"], one["memory"]) == (1.0, "512")
    front, back = one["containers"]
    (init,) = one["init_containers"]
    assert front["command"] == ["nginx", "-g", "daemon off;"]
    assert front["environment"] == {"ENV1": "/usr/local/bin"}
    assert (front["workdir"], front["image_pull_policy"]) == ("/root", "ifnotpresent")
    assert (front["cpu"], front["memory"], back["cpu"], back["memory"]) == (0.5, "128", 0.25, "64")
    assert (front["interactive"], front["tty"], back["interactive"]) == (True, True, False)
    assert (init["cpu"], init["memory"]) == (1.0, "512")
    assert "links" not in front
    assert [link["href"] for link in one["links"]] == [
        f"http://zun.test:9517{K}/{one['uuid']}", f"http://zun.test:9517/capsules/{one['uuid']}",
    ]  # fmt: skip
    assert api.get(f"{K}/template", **ADMIN).json == one


def test_the_older_shape(api: Any) -> None:
    uuid = made(api, FULL)["uuid"]
    old = api.get(f"{K}/{uuid}", version="1.31").json
    new = api.get(f"{K}/{uuid}", version="1.32").json
    assert (old["meta_name"], old["meta_labels"]) == (new["name"], new["labels"])
    assert (old["restart_policy"], new["restart_policy"]["Name"]) == ("on-failure", "on-failure")
    placeholders = {
        "volumes_info": {}, "containers_uuids": [], "init_containers_uuids": [], "capsule_version": "",
    }  # fmt: skip
    assert {key: old[key] for key in placeholders} == placeholders
    renamed = {"meta_name", "meta_labels", *placeholders}
    assert set(old) - renamed == set(new) - {"name", "labels"}
    assert old["containers"] == new["containers"]
    assert api.get(K, version=None).json["capsules"] == [old]
    assert set(api.post(K, json={"template": template()}, version="1.1").json) == set(old)


def test_a_template_may_be_json_text(api: Any) -> None:
    one = made(api, json.dumps(FULL))
    assert one["name"] == "template"
    assert len(one["containers"]) == 2


def test_nothing_but_an_image_is_needed(api: Any) -> None:
    one = made(api)
    assert one["name"] is None
    assert (one["labels"], one["annotations"], one["addresses"]) == ({}, {}, {})
    assert one["restart_policy"] == {"Name": "always", "MaximumRetryCount": "0"}
    assert (one["cpu"], one["memory"]) == (1.0, "512")
    (member,) = one["containers"]
    assert member["name"].startswith(f"capsule-{one['uuid']}-")
    assert one["init_containers"] == []


@pytest.mark.parametrize(
    ("outer", "inner", "found"),
    [("Never", None, "no"), (None, "OnFailure", "on-failure"), ("Always", "Always", "always")],
)
def test_defect_33_either_place_of_the_restart_policy_is_heard(
    api: Any, outer: str | None, inner: str | None, found: str
) -> None:
    wanted = template(**({"restartPolicy": inner} if inner else {}))
    wanted |= {"restartPolicy": outer} if outer else {}
    one = made(api, wanted)
    assert one["restart_policy"]["Name"] == found
    assert one["containers"][0]["restart_policy"]["Name"] == found


def test_the_pull_policy_is_heard_of_those_who_may_choose_it(api: Any) -> None:
    wanted = template(containers=[{**BOX, "imagePullPolicy": "Never"}])
    mine, admins = made(api, wanted), made(api, wanted, **ADMIN)
    shown = [
        api.get(f"{K}/{one['uuid']}", **ADMIN).json["containers"][0]["image_pull_policy"]
        for one in (mine, admins)
    ]
    assert shown == [None, "never"]


def test_nulls_that_stand_for_nothing(api: Any) -> None:
    nothing = dict.fromkeys(("name", "command", "args", "env", "ports", "volumeMounts", "workDir",
                             "imagePullPolicy"))  # fmt: skip
    wanted = template(containers=[{**BOX, **nothing}], initContainers=None, volumes=None)
    wanted["metadata"] = {"name": None, "labels": None, "annotations": None}
    made(api, wanted, **ADMIN)


def test_quota_is_a_403_that_names_what_is_short(api: Any) -> None:
    api.request("PUT", "/v1/quotas/p1", query="containers=2&cpu=2", **ADMIN)
    error = api.post(K, json={"template": template(containers=[BOX, BOX, BOX])}).error
    assert (error["status"], error["code"]) == (403, "container.over-quota")
    assert "containers: requested 3, used 0, limit 2; cpu: requested 3 vCPU" in error["title"]
    made(api, template(containers=[BOX, BOX]))
    used = api.get("/v1/quotas/p1", query="usages=true").json
    assert (used["containers"]["in_use"], used["cpu"]["in_use"]) == (2, 2)


# ---- who sees what


def test_members_are_not_under_containers(api: Any) -> None:
    member = made(api)["containers"][0]
    assert api.get(C).json["containers"] == []
    assert api.get(C, query=f"name={member['name']}").json["containers"] == []
    for ident in (member["uuid"], member["name"]):
        for method, path in (("GET", ""), ("DELETE", ""), ("POST", "/start"), ("GET", "/logs")):
            answer = api.request(method, f"{C}/{ident}{path}", **ADMIN)
            assert answer.status == 404, (method, path)


def test_a_404_speaks_of_a_capsule(api: Any) -> None:
    made(api, {**template(), "metadata": {"name": "mine"}})
    container = api.seed()
    for path in (f"{K}/nope", f"{K}/{container.uuid}", f"{K}/a%00b", f"{K}/{'x' * 300}"):
        for method in ("GET", "DELETE"):
            error = api.request(method, path).error
            assert (error["status"], error["code"]) == (404, "container.capsule-not-found")
            assert error["title"].startswith("There is no capsule")
    assert api.get(f"{K}/mine", project="p2").status == 404
    assert api.get(f"{K}/mine", **ADMIN).status == 200


def test_several_of_a_name_are_a_409(api: Any) -> None:
    for _ in range(2):
        made(api, {**template(), "metadata": {"name": "twin"}})
    assert api.get(f"{K}/twin").error["status"] == 409
    assert api.request("DELETE", f"{K}/twin").error["status"] == 409


def test_the_host_is_for_administrators_here_and_inside(api: Any) -> None:
    uuid = made(api)["uuid"]
    mine, theirs = api.get(f"{K}/{uuid}").json, api.get(f"{K}/{uuid}", **ADMIN).json
    assert "host" not in mine and "host" in theirs
    assert "host" not in mine["containers"][0] and "host" in theirs["containers"][0]


def test_operators_may_hide_more_fields(make_api: Any) -> None:
    hidden = '"capsule:get:annotations": "rule:admin_api"\n"capsule:get:host": ""'
    api = make_api(policy=hidden)
    one = made(api, FULL)
    assert "annotations" not in one
    assert "host" in one
    assert "annotations" not in api.get(K).json["capsules"][0]
    assert "annotations" in api.get(f"{K}/template", **ADMIN).json


def test_readers_see_and_change_nothing(api: Any) -> None:
    uuid = made(api)["uuid"]
    assert api.get(f"{K}/{uuid}", roles="reader").status == 200
    assert api.request("DELETE", f"{K}/{uuid}", roles="reader").status == 403
    assert api.post(K, json={"template": template()}, roles="reader").status == 403


# ---- lists


def _names(answer: Any) -> list[str]:
    assert answer.status == 200, answer.body
    return [item["name"] for item in answer.json["capsules"]]


def _some(api: Any, *names: str, **who: Any) -> None:
    for name in names:
        made(api, {**template(), "metadata": {"name": name}}, **who)


def test_pages_follow_one_another(api: Any) -> None:
    _some(api, "k0", "k1", "k2", "k3", "k4")
    got, query = [], "limit=2&sort_key=name&sort_dir=desc"
    while True:
        answer = api.get(K, query=query)
        got += _names(answer)
        following = answer.json["next"]
        if following is None:
            break
        parts = urlsplit(following)
        assert parts.path == K
        query = parts.query
    assert got == ["k4", "k3", "k2", "k1", "k0"]
    (item,) = api.get(K, query="limit=1").json["capsules"]
    assert "links" in item and len(item["containers"]) == 1


@pytest.mark.parametrize("key", SORT_KEYS)
def test_every_sort_key(api: Any, key: str) -> None:
    _some(api, "one", "two", "three")
    names, query = [], f"limit=1&sort_key={key}"
    while query:
        answer = api.get(K, query=query)
        names += _names(answer)
        query = urlsplit(answer.json["next"] or "").query
    assert sorted(names) == ["one", "three", "two"]


def test_all_projects_is_for_administrators_and_ignored_of_others(api: Any) -> None:
    _some(api, "mine")
    _some(api, "theirs", project="p2")
    assert _names(api.get(K)) == ["mine"]
    assert _names(api.get(K, query="all_projects=true")) == ["mine"]
    assert _names(api.get(K, query="all_projects=true", **ADMIN)) == ["mine", "theirs"]
    assert _names(api.get(K, **ADMIN)) == []
    answer = api.get(K, query="all_projects=1&limit=1", **ADMIN)
    assert "all_projects=True" in answer.json["next"]


def test_an_operator_may_take_all_projects_away(make_api: Any) -> None:
    api = make_api(policy='"capsule:get_all_all_projects": "!"')
    _some(api, "mine")
    assert _names(api.get(K, query="all_projects=true", **ADMIN)) == []


@pytest.mark.parametrize(
    ("query", "status", "said"),
    [
        ("limit=0", 400, "limit"),
        ("limit=x", 400, "limit"),
        ("sort_key=websocket_token", 400, "sort_key"),
        ("sort_key=labels", 400, "sort_key"),
        ("sort_dir=up", 400, "sort_dir"),
        ("all_projects=maybe", 400, "all_projects"),
        ("marker=nope", 404, "marker"),
        ("marker=8a3c1d0e-0000-4000-8000-000000000000", 404, "capsule"),
    ],
)
def test_what_a_list_refuses(api: Any, query: str, status: int, said: str) -> None:
    error = api.get(K, query=query).error
    assert error["status"] == status
    assert said in error["title"]


def test_a_marker_of_another_project_is_unknown(api: Any) -> None:
    uuid = made(api, project="p2")["uuid"]
    assert api.get(K, query=f"marker={uuid}").status == 404
    assert api.get(K, query="nosuch=1&name=x").status == 200  # contract 2.0: ignored


# ---- a house that works


def test_from_create_to_delete(lively: Any) -> None:
    uuid = made(lively, FULL)["uuid"]

    def shown() -> Any:
        return lively.get(f"{K}/{uuid}").json

    one = eventually(lambda: (s := shown())["status"] != "Creating" and s)
    assert (one["status"], one["status_reason"]) == ("Running", None)
    assert [m["status"] for m in one["containers"]] == ["Running"] * 2
    assert [m["status"] for m in one["init_containers"]] == ["Stopped"]
    ((address,),) = one["addresses"].values()
    assert address["addr"].startswith("10.201.")
    assert {json.dumps(m["addresses"]) for m in one["containers"]} == {json.dumps(one["addresses"])}
    assert one["containers"][0]["ports"] == [53, 80]
    answer = lively.request("DELETE", f"{K}/{uuid}")
    assert (answer.status, answer.body) == (204, b"")
    eventually(lambda: lively.get(f"{K}/{uuid}").status == 404)


def test_delete_asks_for_no_state(lively: Any) -> None:
    wanted = template(initContainers=[{**BOX, "command": ["sleep", "9999"]}])
    uuid = made(lively, wanted)["uuid"]
    assert lively.request("DELETE", f"{K}/{uuid}").status == 204
    eventually(lambda: lively.get(f"{K}/{uuid}").status == 404)
    assert lively.request("DELETE", f"{K}/{uuid}").status == 404
