"""What upstream has not: microversions above 1.40, apart from the long-lived answers; and the API's own figures."""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from prometheus_client import CollectorRegistry
from tests.support.house import Fakes, Rig, caller, eventually, make, running

from zun.api.app import build_app
from zun.api.middleware.noauth import NoAuth
from zun.api.settings import ApiSettings
from zun.drivers.fake import FakeRuntime
from zun.model.container import Draft
from zun.model.lifecycle import Status
from zun.store import idempotency, schema
from zun.work.clock import utcnow

C = "/v1/containers"
OK = {"image": "busybox"}
OWN = ("exit_code", "started_at", "finished_at", "health", "max_run_time")


# ---- fields


def test_own_fields_from_their_version_on(api: Any) -> None:
    api.seed(
        exit_code=3, started_at=utcnow(), finished_at=utcnow(), health="healthy", max_run_time=60
    )
    for version in ("1.1", "1.40", None):
        shown = [
            api.get(f"{C}/web", version=version).json,
            api.get(C, version=version).json["containers"][0],
        ]
        shown.append(api.request("PATCH", f"{C}/web", json={}, version=version).json)
        assert not any(set(OWN) & set(item) for item in shown)
    shown = [
        api.get(f"{C}/web", version="1.41").json,
        api.get(C, version="1.41").json["containers"][0],
    ]
    for item in shown:
        assert (item["exit_code"], item["health"]) == (3, "healthy")
        assert item["started_at"][4] == "-" and item["finished_at"][10] == " "
        assert "max_run_time" not in item
    assert api.get(f"{C}/web", version="1.44").json["max_run_time"] == 60


# ---- filters


@pytest.fixture
def zoo(api: Any) -> Any:
    for name, status, labels in (
        ("web-1", Status.RUNNING, {"app": "web", "tier": "front"}),
        ("web-2", Status.STOPPED, {"app": "web"}),
        ("Web-3", Status.ERROR, {"app": "api,1"}),
        ("we_b", Status.PAUSED, {}),
        ("web", Status.RUNNING, {"tier": ""}),
    ):
        api.seed(name=name, status=status, labels=labels)
    api.seed(name="web-x", project_id="p2", labels={"app": "web"})
    return api


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("status=Running", "web-1 web"),
        ("status=Running,Stopped", "web-1 web-2 web"),
        ("status=Running,Nosuch", "web-1 web"),
        ("status=Nosuch", ""),
        ("name_prefix=web-", "web-1 web-2"),
        ("name_prefix=we", "web-1 web-2 we_b web"),
        ("name_prefix=we_", "we_b"),
        ("name_prefix=%25", ""),
        ("labels=app", "web-1 web-2 Web-3"),
        ("labels=app=web", "web-1 web-2"),
        ("labels=app=web,tier", "web-1"),
        ("labels=tier=", "web"),
        ("labels=app=nosuch", ""),
        ("labels=app=web&status=Stopped&name_prefix=w", "web-2"),
    ],
)
def test_filters(zoo: Any, query: str, names: str) -> None:
    result = zoo.get(C, query=query, version="1.41")
    assert [item["name"] for item in result.json["containers"]] == names.split()


def test_filters_below_1_41(zoo: Any) -> None:
    for query in ("name_prefix=w", "labels=app"):
        assert zoo.get(C, query=query, version="1.40").status == 400
    assert zoo.get(C, query="status=Running,Stopped", version="1.40").json["containers"] == []


@pytest.mark.parametrize("query", ["labels==x", "labels=a,", "labels=", "name_prefix="])
def test_wrong_filters(zoo: Any, query: str) -> None:
    assert zoo.get(C, query=query, version="1.41").status == 400


def test_next_repeats_own_filters(zoo: Any) -> None:
    query, names = "limit=1&labels=app&status=Running,Stopped&name_prefix=we", []
    while query:
        page = zoo.get(C, query=query, version="1.41").json
        names += [item["name"] for item in page["containers"]]
        query = (page["next"] or "").partition("?")[2]
    assert names == ["web-1", "web-2"]


def test_labels_go_with_their_container(tmp_path: Path) -> None:
    with running(tmp_path) as rig:
        row = rig.create(Draft(image="busybox", labels={"a": "b"}, memory=4))
        rig.settled(row.uuid)
        with rig.db.read() as conn:
            assert (
                conn.execute(
                    sa.select(sa.func.count()).select_from(schema.container_labels)
                ).scalar()
                == 2
            )
        rig.house.services.containers.delete(caller(), row, force=True, stop=False)
        eventually(lambda: rig.row(row.uuid) is None)
        with rig.db.read() as conn:
            assert not conn.execute(sa.select(schema.container_labels)).first()


