"""The unmodified official client, command by command; what it prints, and what the engine then has."""

from __future__ import annotations

from itertools import chain
from typing import Any

import pytest
from tests.scenario.conftest import FOREVER, Client, Lab
from tests.support.images import NAME

from zun.model.names import new_uuid

pytestmark = pytest.mark.engine

IMAGE = f"{NAME}:latest"


@pytest.fixture(scope="module")
def client(lab: Lab) -> Client:
    return Client(lab)


@pytest.fixture
def name() -> str:
    """A name nobody else has."""
    return f"box-{new_uuid()[:8]}"


def start(client: Client, name: str, *words: str) -> dict[str, Any]:
    """A container that runs, through the client."""
    small = ("--cpu", "0.1", "--memory", "32")
    made: dict[str, Any] = client.json("run", "--name", name, *small, *words, IMAGE, *FOREVER)
    return client.lab.service.until(made["uuid"], "Running")


def test_create_shows_what_was_asked_for(client: Client, lab: Lab, name: str) -> None:
    made = client.json(
        "create", "--name", name, "--cpu", "0.2", "--memory", "48", "--environment", "COLOUR=blue",
        "--label", "team=blue", "--workdir", "/tmp", "--hostname", "inside", "--interactive",
        "--restart", "on-failure:2", "--image-pull-policy", "ifnotpresent", IMAGE, "sleep", "1000",
    )  # fmt: skip
    uuid = made["uuid"]
    assert made["name"] == name
    assert made["status"] == "Creating"
    shown = lab.service.until(uuid, "Created")
    assert shown["restart_policy"] == {"Name": "on-failure", "MaximumRetryCount": "2"}
    raw = lab.raw(uuid)
    assert raw["Config"]["Cmd"] == ["sleep", "1000"]
    assert "COLOUR=blue" in raw["Config"]["Env"]
    assert raw["Config"]["Labels"]["team"] == "blue"
    assert (raw["Config"]["WorkingDir"], raw["Config"]["Hostname"]) == ("/tmp", "inside")
    assert raw["Config"]["OpenStdin"] is True
    assert raw["HostConfig"]["Memory"] == 48 * 2**20
    assert raw["State"]["Status"] == "created"
    client.text("delete", name)
    lab.service.gone(uuid)
    assert not lab.on_engine(uuid)


def test_run_show_list_set_and_delete(client: Client, lab: Lab, name: str) -> None:
    uuid = start(client, name)["uuid"]
    assert lab.raw(uuid)["State"]["Running"]
    shown = client.json("show", name)
    assert (shown["uuid"], shown["status"], shown["name"]) == (uuid, "Running", name)
    assert shown["host"] == lab.name, "the administrator sees it"
    assert shown["status_detail"].startswith("Up ")
    (address,) = (
        e["addr"]
        for e in chain(*lab.service.show(uuid)["addresses"].values())  # type: ignore[index]
    )
    assert address in str(shown["addresses"])
    listed = {row["name"]: row for row in client.json("list")}
    assert (listed[name]["uuid"], listed[name]["status"]) == (uuid, "Running")
    assert address in str(listed[name]["addresses"])
    assert [row["uuid"] for row in client.json("list", "--name", name)] == [uuid]
    assert client.json("list", "--name", "nobody") == []
    new = f"{name}.new"
    client.text("set", "--name", new, name)
    assert client.json("show", new)["uuid"] == uuid
    code, _, err = client.run("appcontainer", "show", name)
    assert code != 0
    assert name in err
    # Running: neither a plain delete, nor without a trace of why.
    _, out, err = client.run("appcontainer", "delete", new)
    assert "Running" in out + err
    assert lab.on_engine(uuid)
    client.text("delete", "--stop", new)
    lab.service.gone(uuid)
    assert not lab.on_engine(uuid)


def test_the_life_of_a_container(client: Client, lab: Lab, name: str) -> None:
    uuid = start(client, name)["uuid"]

    def then(status: str, *words: str) -> None:
        client.text(*words, name)
        lab.service.until(uuid, status)

    then("Paused", "pause")
    assert lab.raw(uuid)["State"]["Paused"]
    then("Running", "unpause")
    then("Stopped", "stop", "--time", "5")
    assert lab.raw(uuid)["State"]["Status"] == "exited"
    then("Running", "start")
    started = lab.raw(uuid)["State"]["StartedAt"]
    then("Running", "restart", "--time", "5")
    lab.shows(uuid, lambda s: lab.raw(uuid)["State"]["StartedAt"] > started)
    lab.service.until(uuid, "Running")
    then("Stopped", "kill")
    assert lab.raw(uuid)["State"]["ExitCode"] == 137
    then("Created", "rebuild")
    # What is not allowed says so, and why.
    code, out, err = client.run("appcontainer", "pause", name)
    assert "Created" in out + err, (code, out, err)

    actions = client.json("action", "list", name)
    assert [a["action"] for a in actions][::-1] == [
        "create", "pause", "unpause", "stop", "start", "reboot", "kill", "rebuild",
    ]  # fmt: skip
    assert all(a["message"] in (None, "None", "") for a in actions)
    detail = client.json("action", "show", name, actions[-1]["request_id"])
    assert detail["action"] == "create"
    assert "compute__do_container_create" in str(detail["events"])
    client.text("delete", name)
    lab.service.gone(uuid)
    assert not lab.on_engine(uuid)


def test_logs_and_exec(client: Client, lab: Lab, name: str) -> None:
    script = "echo one; echo two; echo trouble >&2; exec sleep 1000"
    made = client.json(
        "run", "--name", name, "--cpu", "0.1", "--memory", "32", IMAGE, "sh", "-c", script
    )
    uuid = made["uuid"]
    lab.service.until(uuid, "Running")
    lab.shows(uuid, lambda s: "trouble" in lab.logs(uuid))
    assert sorted(client.text("logs", name).split()) == ["one", "trouble", "two"]
    assert client.text("logs", "--stdout", name).split() == ["one", "two"]
    code, out, _ = client.run("appcontainer", "exec", name, "sh", "-c", "echo $((6 * 7)); exit 3")
    assert "42" in out
    assert code in (0, 3)
    client.text("delete", "--force", name)
    lab.service.gone(uuid)
    assert not lab.on_engine(uuid)


def test_delete_with_force_of_several(client: Client, lab: Lab, name: str) -> None:
    names = [f"{name}-{n}" for n in range(2)]
    uuids = [start(client, one)["uuid"] for one in names]
    client.text("delete", "--force", *names)
    for uuid in uuids:
        lab.service.gone(uuid)
        assert not lab.on_engine(uuid)


def test_what_is_wrong_is_said(client: Client, lab: Lab, name: str) -> None:
    before = len(client.json("list"))
    for words in (
        ("create", "--cpu", "1000", IMAGE),
        ("create", "--mount", "size=1,destination=/data", IMAGE),
        ("show", name),
    ):
        code, out, err = client.run("appcontainer", *words)
        assert code != 0, words
        assert err.strip(), words
        assert "Traceback" not in out + err
    assert len(client.json("list")) == before


def test_hosts_and_services(client: Client, lab: Lab) -> None:
    [row] = client.json("host", "list")
    assert row["hostname"] == lab.name
    shown = client.json("host", "show", row["uuid"])
    assert shown["cpus"] == lab.engine.info()["NCPU"]
    assert shown["total_containers"] == len(client.json("list", "--all-projects"))
    [service] = client.json("service", "list")
    said = {key.lower(): value for key, value in service.items()}
    assert (said["host"], said["binary"], said["state"]) == (lab.name, "zun-compute", "up")
