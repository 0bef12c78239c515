"""Containers: each call's happy path and its listed errors (contract 2.1 to 2.4, 3)."""

from __future__ import annotations

import base64
from datetime import datetime, timedelta
from typing import Any

import pytest

from zun.api.handlers.containers import signal_name
from zun.api.views.status_detail import status_detail
from zun.model import lifecycle
from zun.model.container import Container
from zun.model.lifecycle import Action, Status
from zun.service.errors import Invalid

C = "/v1/containers"
WEB = f"{C}/web"
OTHER = {"project": "p2", "user": "bob"}
ADMIN = {"project": "ops", "user": "root", "roles": "admin,member"}

FIELDS = {
    "uuid", "name", "project_id", "user_id", "image", "image_driver", "command", "entrypoint", "status",
    "status_reason", "status_detail", "task_state", "cpu", "cpu_policy", "memory", "disk", "environment", "labels",
    "workdir", "hostname", "ports", "addresses", "restart_policy", "interactive", "tty", "auto_remove", "auto_heal",
    "security_groups", "healthcheck", "registry_id", "created_at", "updated_at",
}  # fmt: skip
ADMIN_FIELDS = {"image_pull_policy", "host", "runtime", "privileged"}


# ---- create


def test_create(api: Any) -> None:
    result = api.post(C, json={"image": "busybox"})
    assert result.status == 202
    body = result.json
    assert set(body) == FIELDS | {"links"}
    assert (
        result.headers["location"]
        == body["links"][0]["href"]
        == f"http://zun.test:9517/v1/containers/{body['uuid']}"
    )
    assert body["links"][1]["href"] == f"http://zun.test:9517/containers/{body['uuid']}"
    assert (body["status"], body["task_state"]) == ("Creating", None)
    assert (body["cpu"], body["memory"], body["disk"]) == (1.0, "512", 0)
    assert body["name"].endswith("-container")
    for field in (
        "command",
        "ports",
        "environment",
        "labels",
        "addresses",
        "restart_policy",
        "healthcheck",
    ):
        assert body[field] is None
    assert api.counts()[:2] == (1, 1)
    shown = api.get(f"{C}/{body['uuid']}").json
    for field in ("command", "entrypoint", "ports", "security_groups"):
        assert shown[field] == []
    for field in ("environment", "labels", "addresses", "restart_policy", "healthcheck"):
        assert shown[field] == {}


def test_create_with_all_that_needs_no_cloud(api: Any) -> None:
    body = {
        "image": "registry.example.com:5000/team/app@sha256:" + "a" * 64,
        "name": "web.example-1_2",
        "command": ["sh", "-c", "sleep 1"],
        "entrypoint": ["/bin/tini", "--"],
        "cpu": "0.5",
        "memory": "128",
        "disk": 10,
        "cpu_policy": "shared",
        "environment": {"A": "1", "\N{SNOWMAN}": ""},
        "labels": {"n": 1, "b": True, "f": 0.5, "s": "x", "z": None},
        "workdir": "/srv",
        "hostname": "web-1",
        "interactive": "True",
        "tty": "false",
        "image_driver": "docker",
        "restart_policy": {"Name": "on-failure", "MaximumRetryCount": 2},
        "auto_remove": False,
        "auto_heal": "True",
        "nets": [],
        "mounts": [
            {"type": "bind", "source": base64.b64encode(b"hi").decode(), "destination": "/etc/motd"}
        ],
        "healthcheck": {"cmd": "true", "interval": 10, "retries": "3", "timeout": 5},
        "hints": {"label:rack": "1"},
        "run": "yes",
    }
    result = api.post(C, json=body)
    assert result.status == 202, result.body
    shown = result.json
    assert shown["labels"] == {"n": "1", "b": "True", "f": "0.5", "s": "x", "z": ""}
    assert shown["restart_policy"] == {"Name": "on-failure", "MaximumRetryCount": "2"}
    assert shown["healthcheck"] == {"test": "true", "interval": 10, "retries": 3, "timeout": 5}
    assert (shown["cpu"], shown["memory"], shown["disk"]) == (0.5, "128", 10)
    assert (shown["interactive"], shown["tty"], shown["auto_heal"]) == (True, False, True)
    assert shown["command"] == ["sh", "-c", "sleep 1"]
    assert shown["hostname"] == "web-1"