@pytest.mark.parametrize(
    ("query", "index"),
    [
        ("labels=app=web", "sqlite_autoindex_container_labels_1"),
        ("name_prefix=web-", "ix_containers_project_id_name"),
        ("status=Running,Stopped", "ix_containers_project_id_status_id"),
    ],
)
def test_filters_have_their_index(api: Any, query: str, index: str) -> None:
    plans: list[str] = []

    def explain(conn: Any, _cursor: Any, statement: str, parameters: Any, *_: Any) -> None:
        if "FROM containers" in statement and "EXPLAIN" not in statement:
            rows = conn.connection.cursor().execute(f"EXPLAIN QUERY PLAN {statement}", parameters)
            plans.extend(str(row[3]) for row in rows)

    sa.event.listen(api.db.engine, "before_cursor_execute", explain)
    assert api.get(C, query=query, version="1.41").status == 200
    assert any(index in line for line in plans), plans
    assert not any(line.startswith("SCAN") for line in plans), plans


# ---- idempotency


def _create(api: Any, key: str | None, body: Any = OK, **kwargs: Any) -> Any:
    headers = {} if key is None else {"Idempotency-Key": key}
    return api.post(C, json=body, headers=headers, **{"version": "1.43", **kwargs})


def test_the_same_key_gives_the_same_container(api: Any) -> None:
    first, again = _create(api, "k"), _create(api, "k")
    assert (first.status, again.status) == (202, 202)
    assert first.json["uuid"] == again.json["uuid"]
    assert first.headers["location"] == again.headers["location"]
    assert "idempotency-replayed" not in first.headers
    assert again.headers["idempotency-replayed"] == "true"
    assert api.counts() == (1, 1, 1)


def test_another_body_is_a_conflict(api: Any) -> None:
    _create(api, "k")
    for kwargs in ({"body": {"image": "nginx"}}, {"query": "run=true"}):
        refused = _create(api, "k", **kwargs)
        assert (refused.status, refused.error["code"]) == (409, "container.idempotency-key-used")
    assert _create(api, "k", {**OK}).status == 202
    assert api.counts()[0] == 1


def test_keys_are_of_a_project_and_of_1_43(api: Any) -> None:
    assert _create(api, "k").json["uuid"] != _create(api, "k", project="p2").json["uuid"]
    uuids = {
        _create(api, key, version=version).json["uuid"]
        for key, version in (("k", "1.42"), ("k", "1.1"), (None, "1.43"))
    }
    assert len(uuids) == 3
    assert api.counts()[0] == 5


@pytest.mark.parametrize("key", ["", "k" * 256, "\xe9", "a\tb"])
def test_keys_that_are_none(api: Any, key: str) -> None:
    assert _create(api, key).status == 400


def test_a_key_whose_container_is_gone(api: Any) -> None:
    made = _create(api, "k").json["uuid"]
    assert (
        api.request("DELETE", f"{C}/{made}", query="force=1", version="1.43", roles="admin").status
        == 204
    )
    refused = _create(api, "k")
    assert (refused.status, refused.error["code"]) == (409, "container.idempotency-key-used")


def test_a_create_that_is_refused_uses_no_key(api: Any) -> None:
    assert _create(api, "k", {**OK, "nets": [{"network": "nosuch"}]}).status == 404
    assert _create(api, "k").status == 202


def test_fifty_at_once_make_one(api: Any) -> None:
    with ThreadPoolExecutor(50) as pool:
        results = list(
            pool.map(lambda _: _create(api, "k", {**OK, "name": "one"}, validate=False), range(50))
        )
    assert {result.status for result in results} == {202}
    assert len({result.json["uuid"] for result in results}) == 1
    assert sum("idempotency-replayed" not in result.headers for result in results) == 1
    assert api.counts() == (1, 1, 1)


def test_a_key_counts_for_a_day(api: Any) -> None:
    first = _create(api, "k").json["uuid"]
    _age(api.db, timedelta(hours=23, minutes=59))
    assert _create(api, "k").json["uuid"] == first
    _age(api.db, timedelta(minutes=2))
    assert _create(api, "k").json["uuid"] != first


def _age(db: Any, by: timedelta) -> None:
    keys = schema.idempotency_keys
    with db.write() as conn:
        for made in conn.execute(sa.select(keys.c.created_at)).scalars().all():
            conn.execute(
                keys.update().where(keys.c.created_at == made).values(created_at=made - by)
            )


def test_old_keys_and_tickets_go(tmp_path: Path) -> None:
    rig = make(tmp_path, Fakes())
    now, use = utcnow(), idempotency.Use("b" * 64, "c" * 36)
    with rig.db.write() as conn:
        for number, age in enumerate((1, 23, 25, 30)):
            idempotency.insert(
                conn,
                "p",
                f"{number}",
                use,
                since=now - timedelta(days=9),
                now=now - timedelta(hours=age),
            )
    later = rig.house.services.later
    assert later is not None
    later.issue(caller(), "events", {})
    rig.house.conductor._forget_history()
    with rig.db.read() as conn:
        assert conn.execute(sa.select(schema.idempotency_keys.c.key_digest)).scalars().all() == [
            "0",
            "1",
        ]
        assert len(conn.execute(sa.select(schema.tickets)).all()) == 1
    rig.db.close()


