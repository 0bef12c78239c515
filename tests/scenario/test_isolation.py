"""Two projects on one host: a network each, no way from one to the other, nothing left when they go."""

from __future__ import annotations

import ipaddress
from base64 import b64encode
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import bcrypt
import pytest
from tests.scenario.conftest import Lab, Labs
from tests.support.house import eventually
from tests.support.images import NAME

pytestmark = pytest.mark.engine

PORT = 8000
SERVE = [
    "sh",
    "-c",
    f"trap 'exit 0' TERM; while :; do echo hello | nc -l -p {PORT} & wait $!; done",
]
PROJECTS = {"amy": "a" * 32, "ann": "a" * 32, "ben": "b" * 32}


def _people(state: Path) -> None:
    """Amy and Ann share a project, Ben has his own."""
    state.mkdir(parents=True, mode=0o700)
    users = [f"{u}:{bcrypt.hashpw(u.encode(), bcrypt.gensalt(4)).decode()}" for u in PROJECTS]
    (state / "htpasswd").write_text("\n".join(users) + "\n")
    lines = [
        f"{user}: {{user_id: id-of-{user}, project_id: {project}, project_name: p, roles: [member]}}"
        for user, project in PROJECTS.items()
    ]
    (state / "identities.yaml").write_text("\n".join(lines) + "\n")
    for name in ("htpasswd", "identities.yaml"):
        (state / name).chmod(0o600)


class Person:
    """A user of the service, with what is needed to speak as them."""

    def __init__(self, lab: Lab, name: str) -> None:
        self.lab, self.project = lab, PROJECTS[name]
        self._who = "Basic " + b64encode(f"{name}:{name}".encode()).decode()

    def ask(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        return self.lab.service.ask(method, path, body, Authorization=self._who)

    def server(self) -> dict[str, Any]:
        """A running container that says hello to whoever connects."""
        wanted = {
            "image": f"{NAME}:latest", "command": SERVE, "cpu": 0.1, "memory": 32, "hostname": "server"
        }  # fmt: skip
        status, made = self.ask("POST", "/v1/containers?run=true", wanted)
        assert status == 202, made
        self.lab.service.until(made["uuid"], "Running")
        shown: dict[str, Any] = self.ask("GET", f"/v1/containers/{made['uuid']}")[1]
        return shown

    def reaches(self, one: dict[str, Any], address: str) -> bool:
        """Whether `one`, from inside, gets the hello of `address`."""
        script = f"nc -w 2 {address} {PORT} </dev/null"
        return self.lab.execute(one["uuid"], script, Authorization=self._who)[1] == "hello\n"


@pytest.fixture(scope="module")
def people(labs: Labs) -> Iterator[dict[str, Person]]:
    lab = labs(prepare=_people)
    yield {name: Person(lab, name) for name in PROJECTS}


def address(shown: dict[str, Any]) -> str:
    [[entry]] = shown["addresses"].values()
    found: str = entry["addr"]
    return found


def test_two_projects(people: dict[str, Person]) -> None:
    amy, ann, ben = people["amy"], people["ann"], people["ben"]
    lab = amy.lab
    first, second, other = amy.server(), ann.server(), ben.server()

    # The shape of addresses (contract 3.5).
    for shown in (first, second, other):
        [(network, entries)] = shown["addresses"].items()
        [entry] = entries
        assert set(entry) == {"addr", "version", "port", "subnet_id", "preserve_on_delete"}
        assert str(UUID(network)) == network
        assert str(UUID(entry["port"])) == entry["port"]
        assert str(UUID(entry["subnet_id"])) == entry["subnet_id"]
        assert (entry["version"], entry["preserve_on_delete"]) == (4, False)
        assert ipaddress.ip_address(entry["addr"]).is_private
        inside = lab.execute(shown["uuid"], "ip -4 addr show eth0")[1]
        assert entry["addr"] in inside, "what is shown is what it has"

    # One network a project.
    assert set(first["addresses"]) == set(second["addresses"])
    assert set(first["addresses"]) != set(other["addresses"])
    assert len({address(first), address(second), address(other)}) == 3
    assert len(lab.networks(amy.project)) == len(lab.networks(ben.project)) == 1

    # Those of the same project reach each other, others do not, neither way.
    eventually(lambda: amy.reaches(first, address(second)), "it listens")
    eventually(lambda: ben.reaches(other, address(other)), "it listens")
    eventually(lambda: ann.reaches(second, address(first)), "it listens")
    assert not amy.reaches(first, address(other))
    assert not ben.reaches(other, address(first))
    assert not ben.reaches(other, address(second))

    # Nobody sees what is another project's.
    assert ben.ask("GET", f"/v1/containers/{first['uuid']}")[0] == 404
    assert ben.ask("DELETE", f"/v1/containers/{first['uuid']}?stop=true")[0] == 404
    assert ben.ask("POST", f"/v1/containers/{first['uuid']}/stop")[0] == 404
    seen = [c["uuid"] for c in ben.ask("GET", "/v1/containers")[1]["containers"]]
    assert seen == [other["uuid"]]
    shared = [c["uuid"] for c in ann.ask("GET", "/v1/containers")[1]["containers"]]
    assert sorted(shared) == sorted([first["uuid"], second["uuid"]])

    # The network goes with the project's last container, and not before; the other project's stays.
    for one, left in ((first, 1), (second, 0)):
        assert amy.ask("DELETE", f"/v1/containers/{one['uuid']}?stop=true")[0] == 204
        lab.service.gone(one["uuid"])
        assert len(lab.networks(amy.project)) == left
    assert len(lab.networks(ben.project)) == 1
    assert ben.ask("DELETE", f"/v1/containers/{other['uuid']}?stop=true")[0] == 204
    lab.service.gone(other["uuid"])
    assert lab.networks(ben.project) == []


def test_addresses_are_used_again(people: dict[str, Person]) -> None:
    amy = people["amy"]
    first = amy.server()
    assert amy.ask("DELETE", f"/v1/containers/{first['uuid']}?stop=true")[0] == 204
    amy.lab.service.gone(first["uuid"])
    second = amy.server()
    assert address(second) == address(first)
    amy.ask("DELETE", f"/v1/containers/{second['uuid']}?stop=true")
    amy.lab.service.gone(second["uuid"])
