"""A container from a real private registry, through a real service and a real engine."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import docker
import pytest
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
