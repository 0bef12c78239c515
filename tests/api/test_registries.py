"""Private registries (contract 2.5, 8)."""

from __future__ import annotations

import logging
from typing import Any
from urllib.parse import urlsplit

import pytest
import sqlalchemy as sa

from zun.model.names import new_uuid
from zun.store import schema

R = "/v1/registries"
C = "/v1/containers"
ADMIN = {"project": "ops", "user": "root", "roles": "admin"}
SECRET = "correct horse battery staple"


def _made(api: Any, who: dict[str, str] | None = None, **fields: Any) -> dict[str, Any]:
    result = api.post(R, json={"registry": {"domain": "r.example.com:5000", **fields}}, **who or {})
    assert result.status == 201, result.body
    registry: dict[str, Any] = result.json["registry"]
    return registry


def _sealed(api: Any, uuid: str) -> Any:
    with api.db.read() as conn:
        query = sa.select(schema.registries.c.password).where(schema.registries.c.uuid == uuid)
        return conn.execute(query).scalar_one()


def test_single_answers_are_wrapped_and_lists_are_flat(api: Any) -> None:
    body = {"domain": "r.example.com", "name": "mine", "username": "bob", "password": SECRET}
    result = api.post(R, json={"registry": body})
    made = result.json["registry"]
    assert result.status == 201
    assert result.headers["location"] == f"http://zun.test:9517{R}/{made['uuid']}"
    flat = {**body, "password": "***", "uuid": made["uuid"], "project_id": "p1", "user_id": "alice"}
    links = [
        {"href": f"http://zun.test:9517{R}/{made['uuid']}", "rel": "self"},
        {"href": f"http://zun.test:9517/registries/{made['uuid']}", "rel": "bookmark"},
    ]
    assert result.json == {"registry": {**flat, "links": links}}
    assert api.get(f"{R}/{made['uuid']}").json == result.json
    assert api.get(f"{R}/mine").json == result.json
    assert api.get(R).json == {"registries": [flat], "next": None}


def test_the_password_is_masked_even_where_there_is_none(api: Any) -> None:
    made = _made(api)
    assert (made["password"], made["username"], made["name"]) == ("***", None, None)
    assert _sealed(api, made["uuid"]) is None


def test_the_password_is_sealed_and_never_told(api: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.DEBUG):
        made = _made(api, username="bob", password=SECRET)
        first = _sealed(api, made["uuid"])
        changed = api.request(
            "PATCH", f"{R}/{made['uuid']}", json={"registry": {"password": SECRET}}
        )
        api.post(R, json={"registry": {"domain": "d", "password": SECRET, "nosuch": 1}})
    assert SECRET not in first
    assert SECRET not in changed.body.decode() + caplog.text
    assert _sealed(api, made["uuid"]) not in (first, None)  # sealed anew: not even equality shows


@pytest.mark.parametrize("password", [12345678, [SECRET], {"a": SECRET}, "", True])
def test_an_error_does_not_repeat_the_password(api: Any, password: Any) -> None:
    for result in (
        api.post(R, json={"registry": {"domain": "d", "password": password}}),
        api.request("PATCH", f"{R}/x", json={"registry": {"password": password}}),
    ):
        assert (result.status, result.error["code"]) == (400, "container.schema-validation-error")
        assert "password" in result.error["title"]
        assert SECRET not in result.body.decode() and "12345678" not in result.body.decode()


@pytest.mark.parametrize(
    "body",
    [
        None, {}, [], {"registry": None}, {"registry": {}}, {"registry": []}, {"registry": {"domain": ""}},
        {"registry": {"domain": None}}, {"registry": {"domain": "a b"}}, {"registry": {"domain": "d" * 256}},
        {"registry": {"domain": "d", "name": "x"}}, {"registry": {"domain": "d", "username": ""}},
        {"registry": {"domain": "d", "extra": 1}}, {"registry": {"domain": "d"}, "extra": 1}, {"domain": "d"},
    ],
)  # fmt: skip
def test_wrong_bodies(api: Any, body: Any) -> None:
    assert api.post(R, json=body, headers={"Content-Type": "application/json"}).status == 400
    assert api.get(R).json["registries"] == []


def test_update_changes_what_is_named_and_nothing_else(api: Any) -> None:
    made = _made(api, name="mine", username="bob", password=SECRET)
    path = f"{R}/{made['uuid']}"
    sealed = _sealed(api, made["uuid"])
    patched = api.request("PATCH", path, json={"registry": {"domain": "new.example.com"}})
    assert (patched.status, patched.json["registry"]) == (
        200,
        {**made, "domain": "new.example.com"},
    )
    assert _sealed(api, made["uuid"]) == sealed
    assert api.request("PATCH", path, json={"registry": {}}).status == 200
    cleared = api.request("PATCH", path, json={"registry": {"username": None, "password": None}})
    assert cleared.json["registry"]["username"] is None
    assert _sealed(api, made["uuid"]) is None
    assert api.request("PATCH", path, json={"registry": {"domain": None}}).status == 400
    assert api.request("PATCH", path, json={}).status == 400


