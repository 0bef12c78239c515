"""What happens on the engine behind the service's back is what the API shows."""

from __future__ import annotations

from typing import Any

import pytest
from tests.scenario.conftest import Lab

pytestmark = pytest.mark.engine

HEALTHY = {"cmd": "test -f /tmp/well", "interval": 1, "retries": 1, "timeout": 5}
WELL = ["sh", "-c", "touch /tmp/well; trap 'exit 0' TERM; while :; do sleep 100 & wait $!; done"]


def test_killed(lab: Lab) -> None:
    uuid = lab.running()["uuid"]
    lab.engine.kill(f"zun-{uuid}")
    shown = lab.service.until(uuid, "Stopped")
    assert shown["status_detail"].startswith("Exited(137) ")
    assert shown["status_reason"] is None


def test_ended_by_itself(lab: Lab) -> None:
    uuid = lab.create(["sh", "-c", "exit 3"])
    shown = lab.service.until(uuid, "Stopped")
    assert shown["status_detail"].startswith("Exited(3) ")


def test_paused_and_unpaused(lab: Lab) -> None:
    uuid = lab.running()["uuid"]
    lab.engine.pause(f"zun-{uuid}")
    assert lab.service.until(uuid, "Paused")["status_detail"].endswith("(paused)")
    lab.engine.unpause(f"zun-{uuid}")
    assert lab.service.until(uuid, "Running")["status_detail"].startswith("Up ")


def test_stopped_and_started(lab: Lab) -> None:
    uuid = lab.running()["uuid"]
    lab.engine.stop(f"zun-{uuid}")
    lab.service.until(uuid, "Stopped")
    lab.engine.start(f"zun-{uuid}")
    lab.service.until(uuid, "Running")


def test_restarted_is_another_life(lab: Lab) -> None:
    before = lab.running()
    uuid = before["uuid"]
    lab.engine.restart(f"zun-{uuid}", timeout=5)
    started = lab.raw(uuid)["State"]["StartedAt"]
    lab.shows(
        uuid, lambda s: s["status"] == "Running" and s["updated_at"] > started.replace("T", " ")
    )


def test_removed_is_an_error_that_can_be_rebuilt_or_deleted(lab: Lab) -> None:
    uuid = lab.running()["uuid"]
    lab.engine.remove_container(f"zun-{uuid}", force=True)
    shown = lab.service.until(uuid, "Error")
    assert shown["status_reason"] == "The container was removed from the engine by somebody else."
    lab.act(uuid, "rebuild")
    lab.service.until(uuid, "Created")
    lab.engine.remove_container(f"zun-{uuid}", force=True)
    lab.service.until(uuid, "Error")
    lab.delete(uuid)


def test_want_of_memory(lab: Lab) -> None:
    uuid = lab.create(["sh", "-c", "dd if=/dev/zero of=/dev/null bs=200M count=1"], memory=16)
    lab.service.until(uuid, "Stopped")
    # The engine may hear of it only after the death.
    shown = lab.shows(uuid, lambda s: s["status_reason"])
    assert shown["status_reason"].startswith(
        "Killed by the kernel for want of memory (limit 16 MiB)"
    )
    assert shown["status_detail"].startswith("Exited(137) ")
    assert lab.raw(uuid)["State"]["OOMKilled"]


def test_a_command_that_is_not_there(lab: Lab) -> None:
    uuid = lab.create(["/no/such/program"])
    shown = lab.service.until(uuid, "Error")
    assert "/no/such/program" in shown["status_reason"]


def test_health_is_seen(lab: Lab) -> None:
    uuid = lab.running(command=WELL, healthcheck=HEALTHY)["uuid"]
    lab.shows(uuid, lambda s: s["status_detail"].endswith("(healthy)"))
    lab.execute(uuid, "rm /tmp/well")
    shown = lab.shows(uuid, lambda s: s["status_detail"].endswith("(unhealthy)"))
    assert (shown["status"], shown["status_reason"]) == ("Running", "The health check fails.")
    lab.execute(uuid, "touch /tmp/well")
    shown = lab.shows(uuid, lambda s: s["status_detail"].endswith("(healthy)"))
    assert shown["status_reason"] is None