@pytest.mark.parametrize(
    ("given", "stored"),
    [
        ({"Name": "no"}, {"Name": "no", "MaximumRetryCount": "0"}),
        ({"Name": "no", "MaximumRetryCount": 5}, {"Name": "no", "MaximumRetryCount": "0"}),
        (
            {"Name": "always", "MaximumRetryCount": None},
            {"Name": "always", "MaximumRetryCount": "0"},
        ),
        (
            {"Name": "unless-stopped", "MaximumRetryCount": "0"},
            {"Name": "unless-stopped", "MaximumRetryCount": "0"},
        ),
        (
            {"Name": "on-failure", "MaximumRetryCount": "007"},
            {"Name": "on-failure", "MaximumRetryCount": "7"},
        ),
    ],
)
def test_restart_policies(api: Any, given: Any, stored: Any) -> None:
    assert (
        api.post(C, json={"image": "busybox", "restart_policy": given}).json["restart_policy"]
        == stored
    )


@pytest.mark.parametrize("query", ["run=true", "run=1", "run=True", "run=None", "run=False", ""])
def test_run_in_the_query(api: Any, query: str) -> None:
    assert api.post(C, json={"image": "busybox"}, query=query).status == 202


@pytest.mark.parametrize("driver", [None, "None", "docker"])
def test_image_drivers(api: Any, driver: Any) -> None:
    assert (
        api.post(C, json={"image": "busybox", "image_driver": driver}).json["image_driver"]
        == "docker"
    )


@pytest.mark.parametrize(
    ("fields", "rule"),
    [
        ({"runtime": "runc"}, "container:create:runtime"),
        ({"image_pull_policy": "always"}, "container:create:image_pull_policy"),
        ({"host": "host1"}, "container:create:requested_destination"),
        ({"privileged": False}, "container:create:privileged"),
    ],
)
def test_fields_with_a_rule_of_their_own(api: Any, fields: dict[str, Any], rule: str) -> None:
    result = api.post(C, json={"image": "busybox", **fields})
    assert (result.status, result.error["code"]) == (403, "container.policy-not-authorized")
    assert rule in result.error["title"]
    assert api.counts() == (0, 0, 0)


def test_privileged_is_denied_to_administrators_too(api: Any) -> None:
    assert api.post(C, json={"image": "busybox", "privileged": False}, **ADMIN).status == 403


@pytest.mark.parametrize(
    ("fields", "status", "code", "named"),
    [
        ({"nets": [{"port": "p1"}]}, 400, "invalid-value", "nets[0].port"),
        ({"nets": [{"network": "nosuch"}]}, 404, "network-not-found", "nets[0].network"),
        ({"mounts": [{"source": "vol", "destination": "/a"}]}, 400, "invalid-value", "mounts[0]"),
        (
            {"mounts": [{"source": "", "size": "1", "destination": "/a"}]},
            400,
            "invalid-value",
            "mounts[0]",
        ),
        ({"registry": "reg"}, 404, "registry-not-found", "registry"),
        ({"image_driver": "glance"}, 400, "invalid-value", "image_driver"),
    ],
)
def test_what_needs_a_cloud_is_refused_by_name(
    api: Any, fields: dict[str, Any], status: int, code: str, named: str
) -> None:
    result = api.post(C, json={"image": "busybox", **fields})
    assert (result.status, result.error["code"]) == (status, f"container.{code}")
    assert named in result.error["title"]
    assert api.counts() == (0, 0, 0)


