"""A whole service of separate processes with Keystone before it, as its users see it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from docker import APIClient
from docker.errors import APIError
from tests.support.house import eventually
from tests.support.images import FOREVER, NAME
from tests.support.parts import Part, Parts, ask

from zun.model.names import LABEL_HOST


@dataclass
class Cloud:
    """Its processes, and the services around them; a test fills in what it has."""

    parts: Parts
    keystone: Any
    rabbitmq: Any
    apis: list[Part] = field(default_factory=list)
    conductors: list[Part] = field(default_factory=list)
    compute: Part = field(init=False)
    streams: Part = field(init=False)
    tokens: dict[tuple[str, str], str] = field(default_factory=dict)

    def token(self, role: str = "member", project: str = "demo") -> str:
        """Of the user with this role in this project."""
        if (role, project) not in self.tokens:
            login = self.keystone.user(project, role)
            self.tokens[role, project] = self.keystone.token(login)
        return self.tokens[role, project]

    def ask(
        self, method: str, path: str, body: Any = None, *, api: int = 0, role: str = "member",
        project: str = "demo", **headers: str,
    ) -> tuple[int, Any]:  # fmt: skip
        """One request with a token."""
        headers.setdefault("X_Auth_Token", self.token(role, project))
        return ask(self.apis[api].url, method, path, body, **headers)

    def create(self, **body: Any) -> str:
        """A running container's uuid."""
        wanted = {"image": NAME, "command": FOREVER, "cpu": 0.1, "memory": "32", **body}
        status, answer = self.ask("POST", "/v1/containers?run=true", wanted)
        assert status == 202, answer
        return str(answer["uuid"])

    def until(self, uuid: str, status: str) -> Mapping[str, Any]:
        """The container once it has the status; fails at once if it is in Error instead, with the reason."""

        def has() -> Any:
            shown = self.ask("GET", f"/v1/containers/{uuid}")[1]
            wrong = shown.get("status") == "Error" != status
            assert not wrong, f"{uuid} should become {status}: {shown.get('status_reason')}"
            return shown if shown.get("status") == status and not shown["task_state"] else None

        found: Mapping[str, Any] = eventually(has, f"{uuid} becomes {status}")
        return found

    def delete(self, uuid: str) -> None:
        """Removes it, and waits until it is gone."""
        status, answer = self.ask("DELETE", f"/v1/containers/{uuid}?stop=true")
        assert status == 204, answer
        eventually(lambda: self.ask("GET", f"/v1/containers/{uuid}")[0] == 404, f"{uuid} goes")


def sweep(engine: APIClient, cloud: Cloud) -> None:
    """Removes what it made of containers and networks on an engine. It must still answer."""
    with contextlib.suppress(OSError, TypeError, KeyError, IndexError):
        owner = cloud.ask("GET", "/v1/hosts", role="admin")[1]["hosts"][0]["uuid"]
        label = {"label": f"{LABEL_HOST}={owner}"}
        for container in engine.containers(all=True, filters=label):
            with contextlib.suppress(APIError):
                engine.remove_container(container["Id"], force=True, v=True)
        for network in engine.networks(filters=label):
            with contextlib.suppress(APIError):
                engine.remove_network(network["Id"])
