"""The real service in a process of its own, a client of it, and an engine to compare it with."""

from __future__ import annotations

import http.client
import json
import shutil
import sys
import tempfile
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from ipaddress import IPv4Network
from itertools import islice
from pathlib import Path
from typing import Any

import docker
from docker.types import IPAMConfig, IPAMPool
from tests.support.images import NAME, ensure_busybox
from tests.support.service import Service

from zun.drivers.docker.plan import body as create_body
from zun.drivers.runtime import Attachment, Plan
from zun.model.names import LABEL_UUID, new_uuid, runtime_name

SOCKET = "unix:///var/run/docker.sock"

#: What every container of a run is made of; small enough for 60 of them to be promised at once.
CPU, MEMORY, COMMAND = 0.5, 64, ("sleep", "1000000")
IMAGE = f"{NAME}:latest"

#: Networks: the service's own pool, and the one network of the calls made by hand.
_POOL, _HAND = "10.219.0.0/16", "10.220.0.0/16"

#: Seconds between two questions of who waits for a status. Half of it, on average, is in what is measured; at less the
#: questions themselves take the machine's cores from the engine.
POLL = 0.01
_PATIENCE = 120.0


def say(text: str) -> None:
    """A line of progress."""
    print(text, file=sys.stderr, flush=True)


def engine(socket: str = SOCKET) -> docker.APIClient:
    """The SDK's client of the engine at `socket`, as anybody would use it."""
    return docker.APIClient(base_url=socket, version="auto", max_pool_size=32)


class Api:
    """One keep-alive connection to a service, as its administrator. For one thread."""

    def __init__(self, service: Service) -> None:
        password = (service.state / "password").read_text().strip()
        self._headers = {
            "Authorization": "Basic " + b64encode(f"admin:{password}".encode()).decode(),
            "OpenStack-API-Version": "container 1.40",
            "Content-Type": "application/json",
        }
        self._http = http.client.HTTPConnection("127.0.0.1", service.port, timeout=60)

    @property
    def headers(self) -> Mapping[str, str]:
        """What each request carries."""
        return self._headers

    def raw(self, method: str, path: str, body: Any = None) -> tuple[int, bytes]:
        """Status and bytes of one answer."""
        data = None if body is None else json.dumps(body)
        self._http.request(method, path, data, dict(self._headers))
        answer = self._http.getresponse()
        return answer.status, answer.read()

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """The decoded answer; raises RuntimeError on a refusal."""
        status, raw = self.raw(method, path, body)
        if status >= 400:
            raise RuntimeError(f"{method} {path}: {status} {raw[:300]!r}")
        return json.loads(raw) if raw else None

    def create(self) -> str:
        """Asks for a running container; its uuid."""
        wish = {"image": IMAGE, "command": list(COMMAND), "cpu": CPU, "memory": str(MEMORY)}
        created = self.ask("POST", "/v1/containers/?run=true", wish)
        return str(created["uuid"])

    def until(self, uuid: str, *statuses: str) -> str:
        """Asks again and again, with a tiny pause, until the container has one of the statuses."""
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < end:
            shown = self.ask("GET", f"/v1/containers/{uuid}")
            if shown["status"] in statuses:
                return str(shown["status"])
            if shown["status"] == "Error":
                raise RuntimeError(f"{uuid}: {shown['status_reason']}")
            time.sleep(POLL)
        raise RuntimeError(f"{uuid} never became {statuses}")

    def remove(self, uuid: str) -> None:
        """Deletes a container, whatever it is doing, and waits until it is gone."""
        self.raw("DELETE", f"/v1/containers/{uuid}?force=true")
        end = time.monotonic() + _PATIENCE
        while time.monotonic() < end:
            if self.raw("GET", f"/v1/containers/{uuid}")[0] == 404:
                return
            time.sleep(0.02)
        raise RuntimeError(f"{uuid} is not gone")

    def uuids(self) -> list[str]:
        """All containers of the caller's project."""
        return [c["uuid"] for c in self.ask("GET", "/v1/containers?limit=1000")["containers"]]


@contextmanager
def running(**options: Mapping[str, Any]) -> Iterator[Service]:
    """A service with a state directory, a port and a subnet pool of its own; what it made is removed at the end."""
    folder = Path(tempfile.mkdtemp(prefix="zun-bench-"))
    sections: dict[str, Mapping[str, Any]] = {
        # As installed: the tests' own settings are hastier than the defaults.
        "compute": {"poll_interval": 5, "leftover_grace": 300},
        "docker_network": {"subnet_pool": _POOL},
        **options,
    }
    service = Service(folder / "state", options=sections)
    try:
        service.start()
        yield service
    finally:
        _clear(service)
        shutil.rmtree(folder, ignore_errors=True)


