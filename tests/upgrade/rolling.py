"""A cloud of two hosts in which processes of two releases run at once, each by itself, over one schema."""

from __future__ import annotations

import itertools
import threading
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from tests.chaos.clients import Api, Client
from tests.chaos.run import Site, at_rest
from tests.support.cloud import Cloud
from tests.support.engine import PrivateEngine
from tests.support.house import eventually
from tests.support.images import FOREVER, NAME
from tests.support.parts import Part, Parts
from tests.support.releases import Release
from tests.support.service import free_port
from tests.support.verdict import Promise, complaints

from zun.model.operation import CLOSED, OperationState
from zun.store import schema

#: Of everything that is asked for here. Small, for the hosts are this machine.
SMALL = {"image": NAME, "command": FOREVER, "cpu": 0.1, "memory": "16"}
_STOP = "stop?timeout=10"


class Host:
    """A host: its engine, and the one agent that it has at a time, whatever its release."""

    def __init__(self, name: str, engine: PrivateEngine, folder: Path) -> None:
        self.name = name
        self.engine = engine
        self.state = folder / name
        self.agent: Part | None = None


class Rolling:
    """The cloud. `apis` are those that serve now; in `promises` is all that was accepted in the foreground."""

    def __init__(self, parts: Parts, keystone: Any, hosts: Sequence[Host], seed: int) -> None:
        self.parts = parts
        self.hosts = hosts
        self.cloud = Cloud(parts, keystone, rabbitmq=None)
        self.promises: list[Promise] = []
        self.db = sa.create_engine(parts.options["database"]["connection"], pool_pre_ping=True)
        self._stopping = threading.Event()
        self._urls: list[str] = []
        self.clients = [
            Client(n, Api(self._urls, self._member), seed + n, self._stopping) for n in range(2)
        ]
        self._made = 0

    def _member(self) -> dict[str, str]:
        return {"X-Auth-Token": self.cloud.token()}

    def close(self) -> None:
        """Ends the clients, whatever became of the test."""
        self._stopping.set()
        for client in self.clients:
            if client.thread.ident is not None:
                client.thread.join()
        self.db.dispose()

    # ---- processes

    def process(self, kind: str, release: Release) -> Part:
        """An API or a conductor; not started."""
        self._made += 1
        return self.parts.part(f"zun-{kind}", f"{kind}-{release.version}-{self._made}", release)

    def agent(self, host: Host, release: Release) -> Part:
        """The agent of a host from now on; not started."""
        self._made += 1
        host.agent = self.parts.part(
            "zun-compute", f"{host.name}-{release.version}-{self._made}", release,
            DEFAULT={"host": host.name, "state_path": host.state},
            docker={"api_url": host.engine.url, "default_timeout": 10},
            agent_streams={"port": free_port()},
        )  # fmt: skip
        return host.agent

    def serve(self, *apis: Part) -> None:
        """From now on these are asked, and no others."""
        self.cloud.apis[:] = apis
        self._urls[:] = [f"{api.url}/v1" for api in apis]

    def check(self, release: Release) -> tuple[int, str]:
        """`zun-status upgrade check` of a release."""
        return self.parts.run("zun-status", "upgrade", "check", release=release)

    # ---- what users do

    def accepted(self, action: str, method: str, path: str, body: Any = None, *, api: int) -> str:
        """The uuid of what an API has accepted."""
        status, answer = self.cloud.ask(
            method, f"/v1/containers{path}", body, api=api, role="admin"
        )
        assert status in (202, 204), (path, answer)
        uuid = answer["uuid"] if action == "create" else path.strip("/").partition("?")[0]
        uuid = uuid.partition("/")[0]
        self.promises.append(Promise(action=action, status=status, uuid=uuid))
        return uuid

    def create(self, host: Host, api: int) -> str:
        """A container that is to run on a host."""
        body = {**SMALL, "host": host.name}
        return self.accepted("create", "POST", "?run=true", body, api=api)

    def act(self, uuid: str, verb: str, api: int) -> None:
        """Has something done to a container."""
        self.accepted(verb.partition("?")[0], "POST", f"/{uuid}/{verb}", api=api)

    def delete(self, uuid: str, api: int) -> None:
        """Has it removed."""
        self.accepted("delete", "DELETE", f"/{uuid}?stop=true", api=api)

    def running(self, host: Host) -> str:
        """A container that runs there."""
        uuid = self.create(host, -1)
        self.cloud.until(uuid, "Running")
        return uuid

    def gone(self, uuid: str) -> None:
        """Waits until it is gone."""
        where = f"/v1/containers/{uuid}"
        eventually(lambda: self.cloud.ask("GET", where, role="admin")[0] == 404, f"{uuid} goes")

    def day(self) -> None:
        """All that users do of a day, on each host, by each API in turn."""
        with ThreadPoolExecutor(len(self.hosts)) as pool:
            list(pool.map(self._day, self.hosts, range(len(self.hosts))))

    def _day(self, host: Host, first: int) -> None:
        # Each wish by the API after the one before: what the one accepted the other has to understand.
        turns = itertools.cycle(range(len(self.cloud.apis)))
        for _ in range(first):
            next(turns)
        uuid = self.create(host, next(turns))
        self.cloud.until(uuid, "Running")
        for api in range(len(self.cloud.apis)):
            self._look_inside(uuid, api)
        for verb, status in ((_STOP, "Stopped"), ("start", "Running")):
            self.act(uuid, verb, next(turns))
            self.cloud.until(uuid, status)
        self.delete(uuid, next(turns))
        self.gone(uuid)

    def _look_inside(self, uuid: str, api: int) -> None:
        """A question by the queue, a command, and a byte stream."""
        where = f"/v1/containers/{uuid}"
        for method, path, wanted in (
            ("GET", "/logs", ""),
            ("POST", f"/execute?command=echo%20{api}here&run=true", f"{api}here"),
            ("GET", "/get_archive?path=/bin/busybox", "data"),
        ):
            status, answer = self.cloud.ask(method, where + path, api=api)
            assert status == 200 and wanted in str(answer), (path, status, str(answer)[:500])

    # ---- work that changes hands

    def hand_over(self, host: Host, release: Release) -> None:
        """An agent of `release` takes the place of the one before, in the middle of a create, a stop and a delete."""
        assert host.agent is not None
        stops, goes = self.running(host), self.running(host)
        claimant = f"compute:{host.name}"
        host.engine.freeze()
        try:
            comes = self.create(host, 0)
            self.act(stops, _STOP, -1)
            self.delete(goes, 0)
            mine = {comes, stops, goes}
            eventually(lambda: self._held_by(claimant) >= mine, f"{claimant} is at work on {mine}")
            # It could not end them in time, and says so.
            assert host.agent.stop() == 1
        finally:
            host.engine.thaw()
        assert self._open() >= mine
        self.agent(host, release).start()
        self.cloud.until(comes, "Running")
        self.cloud.until(stops, "Stopped")
        self.gone(goes)

    def _held_by(self, claimant: str) -> set[str]:
        table = schema.operations
        at_work = (table.c.claimed_by == claimant) & (table.c.state == OperationState.RUNNING)
        with self.db.connect() as conn:
            return set(conn.execute(sa.select(table.c.container_uuid).where(at_work)).scalars())

    def _open(self) -> set[str]:
        table = schema.operations
        query = sa.select(table.c.container_uuid).where(table.c.state.not_in(sorted(CLOSED)))
        with self.db.connect() as conn:
            return set(conn.execute(query).scalars())

    # ---- the end

    def begin_clients(self) -> None:
        """Users come."""
        for client in self.clients:
            client.thread.start()

    def verdict(self) -> list[str]:
        """What is wrong once users have gone and all is at rest."""
        self.close()
        promises = [*self.promises, *(p for client in self.clients for p in client.promises)]
        assert sum(promise.accepted for promise in promises) > len(self.promises)
        site = Site(
            apis=self._urls,
            headers=lambda number: self._member,
            admin=lambda: {"X-Auth-Token": self.cloud.token("admin")},
            database=self.parts.options["database"]["connection"],
            engines={host.name: host.engine.url for host in self.hosts},
            files={host.name: host.state / "files" for host in self.hosts},
            targets=(),
            ready=lambda: None,
            tend=lambda struck: None,
        )
        _, wrong = at_rest(site, lambda seen: complaints(seen, promises))
        return [*(line for client in self.clients for line in client.wrong), *wrong]
