"""Killing the service and looking at what is left: by its API, its database, the engine and the files."""

from __future__ import annotations

import json
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

from docker import APIClient
from docker.errors import NotFound
from tests.crash.scenarios import COUNTED, CREATE, Scenario
from tests.support.house import eventually
from tests.support.service import PYTHON, Service

from zun.model.image import COMMITTED
from zun.model.lifecycle import IN_TRANSIT, Status
from zun.model.names import LABEL_GENERATION, LABEL_HOST, LABEL_UUID, runtime_name
from zun.model.operation import CLOSED

ROOT = Path(__file__).parents[2]
_OPEN = (
    "SELECT action, state, position, steps, attempts, error, container_uuid FROM operations"
    " WHERE open_key IS NOT NULL OR state NOT IN (?, ?, ?)"
)
#: Points where nobody has an operation in hand: the request, one that has closed it.
_WITHOUT = ("accepted:", "settled:")
#: And those whose operation has gone on to the queue of a host.
_MOVED = ("recorded:create:place", "recorded:create:capsule_place")
_TO_RUNNING: dict[Status | None, str] = {
    Status.STOPPED: "start",
    Status.PAUSED: "unpause",
    Status.CREATED: "start",
}
_FROM_RUNNING = {Status.STOPPED: "stop?timeout=30", Status.PAUSED: "pause"}


