"""Images from a real registry on loopback, through the API."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest
from docker import APIClient
from docker.errors import APIError
from tests.scenario.conftest import Lab
from tests.support.images import import_image, random_tar
from tests.support.registry import Registry, free_port

from zun.model.names import new_uuid

pytestmark = pytest.mark.engine

SMALL = 200_000


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    made = Registry(tmp_path_factory.mktemp("registry"))
    yield made
    made.close()


class Published:
    """An image that only the registry has."""

    def __init__(self, engine: APIClient, registry: Registry, size: int = SMALL) -> None:
        self._engine, self._registry = engine, registry
        self.path = f"test/{new_uuid()}"
        ident = import_image(engine, random_tar(size), self.path, "1")
        self.digest = registry.push(engine, f"{self.path}:1", self.path, "1")
        engine.remove_image(ident, force=True)
        self.tagged = f"{registry.domain}/{self.path}:1"
        self.pinned = f"{registry.domain}/{self.path}@{self.digest}"

    @property
    def pulls(self) -> int:
        """How often its only layer went over the wire (its configuration is a blob as well)."""
        return self._registry.requests(f'"GET /v2/{self.path}/blobs/') // 2

    @property
    def questions(self) -> int:
        """How often the registry was asked what it is."""
        return self._registry.requests(f"/v2/{self.path}/manifests/")

    def here(self) -> bool:
        """Whether the engine has it."""
        return bool(self._engine.images(name=f"{self._registry.domain}/{self.path}"))

    def forget(self) -> None:
        """Takes it from the engine."""
        for text in (self.tagged, self.pinned):
            with contextlib.suppress(APIError):
                self._engine.remove_image(text, force=True)


@pytest.fixture
def image(docker_engine: APIClient, registry: Registry) -> Iterator[Published]:
    published = Published(docker_engine, registry)
    yield published
    published.forget()


def settled(lab: Lab, uuid: str) -> dict[str, Any]:
    return lab.service.until(uuid, "Created", "Error")


def create(lab: Lab, image: str, **body: Any) -> str:
    # Made, not started: there is nothing in these images that could run.
    return lab.create([], run=False, image=image, **body)


def test_by_tag_and_by_digest(lab: Lab, image: Published) -> None:
    by_tag = settled(lab, create(lab, image.tagged))
    assert (by_tag["status"], by_tag["status_reason"]) == ("Created", None)
    assert by_tag["image"] == image.tagged, "shown as it was asked for"
    assert by_tag["command"] == ["sh"], "the image's own command is shown"
    by_digest = settled(lab, create(lab, image.pinned))
    assert by_digest["status"] == "Created"
    used = {lab.raw(one["uuid"])["Image"] for one in (by_tag, by_digest)}
    assert len(used) == 1
    assert image.pulls == 1
    for one in (by_tag, by_digest):
        lab.delete(one["uuid"])


def test_a_missing_image_is_an_error_that_names_it(lab: Lab, registry: Registry) -> None:
    name = f"{registry.domain}/test/there-is-none:7"
    uuid = create(lab, name)
    shown = settled(lab, uuid)
    assert shown["status"] == "Error"
    assert name in shown["status_reason"]
    assert not lab.on_engine(uuid)
    [action] = lab.service.ask("GET", f"/v1/containers/{uuid}/container_actions")[1][
        "containerActions"
    ]
    assert (action["action"], action["message"]) == ("create", "Error")
    lab.delete(uuid)


def test_a_missing_digest_is_an_error(lab: Lab, image: Published) -> None:
    wrong = image.pinned[:-8] + "00000000"
    assert settled(lab, create(lab, wrong))["status"] == "Error"


def test_a_registry_that_is_away_is_tried_until_the_delete(lab: Lab) -> None:
    uuid = create(lab, f"127.0.0.1:{free_port()}/test/x:1")
    lab.shows(uuid, lambda s: s["task_state"] == "container_creating")
    lab.delete(uuid)


def test_parallel_creates_share_one_pull_and_hear_of_its_progress(
    lab: Lab, docker_engine: APIClient, registry: Registry
) -> None:
    image = Published(docker_engine, registry, size=60_000_000)
    try:
        uuids = [create(lab, image.tagged) for _ in range(4)]
        for uuid in uuids:
            assert settled(lab, uuid)["status"] == "Created"
        assert image.pulls == 1
        told = _progress(lab, uuids)
        assert all(set(detail) == {"status", "current", "total"} for detail in told)
        assert all(0 <= d["current"] <= d["total"] for d in told)
        for uuid in uuids:
            lab.delete(uuid)
    finally:
        image.forget()


def _progress(lab: Lab, uuids: list[str]) -> list[dict[str, Any]]:
    """The progress in the events of these containers; at most one a second, so there may be none."""
    database = sqlite3.connect(f"file:{lab.service.state / 'zun.sqlite'}?mode=ro", uri=True)
    with contextlib.closing(database):
        rows = database.execute(
            "SELECT detail FROM events WHERE kind = 'progress' AND container_uuid IN (?, ?, ?, ?)",
            uuids,
        ).fetchall()
    return [json.loads(row[0]) for row in rows]


def test_policy_never(lab: Lab, image: Published) -> None:
    shown = settled(lab, create(lab, image.tagged, image_pull_policy="never"))
    assert shown["status"] == "Error"
    assert "must not be pulled" in shown["status_reason"] or "never" in shown["status_reason"]
    assert image.questions == 1, "only our own push has asked"
    assert not image.here()


def test_policy_if_not_present_asks_once(lab: Lab, image: Published) -> None:
    first = settled(lab, create(lab, image.tagged, image_pull_policy="ifnotpresent"))
    asked = image.questions
    second = settled(lab, create(lab, image.tagged, image_pull_policy="ifnotpresent"))
    third = settled(lab, create(lab, image.tagged))  # the default
    assert image.questions == asked
    assert image.pulls == 1
    for one in (first, second, third):
        assert one["status"] == "Created"
        lab.delete(one["uuid"])


def test_policy_always_asks_again_and_moves_nothing_it_has(lab: Lab, image: Published) -> None:
    first = settled(lab, create(lab, image.tagged, image_pull_policy="always"))
    asked = image.questions
    second = settled(lab, create(lab, image.tagged, image_pull_policy="always"))
    assert image.questions > asked
    assert image.pulls == 1
    for one in (first, second):
        assert one["status"] == "Created"
        lab.delete(one["uuid"])


def test_an_image_that_somebody_removed_is_fetched_again(lab: Lab, image: Published) -> None:
    first = settled(lab, create(lab, image.tagged))
    lab.delete(first["uuid"])
    image.forget()
    assert not image.here()
    second = settled(lab, create(lab, image.tagged))
    assert second["status"] == "Created"
    assert image.pulls == 2
    lab.delete(second["uuid"])
