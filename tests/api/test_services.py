"""Services, availability zones, hosts (contract 2.5, 8)."""

from __future__ import annotations

from datetime import timedelta
from typing import Any
from urllib.parse import urlsplit

import pytest
import sqlalchemy as sa

from zun.model.host import Claim
from zun.model.names import new_uuid
from zun.store import claims, hosts, schema
from zun.work.clock import utcnow

S = "/v1/services"
Z = "/v1/availability_zones"
ADMIN = {"project": "ops", "user": "root", "roles": "admin"}
ONE = {"host": "host1.example.com", "binary": "zun-compute"}


def _put(api: Any, verb: str, status: int = 200, **params: Any) -> Any:
    result = api.request("PUT", f"{S}/{verb}", query={**ONE, **params}, **ADMIN)
    assert result.status == status, result.body
    return result.json


def _service(api: Any) -> dict[str, Any]:
    (one,) = api.get(S, **ADMIN).json["services"]
    found: dict[str, Any] = one
    return found


def test_enable_and_disable(api: Any) -> None:
    api.seed_host()
    shown = {
        "host": ONE["host"],
        "binary": "zun-compute",
        "disabled": True,
        "disabled_reason": "new disk",
    }
    assert _put(api, "disable", disabled_reason="new disk") == {"service": shown}
    assert (_service(api)["disabled"], _service(api)["disabled_reason"]) == (True, "new disk")
    assert _put(api, "enable") == {"service": {**shown, "disabled": False, "disabled_reason": None}}
    assert _service(api)["disabled_reason"] is None
    assert _put(api, "disable", disabled_reason="None")["service"]["disabled_reason"] is None


def test_force_down_and_back(api: Any) -> None:
    api.seed_host()
    assert _put(api, "force_down", forced_down="True") == {"service": {**ONE, "forced_down": True}}
    assert (_service(api)["state"], _service(api)["forced_down"]) == ("down", True)
    assert _put(api, "force_down", forced_down="false")["service"]["forced_down"] is False
    assert _service(api)["state"] == "up"


def test_a_host_that_is_forced_down_is_asked_nothing(api: Any) -> None:
    api.seed_host()
    row = api.seed()
    path = f"/v1/containers/{row.uuid}/logs"
    assert api.get(path).status == 200
    _put(api, "force_down", forced_down="true")
    refused = api.get(path)
    assert (refused.status, "retry-after" in refused.headers) == (503, False)
    assert api.get(f"/v1/containers/{row.uuid}").status == 200


def test_parameters_come_by_body_too(api: Any) -> None:
    api.seed_host()
    done = api.request("PUT", f"{S}/force_down", json={**ONE, "forced_down": True}, **ADMIN)
    assert (done.status, done.json["service"]["forced_down"]) == (200, True)
    assert api.request("DELETE", S, json=ONE, **ADMIN).status == 200


@pytest.mark.parametrize("verb", ["enable", "disable", "force_down"])
def test_unknown_services(api: Any, verb: str) -> None:
    api.seed_host()
    query = {"forced_down": "true"} if verb == "force_down" else {}
    for names in ({**ONE, "host": "nosuch"}, {**ONE, "binary": "zun-api"}):
        result = api.request("PUT", f"{S}/{verb}", query={**names, **query}, **ADMIN)
        assert (result.status, result.error["code"]) == (404, "container.zun-service-not-found")


def test_wrong_parameters(api: Any) -> None:
    _put(api, "disable", 400, disabled_reason="")
    _put(api, "disable", 400, disabled_reason="r" * 256)
    _put(api, "force_down", 400)
    _put(api, "force_down", 400, forced_down="yes")
    _put(api, "enable", 400, nosuch="1")


def test_delete(api: Any) -> None:
    api.seed_host()
    gone = api.request("DELETE", S, query=ONE, **ADMIN)
    assert (gone.status, gone.json) == (200, None)
    assert api.get(S, **ADMIN).json == {"services": []}
    assert (
        api.request("DELETE", S, query=ONE, **ADMIN).error["code"]
        == "container.zun-service-not-found"
    )
    # The host itself stays, unseen and out of use, until its agent beats.
    assert api.get("/v1/hosts", **ADMIN).json["hosts"][0]["hostname"] == ONE["host"]
    with api.db.read() as conn:
        (host,) = hosts.every(conn)
    assert (host.last_seen_up, host.disabled, host.forced_down) == (None, False, False)


def _zone(api: Any, hostname: str, zone: str) -> None:
    api.seed_host(hostname)
    with api.db.write() as conn:
        conn.execute(
            schema.services.update()
            .where(schema.services.c.host == hostname)
            .values(availability_zone=zone)
        )