def test_unknown_hosts_are_404(api: Any) -> None:
    result = api.post(C, json={"image": "busybox", "host": "nosuch"}, **ADMIN)
    assert (result.status, result.error["code"]) == (404, "container.requested-host-not-found")


# ---- show and visibility


def test_show(api: Any) -> None:
    row = api.seed(
        command=None,
        image_command=["httpd"],
        ports=[80],
        labels={"a": "b"},
        updated_at=datetime(2026, 1, 2, 3, 4, 5),
        created_at=datetime(2026, 1, 2, 3, 4, 5, 600),
        addresses={
            "net": [
                {
                    "addr": "10.0.0.2",
                    "version": 4,
                    "port": "p",
                    "subnet_id": "s",
                    "preserve_on_delete": False,
                }
            ]
        },
    )
    shown = api.get(WEB, query="all_projects=False").json
    assert set(shown) == FIELDS | {"links"}
    assert shown["uuid"] == row.uuid
    assert shown["command"] == ["httpd"]
    assert shown["created_at"] == "2026-01-02 03:04:05.000600"
    assert shown["updated_at"] == "2026-01-02 03:04:05"
    assert shown["addresses"]["net"][0]["addr"] == "10.0.0.2"
    assert shown == api.get(f"{C}/{row.uuid}").json
    assert shown == api.get(f"{C}/{row.uuid.upper()}", query="whatever=1").json


def test_fields_for_administrators(api: Any) -> None:
    api.seed(host="h1", runtime="runc", image_pull_policy="always")
    shown = api.get(WEB, **ADMIN).json
    assert set(shown) == FIELDS | ADMIN_FIELDS | {"links"}
    assert (shown["host"], shown["runtime"], shown["privileged"]) == ("h1", "runc", False)


def test_rows_of_others_are_404_whatever_is_asked(api: Any) -> None:
    row = api.seed()
    for method, path in (
        ("GET", ""), ("PATCH", ""), ("DELETE", ""), ("POST", "/start"), ("POST", "/stop"), ("POST", "/kill"),
        ("GET", "/logs"), ("POST", "/execute"), ("GET", "/container_actions"), ("POST", "/rebuild"),
    ):  # fmt: skip
        query = "command=ls" if path == "/execute" else "force=true" if method == "DELETE" else ""
        for ident in ("web", row.uuid):
            result = api.request(method, f"{C}/{ident}{path}", query=query, **OTHER)
            assert (result.status, result.error["code"]) == (
                404,
                "container.container-not-found",
            ), (method, path)


def test_administrators_cross_projects(api: Any) -> None:
    row = api.seed()
    assert api.get(WEB, **ADMIN).json["uuid"] == row.uuid
    assert api.get(WEB, query="all_projects=true", **ADMIN).status == 200
    api.seed(project_id="p2")
    assert api.get(WEB, **ADMIN).status == 409
    assert api.get(f"{C}/{row.uuid}", **ADMIN).status == 200


def test_ambiguous_names_are_409(api: Any) -> None:
    api.seed()
    api.seed()
    result = api.get(WEB)
    assert (result.status, result.error["code"]) == (409, "container.conflict")


def test_operators_hide_fields(make_api: Any) -> None:
    api = make_api(
        policy='"container:get_one:labels": "role:auditor"\n"container:get_one:host": ""\n'
    )
    api.seed(labels={"a": "b"}, host="h1")
    api.seed(name="db", project_id="p2", user_id="bob")
    shown = api.get(WEB).json
    assert "labels" not in shown
    assert shown["host"] == "h1"
    assert "labels" not in api.get(C).json["containers"][0]
    assert api.get(WEB, roles="reader,auditor").json["labels"] == {"a": "b"}
    assert api.get(C, query="host=h1").status == 200
    created = api.post(C, json={"image": "busybox"})
    assert "labels" not in created.json


# ---- actions