def _clear(service: Service) -> None:
    """Ends the service and removes every container and network of its host, even where it can't itself any more."""
    with suppress(Exception):
        service.stop()
    with suppress(Exception):
        service.kill()
    client = engine()
    with suppress(Exception):
        owner = _owner(service)
        for row in client.containers(
            all=True, filters={"label": f"org.openstack.zun.host={owner}"}
        ):
            with suppress(docker.errors.APIError):
                client.remove_container(row["Id"], force=True, v=True)
        for row in client.networks(filters={"label": f"org.openstack.zun.host={owner}"}):
            with suppress(docker.errors.APIError):
                client.remove_network(row["Id"])
    client.close()


def _owner(service: Service) -> str:
    """The uuid its host is marked with on the engine."""
    from zun.store import hosts
    from zun.store.database import Database

    database = Database(f"sqlite:///{service.state / 'zun.sqlite'}")
    try:
        with database.read() as conn:
            return hosts.every(conn)[0].uuid
    finally:
        database.close()


class Hand:
    """The same SDK calls made by hand: create and start, with the body the service sends, on a bridge network."""

    def __init__(self, socket: str = SOCKET) -> None:
        self._client = engine(socket)
        self._image = ensure_busybox(self._client)
        self._network = f"zun-bench-{new_uuid()}"
        self._client.create_network(
            self._network, driver="bridge", ipam=IPAMConfig(pool_configs=[IPAMPool(subnet=_HAND)])
        )
        self._addresses = (str(address) for address in islice(IPv4Network(_HAND).hosts(), 1, None))
        self._lock = threading.Lock()
        self._made: list[str] = []

    def body(self) -> tuple[str, dict[str, Any]]:
        """Name and body of one create."""
        uuid = new_uuid()
        with self._lock:
            address = next(self._addresses)  # never one twice: the engine frees them a moment late
        plan = Plan(
            uuid=uuid, project_id="bench", host="by-hand", generation=new_uuid(), image=self._image,
            command=COMMAND, cpu=CPU, memory=MEMORY, pids_limit=512, no_new_privileges=True,
            restart_policy="no",
            attachments=[
                Attachment(network=self._network, address_v4=address)
            ],
        )  # fmt: skip
        return runtime_name(uuid), create_body(plan)

    def create(self) -> tuple[str, float]:
        """Create and start; the container's name, and the seconds they took."""
        name, wish = self.body()
        with self._lock:
            self._made.append(name)
        begun = time.perf_counter()
        create: Callable[..., Any] = self._client.create_container_from_config
        create(wish, name=name)
        self._client.start(name)
        return name, time.perf_counter() - begun

    def remove(self, name: str) -> None:
        """Removes one."""
        self._client.remove_container(name, force=True, v=True)
        with self._lock:
            self._made.remove(name)

    def inspect(self, name: str) -> Mapping[str, Any]:
        """What the engine says of a container."""
        raw: Mapping[str, Any] = self._client.inspect_container(name)
        return raw

    def close(self) -> None:
        """Removes all that is left."""
        for name in list(self._made):
            with suppress(docker.errors.APIError):
                self.remove(name)
        with suppress(docker.errors.APIError):
            self._client.remove_network(self._network)
        self._client.close()


@contextmanager
def by_hand(socket: str = SOCKET) -> Iterator[Hand]:
    """A `Hand` that leaves nothing behind."""
    hand = Hand(socket)
    try:
        yield hand
    finally:
        hand.close()


class Ear:
    """Hears the engine's events of one kind: when it says they happened, and when they came here (s, both wall)."""

    def __init__(self, action: str, socket: str = SOCKET) -> None:
        self._client = engine(socket)
        self._events = self._client.events(
            decode=True, filters={"type": "container", "event": action}, since=int(time.time())
        )
        self._heard: dict[str, tuple[float, float]] = {}
        self._news = threading.Condition()
        self._thread = threading.Thread(target=self._listen, daemon=True)
        self._thread.start()

    def _listen(self) -> None:
        with suppress(Exception):
            for event in self._events:
                now, attributes = time.time(), event["Actor"]["Attributes"]
                name = attributes.get(LABEL_UUID) or attributes["name"]
                with self._news:
                    self._heard[name] = (event["timeNano"] / 1e9, now)
                    self._heard[attributes["name"]] = (event["timeNano"] / 1e9, now)
                    self._news.notify_all()

    def of(self, name: str) -> tuple[float, float]:
        """The last event of a container, by uuid or name; waits for it a moment."""
        with self._news:
            self._news.wait_for(lambda: name in self._heard, 10)
            return self._heard[name]

    def forget(self, name: str) -> None:
        """Makes `of` wait for a new one."""
        with self._news:
            self._heard.pop(name, None)

    def close(self) -> None:
        """Ends listening."""
        with suppress(Exception):
            self._events.close()
        self._client.close()
