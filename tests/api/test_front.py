"""What every request passes: ids, paths, authentication, errors, health (contract 1, 2.0, 7)."""

from __future__ import annotations

import base64
import dataclasses
import logging
import os
from pathlib import Path
from typing import Any

import bcrypt
import pytest

from zun.api.middleware import http_basic
from zun.api.middleware.http_basic import HttpBasic
from zun.api.versions import MAX_VERSION
from zun.service.house import Services

C = "/v1/containers"


def test_every_answer_has_its_own_request_id(api: Any) -> None:
    ids = {
        api.request(method, path, version=version).headers["x-openstack-request-id"]
        for method, path, version in (
            ("GET", C, None),
            ("GET", "/", None),
            ("GET", "/v1/nosuch", None),
            ("PUT", C, None),
            ("GET", C, "9.9"),
            ("POST", C, None),
            ("GET", "/healthcheck", None),
        )
    }
    assert len(ids) == 7


def test_a_clients_request_id_is_not_taken_over(api: Any) -> None:
    mine = "req-8a3c1d0e-0000-4000-8000-000000000000"
    result = api.get(C, headers={"X-Openstack-Request-Id": mine})
    assert result.headers["x-openstack-request-id"] != mine


def test_error_bodies_have_one_shape(api: Any) -> None:
    for result, status, code in (
        (api.get(f"{C}/nosuch"), 404, "container.container-not-found"),
        (api.get("/v1/nosuch"), 404, "container."),
        (api.request("PUT", C), 405, "container."),
        (api.get(C, query="limit=0"), 400, "container.schema-validation-error"),
        (api.get("/v1/hosts"), 403, "container.policy-not-authorized"),
        (api.get(C, headers={"Accept": "text/html"}), 406, "container."),
        (
            api.post(C, body=b"x", headers={"Content-Type": "text/plain"}),
            415,
            "container.unsupported-media-type",
        ),
        (api.post(C, body=b"x" * 70_000), 413, "container.request-entity-too-large"),
    ):
        assert (result.status, result.error["code"]) == (status, code)
        assert result.error["title"] == result.error["detail"]
        assert result.error["links"] == []
        assert "retry-after" not in result.headers


def test_what_nobody_foresaw_tells_nothing(make_api: Any, caplog: pytest.LogCaptureFixture) -> None:
    class Broken:
        def find(self, *_args: Any, **_kwargs: Any) -> None:
            raise RuntimeError("the secret of the house")

    api = make_api(services=lambda services: dataclasses.replace(services, containers=Broken()))
    with caplog.at_level(logging.ERROR):
        result = api.get(f"{C}/web")
    assert result.status == 500
    assert result.error["title"] == "Internal Server Error"
    assert result.error["code"] == "container."
    assert "secret" not in result.body.decode()
    correlation = result.error["detail"].rsplit(" ", 1)[-1]
    assert correlation in caplog.text
    assert "the secret of the house" in caplog.text
    assert result.headers["openstack-api-version"] == "container 1.40"


def test_a_failing_middleware_is_a_500_too(make_api: Any) -> None:
    def failing(_app: Any) -> Any:
        def middleware(_environ: Any, _start_response: Any) -> Any:
            raise RuntimeError("keystone fell over")

        return middleware

    result = make_api(authenticate=failing).get(C)
    assert (result.status, result.error["title"]) == (500, "Internal Server Error")


@pytest.mark.parametrize(
    "path",
    ["/v1/containers/web", "/v1/containers/web/", "/v1/containers//web", "//v1//containers///web//", "/containers/web",
     "/containers//web/"],
)  # fmt: skip
def test_slashes_and_the_alias(api: Any, path: str) -> None:
    row = api.seed()
    assert api.get(path).json["uuid"] == row.uuid


