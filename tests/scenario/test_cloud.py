"""The parts of the service as processes of their own, over RabbitMQ and Keystone, through the official client."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from typing import Any

import pytest
from docker import APIClient
from tests.scenario.conftest import FOREVER
from tests.support.clients import Clients
from tests.support.cloud import Cloud, sweep
from tests.support.house import eventually
from tests.support.images import NAME
from tests.support.parts import Part, ask, parts, together

from zun.store import processes
from zun.store.database import Database
from zun.work.clock import utcnow


@pytest.fixture(scope="module")
def cloud(
    docker_engine: APIClient, keystone: Any, rabbitmq: Any, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cloud]:
    options = keystone.options()
    options["DEFAULT"] = {"transport_url": rabbitmq.url}
    folder = tmp_path_factory.mktemp("cloud")
    with parts(folder, options) as made:
        found = Cloud(made, keystone, rabbitmq)
        for number in (0, 1):
            found.apis.append(made.part("zun-api", f"api-{number}"))
            found.conductors.append(made.part("zun-conductor", f"conductor-{number}"))
        found.compute = made.part("zun-compute", DEFAULT={"state_path": folder / "agent"})
        found.streams = made.part("zun-streams")
        together(*made.made)
        keystone.endpoint("zun", "container", f"{found.apis[0].url}/v1")
        try:
            yield found
        finally:
            sweep(docker_engine, found)


@pytest.fixture(scope="module")
def clients(cloud: Cloud, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Clients]:
    """The official clients as a member, by the catalogue alone."""
    path = tmp_path_factory.mktemp("client") / "clouds.yaml"
    names = {f"{project}-{role}": cloud.keystone.user(project, role).cloud()
             for project in ("demo", "alt") for role in ("reader", "member")}  # fmt: skip
    path.write_text(json.dumps({"clouds": names}))  # JSON is YAML
    made = Clients({"OS_CLIENT_CONFIG_FILE": str(path)})
    yield made
    made.close()


def test_the_official_client_finds_and_uses_it(cloud: Cloud, clients: Clients) -> None:
    def zun(*words: str, cloud: str = "demo-member") -> Any:
        return clients.run("openstack", "--os-cloud", cloud, "appcontainer", *words)

    made = zun(
        "run", "-f", "json", "--name", "web", "--cpu", "0.1", "--memory", "32", NAME, *FOREVER
    )
    uuid = made.json["uuid"]
    cloud.until(uuid, "Running")
    assert [row["name"] for row in zun("list", "-f", "json").json] == ["web"]
    assert "hello" in zun("exec", "web", "echo", "hello").out
    refused = zun("stop", "web", cloud="demo-reader")
    assert "container:stop" in refused.out + refused.err  # the client calls that a success
    assert zun("show", "-f", "json", "web", cloud="demo-reader").json["status"] == "Running"
    assert zun("list", "-f", "json", cloud="alt-member").json == []
    assert zun("delete", "--stop", "web").code == 0
    eventually(lambda: zun("list", "-f", "json").json == [], "it is gone")


@pytest.mark.parametrize("role", ["reader", "member", "manager", "admin"])
def test_roles_of_real_tokens(cloud: Cloud, role: str) -> None:
    changes = role != "reader"
    statuses = {
        "list": cloud.ask("GET", "/v1/containers", role=role)[0],
        "create": cloud.ask("POST", "/v1/containers", {"image": ""}, role=role)[0],
        "quota": cloud.ask("GET", "/v1/quotas/demo/defaults", role=role)[0],
        "hosts": cloud.ask("GET", "/v1/hosts", role=role)[0],
        "services": cloud.ask("GET", "/v1/services", role=role)[0],
    }
    admin = role == "admin"
    assert statuses["list"] == 200
    # Let through by policy, the empty image is what is wrong; else the role is.
    assert statuses["create"] in ((400,) if changes else (403, 400))
    assert statuses["hosts"] == statuses["services"] == (200 if admin else 403)


def test_projects_do_not_see_each_other(cloud: Cloud) -> None:
    uuid = cloud.create(name="mine")
    cloud.until(uuid, "Running")
    assert cloud.ask("GET", f"/v1/containers/{uuid}", project="alt")[0] == 404
    assert cloud.ask("GET", f"/v1/containers/{uuid}", project="alt", role="admin")[0] == 200
    assert cloud.ask("GET", f"/v1/containers/{uuid}", role="reader", api=1)[1]["name"] == "mine"
    cloud.delete(uuid)


def test_without_a_good_token_there_is_a_401_in_keystones_shape(cloud: Cloud) -> None:
    revoked = cloud.keystone.token(cloud.keystone.user("demo", "member"))
    cloud.keystone.revoke(revoked)
    for headers in ({}, {"X-Auth-Token": "gAAAA-nonsense"}, {"X-Auth-Token": revoked}):
        status, body = ask(cloud.apis[0].url, "GET", "/v1/containers", None, **headers)
        assert status == 401
        assert body["error"]["code"] == 401
        assert body["error"]["title"] == "Unauthorized"
        assert "Keystone" in body["error"]["message"] or "token" in body["error"]["message"]
    # What a client says of itself is never believed.
    forged = {
        "X-Identity-Status": "Confirmed",
        "X-User-Id": "u",
        "X-Project-Id": "p",
        "X-Roles": "admin",
    }
    assert ask(cloud.apis[0].url, "GET", "/v1/hosts", None, **forged)[0] == 401
    assert ask(cloud.apis[0].url, "GET", "/v1", None)[0] == 200


def test_an_expired_token_is_refused_though_it_is_remembered(cloud: Cloud) -> None:
    # The same Keystone once more, whose tokens end after seconds.
    port, command, env = cloud.keystone.second({"OS_TOKEN__EXPIRATION": "4"})
    part = cloud.parts.add(command, "keystone-short", f"http://127.0.0.1:{port}", **env)
    part.start(wait=False)
    login = cloud.keystone.user("demo", "member")

    def issued() -> Any:
        with contextlib.suppress(OSError):
            return cloud.keystone.token(login, f"http://127.0.0.1:{port}/v3")
        return None

    token = eventually(issued, "the second Keystone answers")
    seen: list[int] = []

    def over() -> bool:
        seen.append(cloud.ask("GET", "/v1/containers", X_Auth_Token=token)[0])
        return seen[-1] == 401

    eventually(over, "the token expires")
    assert set(seen) <= {200, 401}
    part.stop()


def test_while_keystone_is_down_known_tokens_go_on(cloud: Cloud) -> None:
    fresh = cloud.keystone.token(cloud.keystone.user("demo", "reader"))
    assert cloud.ask("GET", "/v1/containers")[0] == 200
    cloud.keystone.stop()
    try:
        assert cloud.ask("GET", "/v1/containers")[0] == 200
        status, body = cloud.ask("GET", "/v1/containers", X_Auth_Token=fresh)
        assert status == 503
        assert body["errors"][0]["status"] == 503
        assert "Keystone" in body["errors"][0]["title"]
    finally:
        cloud.keystone.start()
    assert cloud.ask("GET", "/v1/containers", X_Auth_Token=fresh)[0] == 200


def test_without_a_broker_work_goes_on_and_questions_are_refused(cloud: Cloud) -> None:
    uuid = cloud.create(name="talks", command=["sh", "-c", "echo spoken; " + FOREVER[2]])
    cloud.until(uuid, "Running")
    eventually(lambda: "spoken" in str(cloud.ask("GET", f"/v1/containers/{uuid}/logs")[1]))
    cloud.rabbitmq.kill()
    try:

        def refused() -> bool:
            status, body = cloud.ask("GET", f"/v1/containers/{uuid}/logs")
            return status == 503 and "message queue" in body["errors"][0]["title"]

        eventually(refused, "the question is refused")
        other = cloud.create(name="anyway")
        cloud.until(other, "Running")
        cloud.delete(other)
        assert all(part.healthy for part in cloud.parts.made if not part.dead)
        assert "not connected" in cloud.apis[0].health()["bus"]["detail"]
    finally:
        cloud.rabbitmq.start()
    eventually(
        lambda: cloud.ask("GET", f"/v1/containers/{uuid}/logs")[0] == 200, "it answers again"
    )
    cloud.delete(uuid)


def test_a_host_that_was_declared_down_is_not_asked(cloud: Cloud) -> None:
    uuid = cloud.create()
    cloud.until(uuid, "Running")
    body = {"host": cloud.parts.host, "binary": "zun-compute"}
    down = {**body, "forced_down": "true"}
    assert cloud.ask("PUT", "/v1/services/force_down", down, role="admin")[0] == 200
    status, answer = cloud.ask("GET", f"/v1/containers/{uuid}/logs")
    assert status == 503, answer
    assert "declared down" in answer["errors"][0]["title"]
    up = {**body, "forced_down": "false"}
    assert cloud.ask("PUT", "/v1/services/force_down", up, role="admin")[0] == 200
    cloud.delete(uuid)


def test_long_lived_answers_come_from_their_own_process(cloud: Cloud) -> None:
    uuid = cloud.create()
    headers = {"OpenStack_API_Version": "container 1.42"}
    path = f"/v1/containers/{uuid}?wait=Running"
    status, shown = cloud.ask("GET", path, **headers)
    assert status == 200, shown
    assert shown["status"] == "Running"
    cloud.delete(uuid)


def test_logs_are_followed_from_the_host_they_are_on(cloud: Cloud) -> None:
    uuid = cloud.create(
        command=["sh", "-c", "for n in 1 2 3; do echo line $n; done; sleep 1; echo -n end"]
    )
    headers = {"OpenStack_API_Version": "container 1.42"}
    cloud.until(uuid, "Running")
    status, text = cloud.ask("GET", f"/v1/containers/{uuid}/logs?follow=true", **headers)
    assert status == 200, text
    assert [line for line in text.splitlines() if line.startswith("line")] == [
        "line 1", "line 2", "line 3"
    ]  # fmt: skip
    assert text.endswith("line 3\nend")
    cloud.delete(uuid)


def test_conductors_and_apis_stand_in_for_each_other(cloud: Cloud) -> None:
    first, second = cloud.conductors
    first.kill()
    uuid = cloud.create()
    cloud.until(uuid, "Running")
    first.start()
    assert second.stop() == 0
    other = cloud.create()
    cloud.until(other, "Running")
    second.start()
    for each in (uuid, other):
        cloud.delete(each)


@pytest.fixture
def patient(cloud: Cloud) -> Iterator[Part]:
    """The host's agent with a lease longer than a test: a machine that is slow to start it again makes no host down,
    whose creates would end in Error."""
    usual = cloud.compute
    assert usual.stop() == 0
    cloud.compute = cloud.parts.part(
        "zun-compute", "patient", DEFAULT={"state_path": cloud.parts.folder / "agent"},
        compute={"heartbeat_interval": 100, "fence_after": 0},
    )  # fmt: skip
    cloud.compute.start()
    yield cloud.compute
    cloud.compute.stop()
    cloud.compute = usual
    cloud.compute.start()


def test_an_agent_that_is_told_to_end_ends_in_order_and_comes_back(
    cloud: Cloud, patient: Part
) -> None:
    """What is placed on its host in between waits for it."""
    uuid = cloud.create()
    cloud.until(uuid, "Running")
    assert patient.stop() == 0
    waiting = cloud.create()
    patient.start()
    cloud.until(waiting, "Running")
    for each in (uuid, waiting):
        cloud.delete(each)


def test_each_process_has_written_down_its_release(cloud: Cloud) -> None:
    db = Database(f"sqlite:///{cloud.parts.folder / 'zun.sqlite'}")
    with db.read() as conn:
        found = processes.since(conn, utcnow().replace(year=2000))
    db.close()
    names = {process.name.partition("@")[0] for process in found}
    assert names == {
        "zun-api-0", "zun-api-1", "zun-conductor-0", "zun-conductor-1", "zun-compute-0",
        "zun-streams-0",
    }  # fmt: skip
    assert {process.host for process in found} == {cloud.parts.host}


def test_a_second_agent_on_the_same_directory_is_refused(cloud: Cloud) -> None:
    again = cloud.parts.part(
        "zun-compute", "again", DEFAULT={"state_path": cloud.parts.folder / "agent"}
    )
    again.start(wait=False)
    eventually(lambda: again.dead, "it ends")
    assert "another zun-compute is running on" in again.said
