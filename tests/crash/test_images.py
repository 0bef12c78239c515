"""Images pulled onto a host and removed from it, while the service dies at every point of both, twice."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from docker import APIClient
from docker.errors import ImageNotFound
from tests.crash.scenarios import OF_IMAGES, points_of
from tests.crash.victims import Victim
from tests.support.images import NAME
from tests.support.registry import Registry

from zun.model.lifecycle import Action
from zun.work.kinds import steps_of

pytestmark = pytest.mark.engine

PULL, DELETE = OF_IMAGES


def _points(action: Action) -> Sequence[str]:
    return points_of(action, steps_of(action, {}))


def _on_engine(client: APIClient, repo: str) -> str | None:
    try:
        return str(client.inspect_image(f"{repo}:1")["Id"])
    except ImageNotFound:
        return None


def _die_twice(victim: Victim, action: Action, requests: Sequence[tuple[str, str, object]]) -> None:
    points = _points(action)
    victim.park(points)
    asking = victim.ask_all(requests)
    victim.hold_all(points)
    victim.kill()
    for thread in asking:
        thread.join()
    victim.park(points)
    victim.start()
    victim.settled_or_parked()
    victim.kill()
    victim.again()


def test_images_come_and_go_whole(
    victim: Victim, client: APIClient, registries: dict[str, Registry]
) -> None:
    registry = registries["registry"]
    names = [f"crash/image-{number}" for number in range(len(_points(PULL)))]
    digests = {registry.push(client, NAME, name, "1") for name in names}
    repos = [f"{registry.domain}/{name}" for name in names]
    [host] = victim.rows("SELECT hostname FROM hosts")

    _die_twice(
        victim,
        PULL,
        [("POST", "/v1/images", {"repo": f"{r}:1", "host": host["hostname"]}) for r in repos],
    )

    rows = victim.rows("SELECT * FROM images ORDER BY repo")
    assert [row["repo"] for row in rows] == repos
    assert {row["digest"] for row in rows} == digests
    assert all(_on_engine(client, row["repo"]) == row["image_id"] for row in rows)
    assert all(row["size"] for row in rows)
    assert victim.leftovers() == {}

    # As many as there are points of both.
    assert len(_points(DELETE)) == len(rows)
    _die_twice(victim, DELETE, [("DELETE", f"/v1/images/{row['uuid']}", None) for row in rows])

    assert victim.rows("SELECT * FROM images") == []
    assert [repo for repo in repos if _on_engine(client, repo)] == []
    assert victim.leftovers() == {}