@pytest.mark.parametrize(
    ("verb", "status", "during", "task"),
    [
        ("start", Status.STOPPED, "Stopped", "container_starting"),
        ("stop", Status.RUNNING, "Running", "container_stopping"),
        ("reboot", Status.RUNNING, "Restarting", "container_rebooting"),
        ("pause", Status.RUNNING, "Running", "container_pausing"),
        ("unpause", Status.PAUSED, "Paused", "container_unpausing"),
        ("kill", Status.RUNNING, "Running", "container_killing"),
        ("rebuild", Status.STOPPED, "Rebuilding", "container_rebuilding"),
    ],
)
def test_actions(api: Any, verb: str, status: Status, during: str, task: str) -> None:
    api.seed(status=status)
    result = api.post(f"{WEB}/{verb}")
    assert (result.status, result.body) == (202, b"null")
    assert result.headers["content-type"] == "application/json"
    shown = api.get(WEB).json
    assert (shown["status"], shown["task_state"]) == (during, task)
    (action,) = api.get(f"{WEB}/container_actions").json["containerActions"]
    assert action["action"] == verb
    assert action["request_id"] == result.headers["x-openstack-request-id"]
    again = api.post(f"{WEB}/{verb}")
    assert again.status == 409


VERBS = (
    ("start", Action.START), ("stop", Action.STOP), ("reboot", Action.REBOOT), ("pause", Action.PAUSE),
    ("unpause", Action.UNPAUSE), ("kill", Action.KILL), ("rebuild", Action.REBUILD), ("execute", Action.EXECUTE),
)  # fmt: skip


@pytest.mark.parametrize("status", list(Status))
@pytest.mark.parametrize(("verb", "action"), VERBS)
def test_the_state_table(shared_api: Any, verb: str, action: Action, status: Status) -> None:
    row = shared_api.seed(name=f"{verb}-{status}", status=status)
    query = "command=ls" if verb == "execute" else ""
    result = shared_api.post(f"{C}/{row.uuid}/{verb}", query=query)
    if lifecycle.guard(action, status):
        assert result.status in (200, 202)
    else:
        assert (result.status, result.error["code"]) == (409, "container.invalid-state-exception")
        assert row.uuid in result.error["title"]
        assert status in result.error["title"]


@pytest.fixture(scope="module")
def shared_api(make_api: Any) -> Any:
    return make_api()


@pytest.mark.parametrize("query", ["timeout=10", "timeout=0", "timeout=None", ""])
@pytest.mark.parametrize("verb", ["stop", "reboot"])
def test_timeouts(api: Any, verb: str, query: str) -> None:
    api.seed()
    assert api.post(f"{WEB}/{verb}", query=query).status == 202


def test_parameters_in_the_body(api: Any) -> None:
    api.seed()
    assert api.post(f"{WEB}/stop", json={"timeout": 5}).status == 202
    api.seed(name="db")
    assert api.post(f"{C}/db/kill", json={"signal": "SIGTERM"}).status == 202
    api.seed(name="app")
    result = api.post(
        f"{C}/app/execute", json={"command": "id", "run": "True", "interactive": False}
    )
    assert result.status == 200
    api.seed(name="old")
    # An empty body that is called JSON, and one that is none: both are how clients send nothing.
    assert api.post(f"{C}/old/stop", headers={"Content-Type": "application/json"}).status == 202
    api.seed(name="odd")
    headers = {"Content-Type": "application/octet-stream"}
    assert (
        api.request("DELETE", f"{C}/odd", query="stop=True", body=b"\x00", headers=headers).status
        == 204
    )


@pytest.mark.parametrize(
    ("given", "name"),
    [
        ("SIGTERM", "SIGTERM"),
        ("term", "SIGTERM"),
        ("sigterm", "SIGTERM"),
        ("HUP", "SIGHUP"),
        ("9", "SIGKILL"),
        (15, "SIGTERM"),
        ("40", "40"),
        ("SIGUSR1", "SIGUSR1"),
    ],
)
def test_signals(given: str | int, name: str) -> None:
    assert signal_name(given) == name