def test_zones_of_all_services_each_once(api: Any) -> None:
    for number, zone in enumerate(["west", "east", "west", "", "north"]):
        _zone(api, f"h{number}", zone)
    _put(api, "disable", host="h4")
    _put(api, "force_down", host="h1", forced_down="true")
    page = api.get(Z)
    assert page.json == {
        "availability_zones": [{"availability_zone": z} for z in ("east", "north", "nova", "west")],
        "next": None,
    }
    shown, query = [], "limit=2&sort_dir=desc"
    while query:
        page = api.get(Z, query=query).json
        shown += [zone["availability_zone"] for zone in page["availability_zones"]]
        query = urlsplit(page["next"]).query if page["next"] else ""
    assert shown == ["west", "nova", "north", "east"]
    assert api.get(Z, query="sort_key=nosuch").status == 400


def test_a_host_shows_everything_it_has(api: Any) -> None:
    api.seed_host()
    claim = Claim(container_uuid=new_uuid(), host=ONE["host"], cpu=1.5, memory=512, disk=3)
    with api.db.write() as conn:
        assert claims.claim(conn, claim)
    shown = api.get(f"/v1/hosts/{ONE['host']}", **ADMIN).json
    uuid, links = shown.pop("uuid"), shown.pop("links")
    assert links[0]["href"].endswith(f"/v1/hosts/{uuid}")
    assert shown == {
        "hostname": ONE["host"], "mem_total": 8192, "mem_used": 512, "cpus": 4, "cpu_used": 1.5,
        "disk_total": 100, "disk_used": 3, "total_containers": 1, "architecture": "x86_64",
        "os_type": "linux", "os": "Debian", "kernel_version": "6.1", "labels": {"rack": "1"},
        "disk_quota_supported": False, "runtimes": ["runc"], "enable_cpu_pinning": False,
    }  # fmt: skip
    assert api.get(f"/v1/hosts/{uuid}", **ADMIN).json["hostname"] == ONE["host"]


def test_hosts_sort_by_what_is_used(api: Any) -> None:
    for number, used in enumerate((2.0, 0.0, 1.0)):
        api.seed_host(f"h{number}")
        with api.db.write() as conn:
            claims.claim(
                conn,
                Claim(container_uuid=new_uuid(), host=f"h{number}", cpu=used, memory=1, disk=0),
            )
    shown, query = [], "limit=2&sort_key=cpu_used&sort_dir=desc"
    while query:
        page = api.get("/v1/hosts", query=query, **ADMIN).json
        shown += [host["hostname"] for host in page["hosts"]]
        query = urlsplit(page["next"]).query if page["next"] else ""
    assert shown == ["h0", "h2", "h1"]


# ---- contract 13.2


@pytest.mark.parametrize(
    "names", [{}, {"host": "h"}, {"binary": "b"}, {"host": "None", "binary": "b"}]
)
@pytest.mark.parametrize(
    ("method", "verb"),
    [("DELETE", ""), ("PUT", "/enable"), ("PUT", "/disable"), ("PUT", "/force_down")],
)
def test_defect_21_a_service_needs_host_and_binary(
    api: Any, method: str, verb: str, names: Any
) -> None:
    result = api.request(
        method,
        S + verb,
        query={**names, "forced_down": "true"} if "down" in verb else names,
        **ADMIN,
    )
    assert (result.status, result.error["code"]) == (400, "container.schema-validation-error")


def test_defect_23_zones_page_to_their_end(api: Any) -> None:
    for number in range(3):
        _zone(api, f"h{number}", f"z{number}")
    full = api.get(Z, query="limit=3").json
    assert len(full["availability_zones"]) == 3
    last = api.get(Z, query=urlsplit(full["next"]).query)
    assert (last.status, last.json) == (200, {"availability_zones": [], "next": None})
    assert api.get(Z, query="marker=z1").json["availability_zones"] == [{"availability_zone": "z2"}]
    assert api.get(Z, query="marker=nosuch").status == 404


def test_defect_39_a_put_is_no_heartbeat(api: Any) -> None:
    api.seed_host()
    with api.db.write() as conn:
        conn.execute(sa.update(schema.services).values(last_seen_up=None, report_count=0))
    _put(api, "disable", disabled_reason="x")
    _put(api, "enable")
    assert _service(api)["updated_at"] is not None
    assert (_service(api)["state"], _service(api)["last_seen_up"]) == ("down", None)
    with api.db.write() as conn:
        conn.execute(sa.update(schema.services).values(last_seen_up=utcnow() - timedelta(hours=1)))
    _put(api, "enable")
    assert _service(api)["state"] == "down"
