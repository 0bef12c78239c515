"""Containers from real registries, and images made of containers in them: a real service and a real engine."""

from __future__ import annotations

import contextlib
import json
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import docker
import pytest
from tests.support.house import eventually
from tests.support.images import NAME, ensure_busybox
from tests.support.registry import Registry
from tests.support.service import Service

USER, PASSWORD = "bob", "correct-horse-battery-staple"
NAMED = "team/busybox"


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    """Private; it has the image NAMED, which the engine has not."""
    private = Registry(tmp_path / "registry", {USER: PASSWORD})
    client = docker.APIClient()
    try:
        ensure_busybox(client)
        private.push(client, NAME, NAMED, "latest", {"username": USER, "password": PASSWORD})
        yield private
        with contextlib.suppress(docker.errors.ImageNotFound):
            client.remove_image(f"{private.domain}/{NAMED}:latest", force=True)
    finally:
        client.close()
        private.close()


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    one = Service(tmp_path / "state")
    one.start()
    yield one
    one.stop()


def _create(service: Service, registry: str) -> str:
    body = {
        "name": "from-private",
        "image": NAMED,
        "registry": registry,
        "command": ["sleep", "1000"],
    }
    status, made = service.ask("POST", "/v1/containers?run=true", body)
    assert (status, made["registry_id"]) == (202, registry), made
    uuid: str = made["uuid"]
    return uuid


@pytest.mark.engine
def test_only_who_knows_the_password_gets_the_image(
    service: Service, registry: Registry, tmp_path: Path
) -> None:
    fields = {"domain": registry.domain, "username": USER, "password": "wrong-and-secret"}
    status, made = service.ask("POST", "/v1/registries", {"registry": fields})
    assert (status, made["registry"]["password"]) == (201, "***")
    ident = made["registry"]["uuid"]

    refused = _create(service, ident)
    shown = service.until(refused, "Error")
    assert "refuses" in shown["status_reason"]
    assert service.ask("DELETE", f"/v1/registries/{ident}")[0] == 409

    status, _ = service.ask(
        "PATCH", f"/v1/registries/{ident}", {"registry": {"password": PASSWORD}}
    )
    assert status == 200
    running = _create(service, ident)
    assert service.until(running, "Running")["image"] == NAMED

    for uuid in (refused, running):
        assert service.ask("DELETE", f"/v1/containers/{uuid}?force=true")[0] == 204
        service.gone(uuid)
    assert service.ask("DELETE", f"/v1/registries/{ident}")[0] == 204

    service.stop()
    kept = b"".join(path.read_bytes() for path in (tmp_path / "state").glob("zun.sqlite*"))
    for secret in (PASSWORD, "wrong-and-secret"):
        assert secret.encode() not in kept + service.log.read_bytes()


@pytest.mark.engine
def test_a_container_becomes_an_image_of_a_private_registry(
    service: Service, registry: Registry
) -> None:
    """Who knows no password is refused and leaves nothing; who does sends it, and any engine can have it."""
    client = docker.APIClient()
    body = {"name": "author", "image": f"{NAME}:latest", "command": ["sleep", "1000"]}
    author = service.ask("POST", "/v1/containers?run=true", body)[1]["uuid"]
    service.until(author, "Running")
    query = urlencode({"command": "touch /tmp/kept"})
    assert service.ask("POST", f"/v1/containers/{author}/execute?{query}")[1]["exit_code"] == 0
    repository = f"{registry.domain}/team/made"

    def commit(repository: str = repository) -> str:
        query = urlencode({"repository": repository, "tag": "v1"})
        status, answer = service.ask("POST", f"/v1/containers/{author}/commit?{query}")
        assert status == 202, answer
        uuid: str = answer["uuid"]
        return uuid

    refused = commit()
    shown = eventually(
        lambda: (s := service.show(author)) and s["status_reason"] and not s["task_state"] and s
    )
    assert (shown["status"], "refuses" in shown["status_reason"]) == ("Running", True), shown
    eventually(lambda: service.ask("GET", f"/v1/images/{refused}")[0] == 404)

    fields = {"domain": registry.domain, "username": USER, "password": PASSWORD}
    home = service.ask("POST", "/v1/registries", {"registry": fields})[1]["registry"]["uuid"]
    image = commit()

    def sent() -> dict[str, Any] | None:
        found: dict[str, Any] = service.ask("GET", f"/v1/images/{image}", version="1.46")[1]
        return found if found["digest"] else None

    made = eventually(sent, "the image is sent")
    assert (made["repo"], made["tag"]) == (repository, "v1")
    assert not client.images(name=repository), "the name stays with the registry"
    # Any engine that knows the password: from the registry, by the digest that was shown.
    auth = {"username": USER, "password": PASSWORD}
    client.pull(repository, tag=made["digest"], auth_config=auth)
    pulled = client.inspect_image(f"{repository}@{made['digest']}")
    assert pulled["Id"] == made["image_id"]
    client.remove_image(f"{repository}@{made['digest']}")
    # By the registry's uuid, with the same content: the registry calls it the same.
    again = commit(f"{home}/team/made")
    assert again == image

    fresh = {"name": "reader", "image": f"{repository}:v1", "registry": home,
             "command": ["sh", "-c", "test -e /tmp/kept && sleep 1000"]}  # fmt: skip
    reader = service.ask("POST", "/v1/containers?run=true", fresh)[1]["uuid"]
    service.until(reader, "Running")
    for uuid in (reader, author):
        eventually(
            lambda uuid=uuid: service.ask("DELETE", f"/v1/containers/{uuid}?force=true")[0] == 204
        )
        service.gone(uuid)
    service.ask("DELETE", f"/v1/images/{image}")
    eventually(lambda: service.ask("GET", f"/v1/images/{image}")[0] == 404)
    client.close()


@pytest.mark.engine
def test_a_container_becomes_an_image_of_an_open_registry(service: Service, tmp_path: Path) -> None:
    """And a commit that a delete takes the place of, while the registry is away, leaves nothing on the engine."""
    client, registry = docker.APIClient(), Registry(tmp_path / "open")
    try:
        body = {"name": "author", "image": f"{NAME}:latest", "command": ["sleep", "1000"]}
        author = service.ask("POST", "/v1/containers?run=true", body)[1]["uuid"]
        service.until(author, "Running")
        query = urlencode({"repository": f"{registry.domain}/team/app"})
        image = service.ask("POST", f"/v1/containers/{author}/commit?{query}")[1]["uuid"]
        eventually(lambda: service.ask("GET", f"/v1/images/{image}", version="1.46")[1]["digest"])
        listed = f"http://{registry.domain}/v2/team/app/tags/list"
        with urllib.request.urlopen(listed, timeout=10) as answer:
            assert json.load(answer)["tags"] == ["latest"]
        service.ask("DELETE", f"/v1/images/{image}")
        eventually(lambda: service.ask("GET", f"/v1/images/{image}")[0] == 404)
    finally:
        registry.close()
    query = urlencode({"repository": f"{registry.domain}/team/late"})
    image = service.ask("POST", f"/v1/containers/{author}/commit?{query}")[1]["uuid"]
    eventually(lambda: [i for i in client.images() if "team/late" in str(i["RepoTags"])])
    assert service.ask("DELETE", f"/v1/containers/{author}?force=true")[0] == 204
    service.gone(author)
    assert service.ask("GET", f"/v1/images/{image}")[0] == 404
    eventually(lambda: not [i for i in client.images() if "team/late" in str(i["RepoTags"])])
    client.close()