@pytest.mark.parametrize(
    "given", ["", "SIG", "0", "32", "65", "-9", "9.0", "SIG_DFL", "\N{ARABIC-INDIC DIGIT NINE}"]
)
def test_no_signals(given: str) -> None:
    with pytest.raises(Invalid, match="signal"):
        signal_name(given)


@pytest.mark.parametrize("query", ["signal=None", "signal=9", "signal=sigint", ""])
def test_kill(api: Any, query: str) -> None:
    api.seed()
    assert api.post(f"{WEB}/kill", query=query).status == 202


def test_rebuild_takes_another_image(api: Any) -> None:
    api.seed(status=Status.STOPPED)
    assert api.post(f"{WEB}/rebuild", query="image=alpine&image_driver=None").status == 202
    assert api.get(WEB).json["image"] == "alpine"


def test_logs(api: Any) -> None:
    api.seed()
    result = api.get(
        f"{WEB}/logs", query="stdout=True&stderr=False&timestamps=True&tail=5&since=100"
    )
    assert (result.status, result.json) == (200, "hello \N{REPLACEMENT CHARACTER}\n")
    asked = api.answers["logs"]
    assert (asked["stdout"], asked["stderr"], asked["timestamps"], asked["tail"]) == (
        True,
        False,
        True,
        5,
    )
    assert asked["since"] == 100
    assert api.get(f"{WEB}/logs", query="tail=all&since=None").status == 200
    assert api.answers["logs"]["tail"] is None
    assert api.get(f"{WEB}/logs", query="since=1970-01-01%2000:01:40,500").status == 200
    assert api.answers["logs"]["since"] == 100.5
    assert api.get(f"{WEB}/logs", query="since=0001-01-01%2000:00:00,0").status == 200


def test_execute(api: Any) -> None:
    api.seed()
    result = api.post(f"{WEB}/execute", query={"command": "sh -c 'echo  hi'", "run": "True"})
    assert result.status == 200
    assert result.json == {
        "output": "root\ufffd\n",
        "exit_code": 3,
        "exec_id": None,
        "proxy_url": None,
    }
    assert api.answers["execute"]["command"] == ["sh", "-c", "echo  hi"]


def test_a_host_that_does_not_answer(api: Any) -> None:
    api.seed(host="nowhere")
    result = api.get(f"{WEB}/logs")
    assert result.status == 503
    assert "retry-after" not in result.headers
    api.seed(name="db", host=None, container_id=None)
    assert api.get(f"{C}/db/logs").status == 400


def test_rename(api: Any) -> None:
    api.seed()
    result = api.post(f"{WEB}/rename", query="name=db", version="1.13")
    assert (result.status, result.json["name"]) == (200, "db")
    assert api.post(f"{C}/db/rename", json={"name": "db"}, version="1.13").status == 409


def test_patch(api: Any) -> None:
    api.seed()
    result = api.request("PATCH", WEB, json={"name": "db", "auto_heal": "True"}, version="1.1")
    assert result.status == 200
    assert (result.json["name"], result.json["auto_heal"]) == ("db", True)
    assert result.json["links"]
    assert api.request("PATCH", f"{C}/db", json={}).status == 200
    assert api.request("PATCH", f"{C}/db").status == 200
    assert api.request("PATCH", f"{C}/db", query="name=web").json["name"] == "web"
    api.seed(name="dead", status=Status.DEAD)
    assert api.request("PATCH", f"{C}/dead", json={"name": "xx"}).status == 409


# ---- delete