# ---- a job's time


def job(seconds: int) -> Draft:
    return Draft(image="busybox", command=["sleep"], memory=4, run=True, max_run_time=seconds)


def test_a_job_is_stopped_when_its_time_is_over(tmp_path: Path) -> None:
    with running(tmp_path) as rig:
        row = rig.until(rig.create(job(1)).uuid, "Stopped")
        row = rig.settled(row.uuid)
        assert row is not None
        assert row.status_reason == "Stopped: its max_run_time of 1 seconds was over."
        assert row.finished_at - row.started_at >= timedelta(seconds=1)  # type: ignore[operator]
        rig.house.agent.observer.look_at(row.uuid)
        other = rig.until(rig.create(job(60)).uuid, "Running")
        assert rig.row(row.uuid).status_reason == row.status_reason  # type: ignore[union-attr]
        assert other.status_reason is None


def test_a_job_s_time_goes_on_while_the_agent_is_away(tmp_path: Path) -> None:
    fakes = Fakes()
    with running(tmp_path, fakes) as rig:
        uuid = rig.until(rig.create(job(2)).uuid, "Running").uuid
    again = FakeRuntime(networks=fakes.networks)
    again._boxes = fakes.runtime._boxes
    fakes.runtime = again
    with running(tmp_path, fakes) as rig:
        row = rig.until(uuid, "Stopped")
        assert "max_run_time" in (row.status_reason or "")


def test_one_that_ends_before_says_nothing(tmp_path: Path) -> None:
    with running(tmp_path) as rig:
        row = rig.until(rig.create(job(60)).uuid, "Running")
        rig.fakes.runtime.die(row.uuid, 0)
        assert rig.until(row.uuid, "Stopped").status_reason is None


def test_max_run_time_from_1_44(api: Any) -> None:
    below = api.post(C, json={**OK, "max_run_time": 5}, version="1.43")
    assert (below.status, below.error["code"]) == (400, "container.invalid-param-in-version")
    assert api.post(C, json={**OK, "max_run_time": "5"}, version="1.44").json["max_run_time"] == 5
    assert (
        api.post(C, json={**OK, "max_run_time": None}, version="1.44").json["max_run_time"] is None
    )
    for wrong in (0, -1, "x", 1.5, 2**31):
        assert api.post(C, json={**OK, "max_run_time": wrong}, version="1.44").status == 400


# ---- figures and the log


def test_requests_are_counted_by_template(tmp_path: Path) -> None:
    rig: Rig = make(tmp_path, Fakes())
    registry = CollectorRegistry()
    app: Any = build_app(rig.house.services, ApiSettings(), NoAuth, registry=registry)
    asked = [
        ("/v1/containers/a", "GET"),
        ("/v1/containers/b", "GET"),
        ("/v1/containers", "GET"),
        ("/nosuch/path/x", "GET"),
        ("/v1/containers", "BREW"),
    ]
    plain = {
        "QUERY_STRING": "",
        "SERVER_NAME": "x",
        "SERVER_PORT": "1",
        "SERVER_PROTOCOL": "HTTP/1.1",
        "wsgi.url_scheme": "http",
        "wsgi.input": None,
        "wsgi.errors": None,
    }
    for path, method in asked:
        environ = {**plain, "REQUEST_METHOD": method, "PATH_INFO": path}
        list(app(environ, lambda *_: None))

    def count(route: str, method: str, status: str) -> float | None:
        return registry.get_sample_value(
            "zun_http_requests_total", {"route": route, "method": method, "status": status}
        )

    assert count("/v1/containers/{ident}", "GET", "4xx") == 2
    assert count("/v1/containers", "GET", "2xx") == 1
    assert count("unmatched", "GET", "4xx") == 1
    assert count("unmatched", "other", "4xx") == 1
    timed = {"route": "/v1/containers", "method": "GET"}
    assert registry.get_sample_value("zun_http_request_seconds_count", timed) == 1
    rig.db.close()


def test_one_line_of_log_for_each_request(api: Any, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, "zun.access"):
        result = api.get(f"{C}/no%0Asuch", query="all_projects=secret")
    (line,) = [record.getMessage() for record in caplog.records if record.name == "zun.access"]
    assert f"request={result.headers['x-openstack-request-id']}" in line
    assert f"status={result.status}" in line and "project=p1" in line
    assert "secret" not in line and "\n" not in line