def test_idents(api: Any) -> None:
    made = _made(api, name="mine")
    _made(api, {"project": "p2"}, name="mine")
    assert api.get(f"{R}/mine").json["registry"]["uuid"] == made["uuid"]
    assert (
        api.get(f"{R}/{made['uuid']}", project="p2").error["code"] == "container.registry-not-found"
    )
    assert api.get(f"{R}/nosuch").status == api.get(f"{R}/{new_uuid()}").status == 404
    assert api.get(f"{R}/mine", **ADMIN).status == 409
    assert api.get(f"{R}/{made['uuid']}", **ADMIN).status == 200
    _made(api, name="mine")
    assert api.get(f"{R}/mine").error["code"] == "container.conflict"


def test_lists_page_filter_and_sort(api: Any) -> None:
    uuids = [_made(api, name=f"r{n}", username=f"u{n % 2}")["uuid"] for n in range(5)]
    foreign = _made(api, {"project": "p2", "user": "bob"}, name="r9")["uuid"]

    def shown(query: str, **who: str) -> list[str]:
        found = []
        while True:
            page = api.get(R, query=query, **who).json
            found += [item["uuid"] for item in page["registries"]]
            if page["next"] is None:
                return found
            query = urlsplit(page["next"]).query

    assert shown("limit=2") == uuids
    assert shown("limit=2&sort_key=name&sort_dir=desc") == uuids[::-1]
    # Filters go along (defect 13.2-29).
    assert shown("limit=1&username=u1") == [uuids[1], uuids[3]]
    assert shown("project_id=p2") == []
    assert shown("limit=1&all_projects=true&name=r9", **ADMIN) == [foreign]
    assert shown("domain=r.example.com%3A5000&user_id=alice") == uuids
    assert shown("", **ADMIN) == []
    assert api.get(R, query="all_projects=true").status == 403
    for wrong in ("nosuch=1", "limit=0", "sort_dir=up", "all_projects=maybe", "password=x"):
        assert api.get(R, query=wrong).status == 400, wrong
    assert api.get(R, query=f"marker={foreign}").status == 404
    assert api.get(R, query="marker=x").error["code"] == "container.registry-not-found"


def test_operators_hide_fields(make_api: Any) -> None:
    api = make_api(policy='"registry:get_one:username": "!"\n')
    made = _made(api, username="bob")
    assert "username" not in made and "username" not in api.get(R).json["registries"][0]
    assert api.get(R, query="username=bob").status == 403


def test_a_container_names_its_registry(api: Any) -> None:
    made = _made(api, name="mine")
    for ident in ("mine", made["uuid"]):
        created = api.post(C, json={"image": "team/app", "registry": ident})
        assert (created.status, created.json["registry_id"]) == (202, made["uuid"])
        assert created.json["image"] == "team/app"
    for ident in ("nosuch", new_uuid()):
        refused = api.post(C, json={"image": "team/app", "registry": ident})
        assert (refused.status, refused.error["code"]) == (404, "container.registry-not-found")
    assert (
        api.post(C, json={"image": "team/app", "registry": made["uuid"]}, project="p2").status
        == 404
    )
    old = api.post(C, json={"image": "team/app", "registry": "mine"}, version="1.30")
    assert (old.status, old.error["code"]) == (400, "container.invalid-param-in-version")


def test_a_registry_in_use_stays(api: Any) -> None:
    made = _made(api)
    container = api.post(C, json={"image": "team/app", "registry": made["uuid"]}).json["uuid"]
    refused = api.request("DELETE", f"{R}/{made['uuid']}")
    assert (refused.status, refused.error["code"]) == (409, "container.conflict")
    api.request("DELETE", f"{C}/{container}", query="force=true", roles="admin")
    gone = api.request("DELETE", f"{R}/{made['uuid']}")
    assert (gone.status, gone.body) == (204, b"")
    assert api.get(f"{R}/{made['uuid']}").status == 404


# ---- contract 13.2


def test_defect_12_resource_url_is_no_parameter_of_registries(api: Any) -> None:
    assert api.get(R, query="resource_url=http://evil.example").status == 400


def test_defect_20_a_registry_is_json(api: Any) -> None:
    assert api.post(R, body=b"{}", headers={"Content-Type": "text/plain"}).status == 415


def test_defect_24_registries_with_dots_are_reachable(api: Any) -> None:
    made = _made(api, name="hub.example.com")
    assert api.get(f"{R}/hub.example.com").json["registry"]["uuid"] == made["uuid"]


@pytest.mark.parametrize("key", ["password", "nosuch"])
def test_defect_46_passwords_are_no_sort_key(api: Any, key: str) -> None:
    refused = api.get(R, query=f"sort_key={key}")
    assert (refused.status, refused.error["code"]) == (400, "container.invalid-parameter-value")