@pytest.mark.parametrize(
    ("query", "status", "roles", "expected"),
    [
        ("", Status.STOPPED, "member", 204),
        ("", Status.RUNNING, "member", 409),
        ("force=False&stop=False&all_projects=False", Status.STOPPED, "member", 204),
        ("stop=True", Status.RUNNING, "member", 204),
        ("stop=True", Status.PAUSED, "member", 409),
        ("force=True", Status.RUNNING, "member", 403),
        ("force=True", Status.RUNNING, "admin", 204),
        ("force=True", Status.PAUSED, "admin", 409),
        ("all_projects=yes", Status.STOPPED, "member", 403),
        ("all_projects=yes", Status.STOPPED, "admin", 204),
    ],
)
def test_delete(api: Any, query: str, status: Status, roles: str, expected: int) -> None:
    api.seed(status=status)
    result = api.request(
        "DELETE",
        WEB,
        query=query,
        roles=roles,
        headers={"Content-Type": "application/octet-stream"},
    )
    assert result.status == expected
    if expected == 204:
        assert result.body == b""
        assert api.get(WEB).json["task_state"] == "container_deleting"


def test_a_row_that_no_host_has_goes_at_once(api: Any) -> None:
    api.seed(status=Status.ERROR, host=None)
    assert api.request("DELETE", WEB).status == 204
    assert api.get(WEB).status == 404


# ---- actions' history


def test_container_actions(api: Any) -> None:
    created = api.post(C, json={"image": "busybox", "name": "web"})
    request_id = created.headers["x-openstack-request-id"]
    (action,) = api.get(f"{WEB}/container_actions").json["containerActions"]
    assert set(action) == {
        "action", "container_uuid", "request_id", "user_id", "project_id", "start_time", "finish_time", "message",
    }  # fmt: skip
    assert (action["action"], action["request_id"], action["message"]) == (
        "create",
        request_id,
        None,
    )
    assert len(action["start_time"]) == len("2026-01-01T00:00:00.000000")
    one = api.get(f"{WEB}/container_actions/{request_id}").json
    assert one == {**action, "events": []}
    missing = api.get(f"{WEB}/container_actions/req-nosuch")
    assert (missing.status, missing.error["code"]) == (404, "container.resource-not-found")


# ---- status_detail

NOW = datetime(2026, 1, 1, 12, 0, 0)


@pytest.mark.parametrize(
    ("values", "text"),
    [
        ({"status": Status.CREATED}, "Created"),
        ({"status": Status.CREATING}, None),
        ({"status": Status.RUNNING, "started_at": NOW - timedelta(seconds=5)}, "Up 5 seconds"),
        ({"status": Status.RUNNING, "started_at": NOW - timedelta(seconds=330)}, "Up 5 mins"),
        ({"status": Status.RUNNING, "started_at": NOW - timedelta(hours=47)}, "Up 1 days"),
        ({"status": Status.RUNNING, "started_at": NOW + timedelta(seconds=9)}, "Up 0 seconds"),
        ({"status": Status.RUNNING}, "Up"),
        ({"status": Status.RUNNING, "started_at": NOW, "health": "healthy"}, "Up 0 seconds (healthy)"),
        ({"status": Status.RUNNING, "started_at": NOW, "health": "starting"}, "Up 0 seconds"),
        ({"status": Status.PAUSED, "started_at": NOW - timedelta(hours=2), "health": "healthy"}, "Up 2 hours (paused)"),
        ({"status": Status.RESTARTING}, "Restarting"),
        ({"status": Status.DEAD}, "Dead"),
        ({"status": Status.STOPPED}, None),
        ({"status": Status.STOPPED, "exit_code": 0, "finished_at": NOW - timedelta(minutes=3)}, "Exited(0) 3 mins ago"),
        ({"status": Status.ERROR, "exit_code": 137, "finished_at": NOW - timedelta(days=3)},
         "Exited(137) 3 days ago (error)"),
    ],
)  # fmt: skip
def test_status_detail(values: dict[str, Any], text: str | None) -> None:
    row = Container(
        uuid="u",
        name="n",
        project_id="p",
        user_id="u",
        image="i",
        image_driver="docker",
        cpu=1.0,
        memory=1,
        **values,
    )
    assert status_detail(row, NOW) == text
