"""What a scenario that keeps the status needs before it begins, and what of it is seen in the end."""

from __future__ import annotations

from typing import Any

from tests.crash.scenarios import LARGE, OTHER_NETWORK, SMALL, Scenario
from tests.crash.victims import Victim

from zun.model.lifecycle import Action

_SIZES = (Action.UPDATE, Action.RESIZE_CONTAINER)
_LINKS = (Action.NETWORK_ATTACH, Action.NETWORK_DETACH)


def prepare(victim: Victim, scenario: Scenario, uuid: str) -> None:
    """Has a container be such that the scenario changes it."""
    where = f"/v1/containers/{uuid}"
    if scenario.action in _SIZES:
        victim.must("PATCH", where, SMALL)
    if scenario.action in _LINKS:
        if not victim.rows("SELECT 1 FROM networks WHERE name = ?", OTHER_NETWORK):
            victim.must("POST", "/v1/networks", {"name": OTHER_NETWORK})
        wanted = scenario.action is Action.NETWORK_DETACH
        if (_networks(victim, uuid) == 2) is not wanted:
            verb = "attach" if wanted else "detach"
            victim.must("POST", f"{where}/network_{verb}?network={OTHER_NETWORK}")
            victim.ended()
    if scenario.action is Action.COMMIT:
        forget_images(victim)


def verify(victim: Victim, scenario: Scenario, uuid: str) -> None:
    """What is to be seen of the scenario, beside what holds of every container."""
    if scenario.action in _SIZES:
        size = SMALL if scenario.fails_at else LARGE
        [row] = victim.rows("SELECT cpu, memory FROM containers WHERE uuid = ?", uuid)
        assert dict(row) == size
    if scenario.action is not Action.COMMIT:
        return
    made = [row for row in _images(victim) if row["repo"].endswith(f"/crash/{uuid}")]
    if scenario.fails_at:
        assert made == []
        return
    [image] = made
    name = f"{image['repo']}:{image['tag']}"
    assert victim.client.inspect_image(name)["Id"] == image["image_id"]
    assert (image["digest"] is not None) == bool(scenario.params)
    if image["digest"]:
        sent = victim.client.inspect_distribution(f"{image['registry']}/crash/{uuid}:v1")
        assert sent["Descriptor"]["digest"] == image["digest"]


def clear(victim: Victim, scenario: Scenario) -> None:
    """Takes away what other scenarios would stumble over."""
    if scenario.action is Action.COMMIT:
        forget_images(victim)
    if scenario.action is Action.NETWORK_DETACH and not victim.rows(
        "SELECT 1 FROM ports JOIN networks ON networks.uuid = ports.network_uuid WHERE name = ?", OTHER_NETWORK
    ):  # fmt: skip
        victim.must("DELETE", f"/v1/networks/{OTHER_NETWORK}")


def forget_images(victim: Victim) -> None:
    """Removes all images, records and all."""
    for row in _images(victim):
        victim.must("DELETE", f"/v1/images/{row['uuid']}")
    victim.ended()


def _images(victim: Victim) -> list[Any]:
    return victim.rows("SELECT * FROM images")


def _networks(victim: Victim, uuid: str) -> int:
    return len(victim.rows("SELECT 1 FROM ports WHERE container_uuid = ?", uuid))
