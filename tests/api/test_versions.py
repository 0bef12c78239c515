"""Microversions: the table, the header and what it changes (contract 1)."""

from __future__ import annotations

from typing import Any

import pytest

from zun.api import routes
from zun.api.versions import HEADERS, MAX_VERSION, MIN_VERSION, VERSIONS, Version, negotiate

C = "/v1/containers"


def test_the_table_is_without_gaps() -> None:
    assert [str(version) for version in VERSIONS] == [
        f"1.{minor}" for minor in range(1, len(VERSIONS) + 1)
    ]
    assert set(HEADERS) == set(VERSIONS)


def test_ranges_of_endpoints_are_ranges() -> None:
    for methods in routes.ROUTES.values():
        for endpoint in methods.values():
            assert MIN_VERSION <= endpoint.since <= endpoint.until <= MAX_VERSION


@pytest.mark.parametrize(
    ("header", "version"),
    [
        (None, (1, 1)),
        ("container 1.1", (1, 1)),
        ("container 1.40", (1, 40)),
        ("container latest", MAX_VERSION),
        ("Container LATEST", MAX_VERSION),
        ("  container   1.12 ", (1, 12)),
        ("CONTAINER 1.36", (1, 36)),
    ],
)
def test_negotiation(header: str | None, version: tuple[int, int]) -> None:
    assert negotiate(header) == Version(*version)


@pytest.mark.parametrize("version", [str(version) for version in VERSIONS])
def test_every_version_is_answered_in_kind(api: Any, version: str) -> None:
    result = api.get(C, version=version)
    assert result.status == 200
    assert result.headers["openstack-api-version"] == f"container {version}"
    assert result.headers["openstack-api-minimum-version"] == "container 1.1"
    assert result.headers["openstack-api-maximum-version"] == f"container {MAX_VERSION}"
    assert result.headers["vary"] == "OpenStack-API-Version"


def test_absent_means_the_oldest(api: Any) -> None:
    assert api.get(C, version=None).headers["openstack-api-version"] == "container 1.1"


def test_errors_of_controllers_carry_the_version(api: Any) -> None:
    result = api.get(f"{C}/nosuch", version="1.20")
    assert result.status == 404
    assert result.headers["openstack-api-version"] == "container 1.20"
    assert result.headers["vary"] == "OpenStack-API-Version"


@pytest.mark.parametrize(("method", "path"), [("GET", "/"), ("GET", "/v1/nosuch"), ("PUT", C)])
def test_the_router_and_the_root_carry_none(api: Any, method: str, path: str) -> None:
    assert "openstack-api-version" not in api.request(method, path).headers


def test_an_endpoint_outside_its_range_is_406(api: Any) -> None:
    result = api.get("/v1/hosts", version="1.3", roles="admin")
    assert (result.status, result.error["code"]) == (406, "container.")
    api.seed()
    result = api.post(f"{C}/web/rename", version="1.14", query="name=other")
    assert (result.status, result.error["code"]) == (406, "container.")
    assert api.post(f"{C}/web/rename", version="1.13", query="name=other").status == 200


def test_a_command_is_split_up_to_1_19(api: Any) -> None:
    old = api.post(C, json={"image": "busybox", "command": "sh -c 'echo  a b'"}, version="1.19")
    assert old.json["command"] == ["sh", "-c", "echo  a b"]
    new = api.post(C, json={"image": "busybox", "command": ["sh", "-c", "echo", 1]}, version="1.20")
    assert new.json["command"] == ["sh", "-c", "echo", "1"]
    for version, empty in (("1.19", ""), ("1.20", []), ("1.20", None), ("1.1", None)):
        created = api.post(C, json={"image": "busybox", "command": empty}, version=version)
        assert created.status == 202
        assert created.json["command"] is None


@pytest.mark.parametrize(
    ("version", "fields", "tty"),
    [
        ("1.19", {"interactive": True}, False),
        ("1.19", {"interactive": True, "tty": True}, True),
        ("1.20", {"interactive": True}, True),
        ("1.35", {"interactive": True, "tty": False}, True),
        ("1.35", {"interactive": "False", "tty": True}, False),
        ("1.35", {"tty": "True"}, True),
        ("1.36", {"interactive": True}, False),
        ("1.36", {"interactive": False, "tty": True}, True),
        ("1.36", {}, False),
    ],
)
def test_tty_follows_interactive_from_1_20_to_1_35(
    api: Any, version: str, fields: dict[str, Any], tty: bool
) -> None:
    created = api.post(C, json={"image": "busybox", **fields}, version=version)
    assert created.status == 202
    assert created.json["tty"] is tty


@pytest.mark.parametrize(
    ("field", "value", "since"),
    [
        ("auto_remove", True, 3),
        ("runtime", "runc", 5),
        ("hostname", "h", 9),
        ("privileged", True, 21),
        ("healthcheck", {"cmd": "true"}, 22),
        ("exposed_ports", {"80/tcp": {}}, 24),
        ("host", "host1.example.com", 39),
        ("entrypoint", ["sh"], 40),
    ],
)
def test_fields_begin_at_their_version(make_api: Any, field: str, value: Any, since: int) -> None:
    opened = "".join(
        f'"container:create:{rule}": ""\n'
        for rule in ("privileged", "runtime", "requested_destination")
    )
    api = make_api(policy=opened)
    api.seed_host()
    body = {"image": "busybox", field: value}
    below = api.post(C, json=body, version=f"1.{since - 1}")
    assert (below.status, below.error["code"]) == (400, "container.invalid-param-in-version")
    assert f"{field}: needs microversion 1.{since}" in below.error["title"]
    at = api.post(C, json=body, version=f"1.{since}")
    # Ports and images of other drivers need a cloud; what counts is that the version is no obstacle.
    assert at.status == 202 or "microversion" not in at.error["title"]


@pytest.mark.parametrize(
    ("field", "empty"), [("mounts", []), ("healthcheck", {}), ("auto_remove", None), ("nets", [])]
)
def test_empty_values_pass_below(api: Any, field: str, empty: Any) -> None:
    assert api.post(C, json={"image": "busybox", field: empty}, version="1.1").status == 202
