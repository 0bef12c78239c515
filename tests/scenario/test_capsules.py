"""Capsules of a real service on a real engine: what they share, and what becomes of them behind the service's back."""

from __future__ import annotations

from typing import Any

import pytest
from tests.scenario.conftest import FOREVER, Lab
from tests.support.house import eventually
from tests.support.images import NAME

from zun.model.names import LABEL_UUID, runtime_name

pytestmark = pytest.mark.engine

SMALL = {"image": f"{NAME}:latest", "resources": {"requests": {"cpu": 0.1, "memory": 16}}}


def box(*command: str) -> dict[str, Any]:
    return {**SMALL, "command": list(command or FOREVER)}


class Pod:
    """One capsule of the service."""

    def __init__(self, lab: Lab, *members: dict[str, Any], **spec: Any) -> None:
        self.lab = lab
        template = {
            "kind": "capsule",
            "metadata": {},
            "spec": {"containers": list(members), **spec},
        }
        status, answer = lab.service.ask(
            "POST", "/v1/capsules", {"template": template}, version="1.40"
        )
        assert status == 202, answer
        self.uuid: str = answer["uuid"]

    def show(self) -> Any:
        """As the API shows it; None if it is gone."""
        status, answer = self.lab.service.ask("GET", f"/v1/capsules/{self.uuid}", version="1.40")
        return answer if status == 200 else None

    def until(self, status: str, reason: str = "") -> dict[str, Any]:
        """As shown once it has the status and the reason says so much."""

        def has() -> Any:
            now = self.show()
            right = now and now["status"] == status and reason in (now["status_reason"] or "")
            return now if right else None

        answer: dict[str, Any] = eventually(has, f"{self.uuid}: {self.show()}")
        return answer

    def inside(self, uuid: str, script: str) -> str:
        """What a shell script in a member prints, as root on the host runs it."""
        made = self.lab.engine.exec_create(runtime_name(uuid), ["sh", "-c", script])["Id"]
        output: bytes = self.lab.engine.exec_start(made)
        return output.decode().strip()

    def delete(self) -> None:
        """A delete, done; the engine has nothing of it any more."""
        members = self.show()
        assert self.lab.service.ask("DELETE", f"/v1/capsules/{self.uuid}")[0] == 204
        eventually(lambda: self.show() is None, "it goes")
        parts = [
            self.uuid,
            *(m["uuid"] for m in members["containers"] + members["init_containers"]),
        ]
        for uuid in parts:
            label = {"label": f"{LABEL_UUID}={uuid}"}
            assert self.lab.engine.containers(all=True, filters=label) == []


def test_members_share_localhost_memory_and_an_address(lab: Lab) -> None:
    serve = "mkdir /www && echo hello > /www/index.html && exec httpd -f -p 8080 -h /www"
    pod = Pod(lab, box("sh", "-c", serve), box())
    one = pod.until("Running")
    web, other = (member["uuid"] for member in one["containers"])
    ask = "wget -qO- http://127.0.0.1:8080/"
    eventually(lambda: pod.inside(other, ask) == "hello", "the web server answers its neighbour")
    pod.inside(web, "echo shared > /dev/shm/note")
    assert pod.inside(other, "cat /dev/shm/note") == "shared"
    ((address,),) = one["addresses"].values()
    assert {f"{address['addr']}/" in pod.inside(uuid, "ip addr") for uuid in (web, other)} == {True}
    # Another container of the project reaches it by its address, and not by its own localhost.
    alone = lab.running()["uuid"]
    by_address = f"wget -qO- http://{address['addr']}:8080/"
    assert lab.execute(alone, by_address) == (0, "hello\n")
    assert lab.execute(alone, ask)[0] != 0
    lab.delete(alone)
    pod.delete()


def test_a_member_that_dies_is_told_of_and_one_that_comes_back_too(lab: Lab) -> None:
    pod = Pod(lab, box(), box(), restartPolicy="Never")
    first = pod.until("Running")["containers"][0]
    lab.engine.kill(runtime_name(first["uuid"]))
    shown = pod.until("Error", f"Container {first['name']} is Stopped with exit code 137")
    assert [m["status"] for m in shown["containers"]] == ["Stopped", "Running"]
    lab.engine.start(runtime_name(first["uuid"]))
    assert pod.until("Running")["status_reason"] is None
    lab.engine.kill(runtime_name(pod.uuid))
    pod.until("Error", "sandbox is exited")
    pod.delete()


def test_a_sandbox_that_died_comes_back_with_the_network_of_its_members(lab: Lab) -> None:
    serve = "mkdir -p /www && echo hello > /www/index.html && exec httpd -f -p 8080 -h /www"
    pod = Pod(lab, box("sh", "-c", serve), box())
    one = pod.until("Running")
    before = {m["uuid"]: lab.raw(m["uuid"])["State"]["StartedAt"] for m in one["containers"]}
    lab.engine.kill(runtime_name(pod.uuid))

    def again() -> bool:
        return all(lab.raw(uuid)["State"]["StartedAt"] > began for uuid, began in before.items())

    eventually(again, "the members are started again")
    one = pod.until("Running")
    ((address,),) = one["addresses"].values()
    other = one["containers"][1]["uuid"]
    assert f"{address['addr']}/" in pod.inside(other, "ip addr")
    eventually(lambda: pod.inside(other, f"wget -qO- http://{address['addr']}:8080/") == "hello")
    pod.delete()


def test_the_engine_starts_members_again_where_the_template_says_so(lab: Lab) -> None:
    pod = Pod(lab, box("sh", "-c", "sleep 1; exit 4"), box(), restartPolicy="Always")
    name = eventually(lambda: pod.show()["containers"][0]["name"])
    pod.until("Error", f"Container {name} is Restarting")
    pod.until("Running")
    pod.delete()


def test_init_containers_run_in_order_and_retry_as_the_policy_says(lab: Lab) -> None:
    # Fails once, and works when the engine starts it again: its files are still there.
    flaky = "test -e /tmp/again && exit 0; touch /tmp/again; exit 1"
    pod = Pod(lab, box(), initContainers=[box("sh", "-c", flaky), box("true")])
    one = pod.until("Running")
    assert [(m["status"], m["restart_policy"]) for m in one["init_containers"]] == [
        ("Stopped", {"Name": "on-failure", "MaximumRetryCount": "10"})
    ] * 2
    first, second = (lab.raw(m["uuid"]) for m in one["init_containers"])
    other = lab.raw(one["containers"][0]["uuid"])
    assert (first["RestartCount"], second["RestartCount"]) == (1, 0)
    # The engine may write down a start later than the end of what ends at once.
    assert first["State"]["FinishedAt"] < second["State"]["StartedAt"]
    assert second["State"]["FinishedAt"] < other["State"]["StartedAt"]
    pod.delete()


def test_an_init_container_that_fails_is_named_with_its_code(lab: Lab) -> None:
    pod = Pod(lab, box(), initContainers=[box("sh", "-c", "exit 5")], restartPolicy="Never")
    one = pod.until("Error", "ended with exit code 5")
    assert one["init_containers"][0]["name"] in one["status_reason"]
    pod.delete()


def test_a_command_that_is_not_there_is_named_and_leaves_nothing(lab: Lab) -> None:
    pod = Pod(lab, box(), box("/no/such/program"))
    one = pod.until("Error", "/no/such/program")
    assert one["containers"][1]["name"] in one["status_reason"]
    assert not lab.on_engine(pod.uuid)
    pod.delete()
