"""Draining, maintenance, enabling and removing hosts: for administrators, from microversion 1.48."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.rows import container

from zun.store import containers, hosts, schema
from zun.work.clock import utcnow

ADMIN = {"roles": "admin"}
NEW = {"version": "1.48", **ADMIN}
H = "/v1/hosts"


def test_a_host_is_drained_put_into_maintenance_and_enabled(api: Any) -> None:
    api.seed_host("a.example.com")
    for verb, mode in (
        ("drain", "draining"),
        ("maintenance", "maintenance"),
        ("enable", "enabled"),
    ):
        query = "" if verb == "enable" else "reason=new+disks"
        done = api.request("POST", f"{H}/a.example.com/{verb}", query=query, **NEW)
        assert done.status == 200
        assert done.json["mode"] == mode
        assert done.json["mode_reason"] == (None if verb == "enable" else "new disks")
        assert done.json == api.get(f"{H}/a.example.com", **NEW).json
        assert done.json["state"] == "up"


def test_the_reason_may_be_in_the_body(api: Any) -> None:
    api.seed_host("a.example.com")
    done = api.request("POST", f"{H}/a.example.com/drain", json={"reason": "old"}, **NEW)
    assert done.json["mode_reason"] == "old"


@pytest.mark.parametrize("verb", ["drain", "maintenance", "enable", ""])
def test_below_its_version_and_for_others_and_of_no_host(api: Any, verb: str) -> None:
    api.seed_host("a.example.com")
    method, path = ("POST", f"/{verb}") if verb else ("DELETE", "")
    assert api.request(method, f"{H}/a.example.com{path}", version="1.47", **ADMIN).status == 406
    assert api.request(method, f"{H}/a.example.com{path}", version="1.48").status == 403
    missing = api.request(method, f"{H}/nosuch{path}", **NEW)
    assert (missing.status, missing.error["code"]) == (404, "container.compute-node-not-found")
    assert api.request(method, f"{H}/a%00b{path}", **NEW).status == 404


@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("reason=" + "x" * 256, "reason"),
        ("reason=a%00", "reason"),
        ("why=x", "why"),
        ("reason=", "reason"),
    ],
)
def test_a_bad_reason_is_a_400(api: Any, query: str, field: str) -> None:
    api.seed_host("a.example.com")
    refused = api.request("POST", f"{H}/a.example.com/drain", query=query, **NEW)
    assert refused.status == 400
    assert field in refused.error["detail"]


def _silence(api: Any, name: str) -> None:
    with api.db.write() as conn:
        conn.execute(
            schema.services.update()
            .where(schema.services.c.host == name)
            .values(last_seen_up=utcnow().replace(year=2020), lease_until=None)
        )


def test_a_host_is_removed_once_it_is_down_and_empty(api: Any) -> None:
    api.seed_host("a.example.com")
    refused = api.request("DELETE", f"{H}/a.example.com", **NEW)
    assert (refused.status, "is up" in refused.error["detail"]) == (409, True)
    _silence(api, "a.example.com")
    one = container(host="a.example.com")
    with api.db.write() as conn:
        containers.insert(conn, one)
    refused = api.request("DELETE", f"{H}/a.example.com", **NEW)
    assert (refused.status, "still has containers" in refused.error["detail"]) == (409, True)
    with api.db.write() as conn:
        containers.delete(conn, one.uuid)
    assert api.request("DELETE", f"{H}/a.example.com", **NEW).status == 204
    assert api.get(f"{H}/a.example.com", **NEW).status == 404
    assert not [
        s for s in api.get("/v1/services", **ADMIN).json["services"] if s["host"] == "a.example.com"
    ]
    with api.db.read() as conn:
        assert hosts.uuid_of(conn, "a.example.com") is None


def test_by_force_what_is_on_it_is_given_up(api: Any) -> None:
    api.seed_host("a.example.com")
    _silence(api, "a.example.com")
    one = container(host="a.example.com", project_id="p1")
    with api.db.write() as conn:
        containers.insert(conn, one)
    bad = api.request("DELETE", f"{H}/a.example.com", query="force=maybe", **NEW)
    assert bad.status == 400
    assert api.request("DELETE", f"{H}/a.example.com", query="force=true", **NEW).status == 204
    assert api.get(f"{H}/a.example.com", **NEW).status == 404
    row = api.get(f"/v1/containers/{one.uuid}", project="p1").json
    assert row["status"] == "Error"
    assert "was removed" in row["status_reason"]
    # Nothing of it is anywhere: its user deletes it at once.
    assert api.request("DELETE", f"/v1/containers/{one.uuid}", project="p1").status == 204
    assert api.get(f"/v1/containers/{one.uuid}", project="p1").status == 404