@pytest.mark.parametrize("path", ["/v1", "/v1/", "//v1//"])
def test_v1_is_public(make_api: Any, tmp_path: Path, path: str) -> None:
    result = make_api(authenticate=_basic(tmp_path)).get(path)
    assert result.status == 200
    document = result.json
    assert document["id"] == "v1"
    assert document["media_types"][0]["type"] == "application/vnd.openstack.zun.v1+json"
    assert [link["rel"] for link in document["containers"]] == ["self", "bookmark"]
    assert document["containers"][0]["href"] == "http://zun.test:9517/v1/containers/"
    assert len(document) == 13
    assert result.headers["openstack-api-version"] == "container 1.40"


def test_the_root_is_public_and_knows_no_version(make_api: Any, tmp_path: Path) -> None:
    result = make_api(authenticate=_basic(tmp_path)).get("/", version="nonsense")
    assert result.status == 200
    (version,) = result.json["versions"]
    assert version == result.json["default_version"]
    assert (version["min_version"], version["max_version"], version["status"]) == (
        "1.1",
        str(MAX_VERSION),
        "CURRENT",
    )
    assert version["links"] == [{"href": "http://zun.test:9517/v1/", "rel": "self"}]


# ---- authentication


def _basic(tmp_path: Path, password: str = "s3cret") -> Any:
    htpasswd, identities = tmp_path / "htpasswd", tmp_path / "identities.yaml"
    hashed = bcrypt.hashpw(password.encode(), bcrypt.gensalt(rounds=4)).decode()
    htpasswd.write_text(f"# users\nalice:{hashed}\nghost:{hashed}\n")
    identities.write_text(
        "alice:\n  user_id: u-alice\n  project_id: p-demo\n  project_name: demo\n  roles: [member]\n"
    )
    return lambda app: HttpBasic(app, htpasswd=htpasswd, identities=identities)


def _login(user: str, password: str) -> dict[str, str]:
    token = base64.b64encode(f"{user}:{password}".encode()).decode()
    return {"Authorization": f"Basic {token}"}


def test_basic_credentials_become_a_caller(make_api: Any, tmp_path: Path) -> None:
    api = make_api(authenticate=_basic(tmp_path))
    # Headers that claim an identity are not believed.
    created = api.post(
        C, json={"image": "busybox"}, headers=_login("alice", "s3cret"), roles="admin", project="p2"
    )
    assert created.status == 202
    assert (created.json["project_id"], created.json["user_id"]) == ("p-demo", "u-alice")
    assert "host" not in created.json
    assert api.get("/v1/hosts", headers=_login("alice", "s3cret"), roles="admin").status == 403


@pytest.mark.parametrize(
    "headers",
    [
        {},
        _login("alice", "wrong"),
        _login("nobody", "s3cret"),
        _login("ghost", "s3cret"),
        _login("", ""),
        _login("alice", "s3cret" + "x" * 100),
        _login("alice", "s3cret\0"),
        {"Authorization": "Basic"},
        {"Authorization": "Basic !!!"},
        {"Authorization": "Basic " + "A" * 9},
        {"Authorization": "Basic /////w=="},
        {"Authorization": "Bearer s3cret"},
        {"X-Auth-Token": "s3cret"},
    ],
)
def test_others_get_a_401_in_keystones_shape(
    make_api: Any, tmp_path: Path, headers: dict[str, str]
) -> None:
    api = make_api(authenticate=_basic(tmp_path))
    for path in (C, "/v1/nosuch", "/nosuch"):
        result = api.get(path, headers=headers)
        assert result.status == 401
        assert result.headers["www-authenticate"].startswith("Basic ")
        error = result.json["error"]
        assert (error["code"], error["title"]) == (401, "Unauthorized")
        assert error["message"]