class Victim(Service):
    """A service that dies on command, and the eyes to see what that left."""

    def __init__(self, folder: Path, client: APIClient, **options: Any) -> None:
        self.folder = folder
        self.client = client
        self.registries: dict[str, str] = {}  # what a scenario calls it -> its domain
        # Wide enough for a herd of containers that all stay at some point; and nothing is tidied up behind our back.
        wide = {"poll_interval": 0.5, "leftover_grace": 3600, "max_in_flight": 30}
        sections = {
            "conductor": {"max_in_flight": wide["max_in_flight"]},
            **options,
            "compute": {**wide, **options.get("compute", {})},
        }
        super().__init__(
            folder / "state", options=sections, command=(PYTHON, "-m", "tests.crash.victim")
        )
        self.disarm()

    # ---- the plan

    def arm(self, point: str, hits: int = 1) -> None:
        """Has it die when it reaches `point` ("*": any) for the `hits`-th time."""
        (self.folder / "died").unlink(missing_ok=True)
        self._plan({"die": point, "hits": hits})

    def park(self, points: Iterable[str]) -> None:
        """Has the first who reaches each point stay there."""
        (self.folder / "parked").unlink(missing_ok=True)
        self._plan({"park": list(points), "at": time.monotonic_ns()})

    def disarm(self) -> None:
        """Lets it live."""
        self._plan({})

    def _plan(self, plan: dict[str, Any]) -> None:
        new = self.folder / "plan.new"
        new.write_text(json.dumps(plan))
        new.rename(self.folder / "plan.json")

    @property
    def died(self) -> str | None:
        """The point it died at."""
        file = self.folder / "died"
        return file.read_text() if file.exists() else None

    @property
    def parked(self) -> Sequence[str]:
        """The points where somebody stays."""
        file = self.folder / "parked"
        return file.read_text().split() if file.exists() else []

    # ---- life

    def start(self, env: Any = None, *, wait: bool = True) -> None:
        """As `Service.start`."""
        own = {"ZUN_CRASH_PLAN": str(self.folder), "PYTHONPATH": str(ROOT)}
        super().start({**own, **(env or {})}, wait=wait)

    def again(self) -> None:
        """Lives again, unarmed, and works until nothing is open."""
        self.disarm()
        self.start()
        self.ended()

    def dies(self, point: str) -> None:
        """Waits for its death, which must be at `point`."""
        code = self.wait_dead()
        assert (code, self.died) == (-9, point), f"it did not die at {point}; see {self.log}"

    @property
    def answers(self) -> bool:
        """Whether anything answers requests."""
        return self.ask_or_die("GET", "/") is not None

    # ---- requests

    def ask_or_die(self, method: str, path: str, body: Any = None) -> tuple[int, Any] | None:
        """The answer, or None if it died before it gave one."""
        try:
            return self.ask(method, path, body)
        except OSError:
            return None

    def ask_all(self, requests: Sequence[tuple[str, str, Any]]) -> list[threading.Thread]:
        """Asks all at once, in threads that don't mind its death."""
        threads = [
            threading.Thread(target=self.ask_or_die, args=request, daemon=True)
            for request in requests
        ]
        for thread in threads:
            thread.start()
        return threads

    def request(self, scenario: Scenario, uuid: str | None) -> tuple[str, str, Any]:
        """Method, path and body of a scenario's request."""
        where = f"/v1/containers/{uuid}" if uuid else "/v1/containers"
        path = scenario.path.format(uuid=uuid, **self.registries)
        return scenario.method, where + path, scenario.body

    def must(self, method: str, path: str, body: Any = None) -> Any:
        """The answer's body; it must be a 2xx."""
        status, answer = self.ask(method, path, body)
        assert status < 300, (method, path, status, answer)
        return answer

    # ---- containers in a status

    def herd(self, number: int, status: Status) -> list[str]:
        """`number` containers that have `status`; those there are are taken first."""
        usable = {Status.RUNNING, *_TO_RUNNING}
        rows = self.rows("SELECT uuid, status FROM containers ORDER BY id")
        mine = [row["uuid"] for row in rows if row["status"] in usable][:number]
        while len(mine) < number:
            made = self.must("POST", "/v1/containers" + CREATE.path, CREATE.body)
            mine.append(made["uuid"])
        self.ended()
        for wanted in (Status.RUNNING, status):
            for uuid in mine:
                now = self.status(uuid)
                if now not in (wanted, status):
                    verb = _FROM_RUNNING[wanted] if now is Status.RUNNING else _TO_RUNNING[now]
                    self.must("POST", f"/v1/containers/{uuid}/{verb}")
            self.ended()
            for uuid in mine:
                self.begun(uuid)
        assert [self.status(uuid) for uuid in mine] == [status] * number
        return mine

    def begun(self, uuid: str) -> None:
        """Waits until the command of a running container has said so; the engine calls it running before."""

        def sleeps() -> bool:
            if self.status(uuid) is not Status.RUNNING:
                return True
            rows = self.client.top(runtime_name(uuid))["Processes"]
            return any("sleep" in row[-1].split()[0] for row in rows)

        eventually(sleeps, f"the command of {uuid} begins")

    def clear(self) -> None:
        """Removes all containers through the API; then nothing at all may be left."""
        for row in self.rows("SELECT uuid, status FROM containers"):
            if row["status"] == Status.PAUSED:
                self.must("POST", f"/v1/containers/{row['uuid']}/unpause")
        self.ended()
        for row in self.rows("SELECT uuid FROM containers WHERE capsule_uuid IS NULL"):
            self.must("DELETE", f"/v1/containers/{row['uuid']}?force=true")
        for row in self.rows("SELECT uuid FROM capsules"):
            self.must("DELETE", f"/v1/capsules/{row['uuid']}")
        self.ended()
        assert self.leftovers() == {}
        assert self.everything() == {}

    def destroy(self) -> None:
        """The end, whatever happened: no process, container or network of it stays."""
        self.kill()
        for host in self.rows(
            "SELECT uuid FROM hosts"
        ):  # a test may have started another on our state
            label = {"label": f"{LABEL_HOST}={host['uuid']}"}
            for container in self.client.containers(all=True, filters=label):
                self.client.remove_container(container["Id"], force=True, v=True)
            for network in self.client.networks(filters=label):
                self.client.remove_network(network["Id"])
        for image in self.images():
            self.client.remove_image(image, force=True)

    # ---- looking: the database

    def rows(self, query: str, *values: Any) -> list[sqlite3.Row]:
        """What the database file says, whether the service lives or not."""
        file = self.state / "zun.sqlite"
        if not file.exists():
            return []
        with closing(sqlite3.connect(file, timeout=30)) as conn:
            conn.row_factory = sqlite3.Row
            return conn.execute(query, values).fetchall()

    def open(self) -> list[str]:
        """The operations that have not ended."""
        return [" ".join(str(value) for value in row) for row in self.rows(_OPEN, *CLOSED)]

    def ended(self) -> None:
        """Waits until no operation is open."""
        self._patiently(lambda: self.dead or not self.open(), f"all operations end; see {self.log}")
        assert not self.dead, f"it died; see {self.log}"

    def dead_or_ended(self) -> None:
        """Waits until it dies, or nothing is open and it is healthy."""
        eventually(lambda: self.dead or (self.healthy and not self.open()), "it dies or is done")

    def hold_all(self, points: Sequence[str]) -> None:
        """Waits until somebody stays at each point."""
        self._patiently(
            lambda: sorted(self.parked) == sorted(points), f"all points are held: {points}"
        )
        self.settled_or_parked()

    def settled_or_parked(self) -> None:
        """Waits until every operation has ended or stays at a point."""

        def quiet() -> bool:
            parked = self.parked
            held = [p for p in parked if not p.startswith(_WITHOUT) and not p.endswith(_MOVED)]
            return len(held) == len(self.open()) and parked == self.parked

        self._patiently(quiet, f"all stay or end; parked {self.parked}, open {self.open()}")

    def _patiently(self, so: Callable[[], bool], why: str) -> None:
        """As `eventually`, with patience for as long as operations move on: a busy machine is no failure."""

        def pace() -> list[Any]:
            return [len(self.parked), *map(tuple, self.rows("SELECT MAX(id) FROM events"))]

        while not so():
            seen = pace()
            eventually(lambda seen=seen: so() or pace() != seen, why)  # type: ignore[misc]

    def status(self, uuid: str) -> Status | None:
        """The status in the row; None if it is gone."""
        found = self.rows("SELECT status FROM containers WHERE uuid = ?", uuid)
        return Status(found[0]["status"]) if found else None

    def newest(self) -> str:
        """The uuid of the container that came last."""
        uuid: str = self.rows("SELECT uuid FROM containers ORDER BY id DESC LIMIT 1")[0]["uuid"]
        return uuid

    def last_operation(self, uuid: str, *actions: str) -> sqlite3.Row:
        """The newest operation of a container, of one of the actions if any are named."""
        found = self.rows(
            "SELECT * FROM operations WHERE container_uuid = ? ORDER BY id DESC", uuid
        )
        return next(row for row in found if not actions or row["action"] in actions)

    # ---- looking: the engine and the files

    def _mine(self) -> dict[str, Any]:
        hosts = self.rows("SELECT uuid FROM hosts")
        return {"label": f"{LABEL_HOST}={hosts[0]['uuid'] if hosts else 'none'}"}

    def on_engine(self) -> list[dict[str, Any]]:
        """All containers of ours."""
        found: list[dict[str, Any]] = self.client.containers(all=True, filters=self._mine())
        return found

    def inspect(self, uuid: str) -> dict[str, Any] | None:
        """What the engine says of a container."""
        try:
            found: dict[str, Any] = self.client.inspect_container(runtime_name(uuid))
        except NotFound:
            return None
        return found

    def events(self, uuid: str, since: float) -> dict[str, int]:
        """How often the engine did what to a container."""
        events: Any = self.client.events  # typed for whole seconds only
        stream = events(
            since=f"{since:.6f}",
            until=f"{time.time():.6f}",
            filters={"type": "container", "label": f"{LABEL_UUID}={uuid}"},
            decode=True,
        )
        return dict(Counter(event["Action"] for event in stream if event["Action"] in COUNTED))

    def runs(self, uuid: str) -> int:
        """How often the container's command has begun."""
        file = self.state / "files" / uuid / "0"
        return len(file.read_text().split()) if file.exists() else 0

    def ran(self, uuid: str, times: int) -> bool:
        """Whether the command has begun exactly so often; a shell that was just started is waited for."""
        eventually(lambda: self.runs(uuid) >= times, f"the command of {uuid} begins {times} times")
        return self.runs(uuid) == times

    def files(self) -> list[str]:
        """The containers that have files."""
        folder = self.state / "files"
        return sorted(path.name for path in folder.iterdir()) if folder.exists() else []

    def engine_networks(self) -> list[str]:
        """The networks of ours the engine has."""
        found = self.client.networks(filters=self._mine())
        return sorted(network["Labels"][LABEL_UUID] for network in found)

    def images(self) -> list[str]:
        """What the engine calls the images that were made of our containers, in whatever place."""
        projects = self.rows("SELECT project_id FROM project_usage")
        owners = [f"{COMMITTED}/{row['project_id']}/" for row in projects]
        domains = [f"{domain}/crash/" for domain in self.registries.values()]
        names = [tag for image in self.client.images() for tag in image["RepoTags"] or ()]
        return sorted(name for name in names if name.startswith((*owners, *domains)))

    # ---- the verdict

    def everything(self) -> dict[str, Any]:
        """Whatever there is at all."""
        found: dict[str, Any] = {
            table: [dict(row) for row in self.rows(f"SELECT * FROM {table}")]  # noqa: S608
            for table in ("containers", "capsules", "operations", "claims", "ports", "networks")
        }
        found["on the engine"] = [c["Names"] for c in self.on_engine()]
        found["engine networks"] = self.engine_networks()
        found["files"] = self.files()
        found["claimed"] = [
            dict(row)
            for row in self.rows(
                "SELECT cpu_used, mem_used, disk_used, total_containers FROM hosts"
                " WHERE cpu_used <> 0 OR mem_used <> 0 OR disk_used <> 0 OR total_containers <> 0"
            )
        ]
        return {what: it for what, it in found.items() if it}

    def leftovers(self) -> dict[str, Any]:
        """What is there of nobody, or should have ended; {} when all is well."""
        query = "SELECT uuid, host, status FROM {} "
        both = query.format("containers") + "UNION ALL " + query.format("capsules")
        rows = {row["uuid"]: row for row in self.rows(both)}
        placed = {uuid for uuid, row in rows.items() if row["host"]}
        on_engine = Counter(c["Labels"][LABEL_UUID] for c in self.on_engine())
        claims = {row["container_uuid"]: row for row in self.rows("SELECT * FROM claims")}
        ports = self.rows("SELECT container_uuid, network_uuid FROM ports")
        networks = {row["uuid"] for row in self.rows("SELECT uuid FROM networks")}
        # Of the others, that a user made, the record stays.
        own = {row["uuid"] for row in self.rows("SELECT uuid FROM networks WHERE name = 'default'")}
        images = {
            f"{row['repo']}:{row['tag']}" for row in self.rows("SELECT repo, tag FROM images")
        }
        used = self.rows("SELECT mem_used, total_containers FROM hosts")
        sums = [(sum(c["memory"] for c in claims.values()), len(claims))]
        found: dict[str, Any] = {
            "open operations": self.open(),
            "in transit": [u for u, r in rows.items() if Status(r["status"]) in IN_TRANSIT],
            "containers of nobody": sorted(set(on_engine) - placed),
            "doubled containers": [uuid for uuid, number in on_engine.items() if number > 1],
            "claims of nobody": sorted(set(claims) - placed),
            "ports of nobody": sorted({p["container_uuid"] for p in ports} - placed),
            "networks of nobody": sorted(own - {p["network_uuid"] for p in ports}),
            "images of nobody": sorted(set(self.images()) - images),
            "images that never came": [
                row["repo"] for row in self.rows("SELECT repo FROM images WHERE image_id IS NULL")
            ],
            "engine networks of nobody": sorted(set(self.engine_networks()) - networks),
            "files of nobody": sorted(set(self.files()) - placed),
            "wrong sums": [] if [tuple(row) for row in used] in (sums, []) else [*used, sums],
        }
        return {what: it for what, it in found.items() if it}

    def check(self, scenario: Scenario, uuid: str) -> None:
        """A container on which the scenario was done, however often it was cut short."""
        assert self.leftovers() == {}
        if scenario.after is None:
            assert self.show(uuid) is None
            assert self.inspect(uuid) is None
            return
        shown = self.show(uuid)
        assert shown is not None
        operation = self.last_operation(uuid)
        ended = (shown["status"], shown["task_state"], operation["state"], operation["error"])
        if scenario.fails_at:
            assert ended[:3] == (scenario.after, None, "failed"), ended
            assert shown["status_reason"] == operation["error"] != "", ended
            if scenario.after is Status.ERROR:
                assert self.inspect(uuid) is None
                return
        else:
            assert ended == (scenario.after, None, "done", None)
        self.check_one(uuid, scenario.networks)

    def check_one(self, uuid: str, networks: int = 1) -> None:
        """Exactly one container of this row, whole."""
        raw = self.inspect(uuid)
        assert raw is not None
        row = self.rows("SELECT * FROM containers WHERE uuid = ?", uuid)[0]
        maker = self.last_operation(uuid, "create", "rebuild")
        assert raw["Config"]["Labels"][LABEL_GENERATION] == maker["uuid"]
        assert row["container_id"] == raw["Id"]
        assert raw["RestartCount"] == 0
        assert uuid in self.files()
        mine = self.rows("SELECT address FROM ports WHERE container_uuid = ?", uuid)
        assert len(mine) == len(json.loads(row["addresses"])) == networks
        asked = [
            n["IPAMConfig"]["IPv4Address"] for n in raw["NetworkSettings"]["Networks"].values()
        ]
        assert sorted(asked) == sorted(port["address"] for port in mine)
        [claim] = self.rows("SELECT * FROM claims WHERE container_uuid = ?", uuid)
        given = (raw["HostConfig"]["NanoCpus"] / 1e9, raw["HostConfig"]["Memory"] >> 20)
        assert (row["cpu"], row["memory"]) == (claim["cpu"], claim["memory"]) == given