def test_restart_policy_on_failure_tries_as_often_as_it_says(lab: Lab) -> None:
    policy = {"Name": "on-failure", "MaximumRetryCount": 2}
    uuid = lab.create(["sh", "-c", "exit 7"], restart_policy=policy)
    shown = lab.shows(
        uuid, lambda s: s["status"] == "Stopped" and lab.raw(uuid)["RestartCount"] == 2
    )
    assert shown["status_detail"].startswith("Exited(7) ")


def test_restart_policy_always_brings_it_back(lab: Lab) -> None:
    uuid = lab.running(restart_policy={"Name": "always"})["uuid"]
    lab.execute(uuid, "kill -9 1; kill -TERM 1")
    lab.shows(uuid, lambda s: s["status"] == "Running" and lab.raw(uuid)["RestartCount"] == 1)


def test_auto_remove(lab: Lab) -> None:
    short = lab.create(["true"], auto_remove=True)
    stopped = lab.running(auto_remove=True)["uuid"]
    removed = lab.running(auto_remove=True)["uuid"]
    lab.act(stopped, "stop", "?timeout=5")
    lab.engine.remove_container(f"zun-{removed}", force=True)
    for uuid in (short, stopped, removed):
        lab.service.gone(uuid)
        assert not lab.on_engine(uuid)


def test_auto_heal_builds_what_vanished_and_reboots_what_is_ill(lab: Lab) -> None:
    uuid = lab.running(command=WELL, healthcheck=HEALTHY, auto_heal=True)["uuid"]
    first = lab.raw(uuid)["Id"]
    lab.engine.remove_container(f"zun-{uuid}", force=True)
    lab.shows(uuid, lambda s: lab.on_engine(uuid) and lab.raw(uuid)["Id"] != first)
    healthy = lab.shows(uuid, lambda s: (s["status_detail"] or "").endswith("(healthy)"))
    assert healthy["status"] == "Running"
    started = lab.raw(uuid)["State"]["StartedAt"]
    lab.execute(uuid, "rm /tmp/well")
    # Its command makes it well again, when it is rebooted.
    lab.shows(uuid, lambda s: lab.raw(uuid)["State"]["StartedAt"] != started)
    lab.shows(uuid, lambda s: (s["status_detail"] or "").endswith("(healthy)"))


@pytest.fixture
def missed(lab: Lab) -> dict[str, Any]:
    """Containers to which something is done while no service listens."""
    names = ("killed", "removed", "paused", "ended", "healed", "restarted")
    extra: dict[str, dict[str, Any]] = {
        "ended": {"auto_remove": True},
        "healed": {"auto_heal": True},
    }
    return {name: lab.create(**extra.get(name, {})) for name in names}


@pytest.mark.parametrize("end", ["stop", "kill"])
def test_what_happened_while_the_service_was_away(
    lab: Lab, missed: dict[str, str], end: str
) -> None:
    for uuid in missed.values():
        lab.service.until(uuid, "Running")
    getattr(lab.service, end)()
    engine = {name: f"zun-{uuid}" for name, uuid in missed.items()}
    lab.engine.kill(engine["killed"])
    lab.engine.remove_container(engine["removed"], force=True)
    lab.engine.pause(engine["paused"])
    lab.engine.kill(engine["ended"])
    lab.engine.remove_container(engine["healed"], force=True)
    lab.engine.restart(engine["restarted"], timeout=5)
    lab.service.start()
    assert lab.service.until(missed["killed"], "Stopped")["status_detail"].startswith("Exited(137)")
    lab.service.until(missed["removed"], "Error")
    lab.service.until(missed["paused"], "Paused")
    lab.service.gone(missed["ended"])
    lab.shows(missed["healed"], lambda s: s["status"] == "Running" and lab.on_engine(s["uuid"]))
    lab.service.until(missed["restarted"], "Running")
    # What somebody paused behind our back can be unpaused by its owner, and is deletable then.
    lab.act(missed["paused"], "unpause")
    lab.service.until(missed["paused"], "Running")
    for name in ("killed", "removed", "paused", "healed", "restarted"):
        lab.delete(missed[name])
        assert not lab.on_engine(missed[name])