def test_bcrypt_runs_once_a_credential(
    make_api: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    api = make_api(authenticate=_basic(tmp_path))
    checked: list[bytes] = []
    real = bcrypt.checkpw
    monkeypatch.setattr(http_basic.bcrypt, "checkpw", lambda p, h: checked.append(p) or real(p, h))
    for _ in range(5):
        assert api.get(C, headers=_login("alice", "s3cret")).status == 200
    assert len(checked) == 1
    for _ in range(3):
        assert api.get(C, headers=_login("alice", "wrong")).status == 401
    assert api.get(C, headers=_login("stranger", "x")).status == 401
    assert len(checked) == 5


def test_changed_files_count_at_once(make_api: Any, tmp_path: Path) -> None:
    api = make_api(authenticate=_basic(tmp_path))
    assert api.get(C, headers=_login("alice", "s3cret")).status == 200
    _basic(tmp_path, password="another")
    assert api.get(C, headers=_login("alice", "s3cret")).status == 401
    assert api.get(C, headers=_login("alice", "another")).status == 200
    (tmp_path / "htpasswd").unlink()
    assert api.get(C, headers=_login("alice", "another")).status == 401


def test_only_bcrypt_is_taken(tmp_path: Path) -> None:
    _basic(tmp_path)
    (tmp_path / "htpasswd").write_text("alice:$apr1$abc$def\n")
    with pytest.raises(ValueError, match="line 1"):
        HttpBasic(
            lambda e, s: [], htpasswd=tmp_path / "htpasswd", identities=tmp_path / "identities.yaml"
        )


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[]", "must map users"),
        ("alice: 1", "alice"),
        ("alice: {user_id: u}", "project_id"),
        ("alice: {user_id: u, project_id: p, roles: admin}", "roles"),
        ("alice: {user_id: u, project_id: p, roles: ['a,b']}", "roles"),
        ("a: b: c", "not YAML"),
    ],
)
def test_a_wrong_identities_file_is_named(tmp_path: Path, text: str, named: str) -> None:
    path = tmp_path / "identities.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=named):
        http_basic.read_identities(path)


def test_noauth_defaults_to_an_administrator(api: Any) -> None:
    created = api.post(C, json={"image": "busybox"}, user=None, project=None, roles=None)
    assert created.json["project_id"] == "admin"
    assert "host" in created.json
    tenant = api.post(
        C, json={"image": "busybox"}, user=None, project=None, headers={"X-Tenant-Id": "t1"}
    )
    assert tenant.json["project_id"] == "t1"


def test_an_identity_without_a_project_is_refused(make_api: Any) -> None:
    def unscoped(app: Any) -> Any:
        def middleware(environ: Any, start_response: Any) -> Any:
            environ.pop("HTTP_X_PROJECT_ID", None)
            return app(environ, start_response)

        return middleware

    assert make_api(authenticate=unscoped).get(C).status == 403


# ---- health


def test_health(make_api: Any, tmp_path: Path) -> None:
    api = make_api(authenticate=_basic(tmp_path))
    result = api.get("/healthcheck/")
    assert (result.status, result.json["status"]) == (200, "ok")
    assert result.json["checks"] == {"database": {"status": "ok", "detail": "fine"}}

    def broken() -> str:
        raise OSError("no engine answers")

    api.health["engine"] = broken
    result = api.get("/healthcheck")
    assert (result.status, result.json["status"]) == (503, "failed")
    assert result.json["checks"]["engine"] == {"status": "failed", "detail": "no engine answers"}
    assert result.json["checks"]["database"]["status"] == "ok"


def test_a_health_report_that_fails_is_a_failure(make_api: Any) -> None:
    class Broken:
        def report(self) -> Any:
            raise RuntimeError

    def broken(services: Services) -> Services:
        return dataclasses.replace(services, health=Broken())  # type: ignore[arg-type]

    assert make_api(services=broken).get("/healthcheck").status == 503


def test_files_written_in_the_same_instant_still_differ(tmp_path: Path) -> None:
    basic = _basic(tmp_path)(lambda e, s: [])
    before = basic._stamp()
    stat = (tmp_path / "htpasswd").stat()
    (tmp_path / "htpasswd").write_text("")
    os.utime(tmp_path / "htpasswd", ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert basic._stamp() != before
