"""Quotas and quota classes (contract 2.5, 8)."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import pytest

from zun.store import quotas

Q = "/v1/quotas/p1"
CLASS = "/v1/quota_classes/default"
ADMIN = {"project": "ops", "user": "root", "roles": "admin"}
C = "/v1/containers"
OK = {"image": "busybox"}
FREE = {"containers": -1, "cpu": -1, "memory": -1, "disk": -1}


def _limit(api: Any, path: str = Q, **limits: Any) -> Any:
    result = api.request("PUT", path, json=limits, **ADMIN)
    assert result.status == 200, result.body
    return result.json


def test_the_project_comes_before_the_class_before_the_configuration(api: Any) -> None:
    assert api.get(Q).json == FREE
    assert _limit(api, CLASS, cpu=7, disk=70) == {**FREE, "cpu": 7, "disk": 70}
    assert api.get(Q).json == {**FREE, "cpu": 7, "disk": 70}
    assert _limit(api, cpu=3) == {**FREE, "cpu": 3, "disk": 70}
    assert api.get(Q).json["cpu"] == 3
    assert api.get(f"{Q}/defaults").json == {**FREE, "cpu": 7, "disk": 70}
    gone = api.request("DELETE", Q, **ADMIN)
    assert (gone.status, gone.json) == (200, None)
    assert api.get(Q).json["cpu"] == 7


def test_a_class_of_another_name_limits_nobody(api: Any) -> None:
    _limit(api, "/v1/quota_classes/gold", containers=1)
    assert api.get("/v1/quota_classes/gold", **ADMIN).json["containers"] == 1
    assert api.get("/v1/quota_classes/silver", **ADMIN).json == FREE
    assert api.get(Q).json == FREE


@pytest.mark.parametrize(
    ("query", "body"),
    [
        ("containers=5&memory=-1", None),
        ("", {"containers": "5", "memory": "-1"}),
        ("containers=5", {"memory": -1, "cpu": None, "disk": "None"}),
    ],
)
def test_limits_come_by_query_or_body(api: Any, query: str, body: Any) -> None:
    answer = api.request("PUT", Q, query=query, json=body, **ADMIN)
    assert answer.json == {**FREE, "containers": 5}


@pytest.mark.parametrize(
    "value", [-2, "-2", "x", "", 1.5, True, [], {}, "1.5", 2**31, "9" * 30, "- 1", "+1"]
)
def test_a_limit_is_an_integer_from_minus_one(api: Any, value: Any) -> None:
    answer = api.request("PUT", Q, json={"cpu": value}, **ADMIN)
    assert (answer.status, answer.error["code"]) == (400, "container.schema-validation-error")
    assert "cpu" in answer.error["title"]
    assert api.request("PUT", Q, json={"nosuch": 1}, **ADMIN).status == 400
    assert api.get(Q).json == FREE


def test_usages_show_the_limit_before_the_use(api: Any) -> None:
    api.seed(cpu=0.5, memory=100, disk=3)
    api.seed(cpu=0.1, memory=28)
    api.seed(project_id="p2", cpu=9)
    _limit(api, cpu=2)
    result = api.get(Q, query="usages=True")
    assert result.json == {
        "containers": {"limit": -1, "in_use": 2},
        "cpu": {"limit": 2, "in_use": 0.6},
        "memory": {"limit": -1, "in_use": 128},
        "disk": {"limit": -1, "in_use": 3},
    }
    assert all(list(item) == ["limit", "in_use"] for item in result.json.values())
    # Of whole CPUs an integer.
    api.seed(cpu=0.4)
    assert b'"cpu":{"limit":2,"in_use":1}' in api.get(Q, query="usages=1").body


@pytest.mark.parametrize("project", ["p" * 256, "a\nb", "a\x00b"])
def test_a_project_no_column_holds_is_refused(api: Any, project: str) -> None:
    assert api.request("PUT", f"/v1/quotas/{quote(project)}", query="cpu=1", **ADMIN).status == 400


def test_a_create_above_the_limit_is_refused_and_leaves_nothing(api: Any) -> None:
    _limit(api, cpu=2, memory=1000, containers=10)
    api.seed(cpu=1.5, memory=600)
    before = api.counts()
    result = api.post(C, json={**OK, "cpu": 0.6, "memory": 512})
    assert (result.status, result.error["code"]) == (403, "container.over-quota")
    assert result.error["title"] == (
        "Quota exceeded: cpu: requested 0.6 vCPU, used 1.5 vCPU, limit 2 vCPU; "
        "memory: requested 512 MiB, used 600 MiB, limit 1000 MiB."
    )
    assert api.counts() == before
    assert api.get(Q, query="usages=true").json["containers"]["in_use"] == 1
    assert api.post(C, json={**OK, "cpu": "0.5", "memory": 400}).status == 202
    assert api.get(Q, query="usages=true").json["cpu"] == {"limit": 2, "in_use": 2}


def test_a_refused_create_uses_nothing(api: Any) -> None:
    assert api.post(C, json={**OK, "nets": [{"network": "nosuch"}]}).status == 404
    assert api.get(Q, query="usages=true").json["containers"]["in_use"] == 0


def test_a_lowered_limit_forbids_only_what_needs_more(api: Any) -> None:
    api.seed(disk=50)
    _limit(api, disk=10, cpu=-1)
    assert api.post(C, json=OK).status == 202
    assert api.post(C, json={**OK, "disk": 1}).error["code"] == "container.over-quota"


def test_an_exact_sum_of_fractions_fits(api: Any) -> None:
    """Ten times 0.1 CPU is 1 CPU, which floats would deny."""
    _limit(api, cpu=1)
    for _ in range(10):
        assert api.post(C, json={**OK, "cpu": 0.1}).status == 202
    assert api.post(C, json={**OK, "cpu": 0.1}).status == 403
    with api.db.read() as conn:
        assert quotas.drift(conn) == {}


def test_a_delete_gives_back(api: Any) -> None:
    _limit(api, containers=1)
    made = api.post(C, json=OK).json
    assert api.post(C, json=OK).status == 403
    assert (
        api.request("DELETE", f"{C}/{made['uuid']}", query="force=true", roles="admin").status
        == 204
    )
    assert api.post(C, json=OK).status == 202
    with api.db.read() as conn:
        assert quotas.drift(conn) == {}


def test_projects_do_not_share(api: Any) -> None:
    _limit(api, containers=0)
    assert api.post(C, json=OK).status == 403
    assert api.post(C, json=OK, project="p2").status == 202


# ---- contract 13.2


def test_defect_11_omitted_cpu_and_memory_count(api: Any) -> None:
    _limit(api, cpu=2, memory=1024)
    assert [api.post(C, json=OK).status for _ in range(3)] == [202, 202, 403]
    usages = api.get(Q, query="usages=true").json
    assert (usages["cpu"]["in_use"], usages["memory"]["in_use"]) == (2, 1024)


def test_defect_38_a_put_is_idempotent(api: Any) -> None:
    for limit in (5, 6, 6, 7):
        assert _limit(api, cpu=limit)["cpu"] == limit
        assert _limit(api, CLASS, memory=limit)["memory"] == limit
    assert api.get(Q).json == {**FREE, "cpu": 7, "memory": 7}
    with api.db.read() as conn:
        assert len(quotas.of_project(conn, "p1")) == len(quotas.of_class(conn, "default")) == 1


@pytest.mark.parametrize("spelling", ["False", "false", "0", "no", "None"])
def test_defect_38_usages_false_is_false(api: Any, spelling: str) -> None:
    assert api.get(Q, query=f"usages={spelling}").json == FREE
    assert api.get(Q, query="usages=maybe").status == 400
