"""The API as a client sees it, over the real use cases on SQLite; hosts only answer questions, nothing runs.

Everything goes through `api.request`, which compares each answer with the OpenAPI document; what backs the
application is decided in `_house` alone.
"""

from __future__ import annotations

import io
import shutil
import uuid as uuids
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from json import dumps
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote_to_bytes, urlencode
from wsgiref.validate import validator

import orjson
import pytest
import sqlalchemy as sa
from tests.support.conformance import Conformance
from tests.support.house import Rig, running
from tests.support.rows import host_image

from zun.api.app import build_app
from zun.api.middleware.noauth import NoAuth
from zun.api.policies.enforcer import Enforcer
from zun.api.settings import ApiSettings
from zun.bus import Refused, Why
from zun.bus.local import LocalBus
from zun.model.container import Container
from zun.model.host import Host, Inventory
from zun.model.image import HostImage
from zun.model.lifecycle import Status
from zun.model.names import new_uuid
from zun.model.network import Network
from zun.model.quota import amounts_of
from zun.service.capsules import Capsules
from zun.service.containers import Containers
from zun.service.health import Health
from zun.service.hosts import Hosts
from zun.service.house import Services
from zun.service.images import Images
from zun.service.inside import Inside
from zun.service.intents import Intents
from zun.service.networks import Networks
from zun.service.queries import ArchiveStat
from zun.service.questions import Questions
from zun.service.quotas import Quotas
from zun.service.registries import Registries
from zun.service.sessions import Sessions
from zun.service.settings import QuotaSettings, ServiceSettings
from zun.store import containers, hosts, images, migrate, networks, quotas, schema
from zun.store.database import Database
from zun.work.clock import utcnow
from zun.work.secrets import Secrets

HOST = "host1.example.com"
SUBNETS = [f"10.201.{number}.0/24" for number in range(256)]


@dataclass(frozen=True)
class Result:
    """One answer; header names in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)

    @property
    def error(self) -> dict[str, Any]:
        """The one error of the common body, its shape checked (contract 7)."""
        assert self.headers["content-type"].startswith("application/json")
        assert list(self.json) == ["errors"]
        (error,) = self.json["errors"]
        keys = {"request_id", "code", "status", "title", "detail", "links"}
        assert keys <= set(error) <= keys | {"min_version", "max_version"}, error
        assert error["request_id"] == ""
        assert error["status"] == self.status
        assert error["title"]
        return error


@dataclass
class Api:
    """A client of one application, and hands on the database behind it."""

    app: Any
    db: Database
    settings: ApiSettings
    conformance: Conformance
    answers: dict[str, Any] = field(default_factory=dict)
    health: dict[str, Callable[[], str]] = field(default_factory=dict)

    def request(
        self,
        method: str,
        path: str,
        *,
        json: Any = None,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        query: str | Mapping[str, Any] = "",
        version: str | None = "1.40",
        user: str = "alice",
        project: str = "p1",
        roles: str = "member",
        environ: Mapping[str, Any] | None = None,
        validate: bool = True,
    ) -> Result:
        sent = body if body is not None else b"" if json is None else dumps(json).encode()
        env: dict[str, Any] = {
            "REQUEST_METHOD": method,
            "SCRIPT_NAME": "",
            "PATH_INFO": unquote_to_bytes(path).decode("latin-1"),
            "QUERY_STRING": query if isinstance(query, str) else urlencode(query),
            "SERVER_NAME": "127.0.0.1",
            "SERVER_PORT": "9517",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "HTTP_HOST": "zun.test:9517",
            "wsgi.version": (1, 0),
            "wsgi.url_scheme": "http",
            "wsgi.input": io.BytesIO(sent),
            "wsgi.errors": io.StringIO(),
            "wsgi.multithread": True,
            "wsgi.multiprocess": False,
            "wsgi.run_once": False,
            "HTTP_X_USER_ID": user,
            "HTTP_X_PROJECT_ID": project,
            "HTTP_X_ROLES": roles,
        }
        if sent:
            env["CONTENT_LENGTH"] = str(len(sent))
        if json is not None:
            env["CONTENT_TYPE"] = "application/json"
        if version is not None:
            env["HTTP_OPENSTACK_API_VERSION"] = f"container {version}"
        for name, value in (headers or {}).items():
            key = name.upper().replace("-", "_")
            env[key if key in ("CONTENT_TYPE", "CONTENT_LENGTH") else f"HTTP_{key}"] = value
        env.update(environ or {})
        return self._call({k: v for k, v in env.items() if v is not None}, validate)

    def _call(self, env: dict[str, Any], validate: bool) -> Result:
        seen: dict[str, Any] = {}

        def start_response(
            status: str, headers: list[tuple[str, str]], exc_info: Any = None
        ) -> Any:
            seen["status"], seen["headers"] = status, headers
            return lambda data: None

        app = validator(self.app) if validate else self.app
        answer = app(env, start_response)
        body = b"".join(answer)
        if hasattr(answer, "close"):
            answer.close()
        names = [name.lower() for name, _ in seen["headers"]]
        assert len(names) == len(set(names)), names
        headers = {name.lower(): value for name, value in seen["headers"]}
        assert headers["x-openstack-request-id"].startswith("req-")
        status = int(seen["status"].split()[0])
        wrong = self.conformance.breaches(
            env["REQUEST_METHOD"], env["PATH_INFO"], status, headers, body
        )
        breaches = list(wrong)
        assert not breaches, f"{env['REQUEST_METHOD']} {env['PATH_INFO']}, {status}: {breaches}"
        return Result(status, headers, body)

    def get(self, path: str, **kwargs: Any) -> Result:
        return self.request("GET", path, **kwargs)

    def post(self, path: str, **kwargs: Any) -> Result:
        return self.request("POST", path, **kwargs)

    def seed(self, **values: Any) -> Container:
        """A row as if its create had ended."""
        defaults: dict[str, Any] = {
            "uuid": new_uuid(),
            "name": "web",
            "project_id": "p1",
            "user_id": "alice",
            "image": "busybox",
            "image_driver": "docker",
            "status": Status.RUNNING,
            "cpu": 1.0,
            "memory": 512,
            "host": HOST,
            "container_id": "c" * 64,
            "created_at": utcnow(),
        }
        row = Container(**{**defaults, **values})
        with self.db.write() as conn:
            containers.insert(conn, row)
            quotas.count(conn, row.project_id, amounts_of(row))
        return row

    def seed_host(self, hostname: str = HOST) -> None:
        inventory = Inventory(
            cpus=4, mem_total=8192, disk_total=100, architecture="x86_64", os_type="linux",
            os="Debian", kernel_version="6.1", labels={"rack": "1"}, runtimes=["runc"],
        )  # fmt: skip
        row = Host(uuid=new_uuid(), hostname=hostname, inventory=inventory, availability_zone="",
                   cpus=4.0, memory=8192, disk=100)  # fmt: skip
        with self.db.write() as conn:
            hosts.register(conn, row, utcnow())

    def seed_image(self, repo: str) -> HostImage:
        """A row as if its pull had ended."""
        row = host_image(
            project_id="p1", user_id="alice", host=HOST, repo=repo, image_id="sha256:" + "0" * 64
        )
        with self.db.write() as conn:
            images.insert(conn, row)
        return row

    def seed_network(self, name: str, *members: Container, project_id: str = "p1") -> Network:
        """A network of the project, with a port of each of the `members`."""
        with self.db.write() as conn:
            made = networks.create(conn, project_id, name, SUBNETS, utcnow())
            assert made is not None
            for row in members:
                networks.ensure_port(conn, made, row.uuid)
        return made

    def counts(self) -> tuple[int, int, int]:
        """Rows of containers, operations and events."""
        with self.db.read() as conn:
            tables = (schema.containers, schema.operations, schema.events)
            return tuple(  # type: ignore[return-value]
                conn.execute(sa.select(sa.func.count()).select_from(table)).scalar_one()
                for table in tables
            )


class Files:
    """One file in every container."""

    def get(self, container: Container, path: str, sink: Callable[[bytes], None]) -> ArchiveStat:
        sink(b"text")
        return ArchiveStat(
            name="file", size=4, mode=0o644, mtime="2026-01-01T00:00:00Z", link_target=""
        )

    def put(self, container: Container, path: str, source: BinaryIO) -> None:
        source.read()


def _house(db: Database, answers: dict[str, Any], health: dict[str, Any]) -> Services:
    # The tests fill one project with whatever they need; those of quotas set limits themselves.
    settings = ServiceSettings(
        quota=QuotaSettings(containers=-1, cpu=-1, memory=-1, disk=-1),
        subnet_pool=SUBNETS,
    )
    bus = LocalBus()
    bus.answer(HOST, answers)
    intents = Intents(db, bus, utcnow, settings.operation_seconds)
    return Services(
        containers=Containers(db, bus, intents, settings, utcnow),
        capsules=Capsules(db, intents, settings, utcnow),
        inside=Inside(Questions(db, bus, settings), Files()),
        sessions=Sessions(db, bus, settings, utcnow),
        networks=Networks(db, intents, settings, utcnow),
        images=Images(db, bus, intents, settings, utcnow),
        hosts=Hosts(db, utcnow, settings),
        quotas=Quotas(db, settings.quota),
        registries=Registries(db, Secrets(["0123456789abcdef" * 2]), utcnow),
        health=Health(health),
    )


@cache
def _conformance(settings: ApiSettings, hiding: bool) -> Conformance:
    return Conformance.of(settings, hiding=hiding)


def _answers(asked: dict[str, Any]) -> dict[str, Any]:
    def logs(arguments: Mapping[str, Any], _seconds: float) -> bytes:
        asked["logs"] = arguments
        return b"hello \xff\n"

    def execute(arguments: Mapping[str, Any], _seconds: float) -> dict[str, Any]:
        asked["execute"] = arguments
        return {"output": b"root\xff\n", "exit_code": 3, "stdout": b"root\xff\n", "stderr": b""}

    def make_exec(arguments: Mapping[str, Any], _seconds: float) -> str:
        asked["make_exec"] = arguments
        return uuids.uuid4().hex * 2

    def resize_exec(arguments: Mapping[str, Any], _seconds: float) -> None:
        asked["resize_exec"] = arguments
        if arguments["exec_id"] == "0" * 64:
            raise Refused(Why.NOT_FOUND, "the container has no such command")

    usage = {
        "cpu": 0.25, "memory": 2**20, "memory_limit": 2**26, "received": 1, "sent": 2, "read": 3, "written": 4,
    }  # fmt: skip
    return {
        "logs": logs,
        "execute": execute,
        "make_exec": make_exec,
        "resize": lambda arguments, seconds: asked.update(resize=arguments),
        "resize_exec": resize_exec,
        "top": lambda arguments, seconds: {"titles": ["PID", "CMD"], "rows": [["1", "sleep 5"]]},
        "stats": lambda arguments, seconds: usage,
        "image_search": lambda arguments, seconds: [{"name": arguments["term"]}],
    }


@pytest.fixture(scope="session")
def empty_database(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("api") / "empty.sqlite"
    db = Database(f"sqlite:///{path}")
    migrate.upgrade(db)
    db.close()
    return path


Maker = Callable[..., Api]


@pytest.fixture(scope="session")
def make_api(empty_database: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Maker]:
    """Builds an application on a database of its own."""
    opened: list[Database] = []

    def make(
        *,
        authenticate: Any = NoAuth,
        settings: ApiSettings | None = None,
        policy: str | None = None,
        services: Callable[[Services], Services] = lambda services: services,
    ) -> Api:
        directory = tmp_path_factory.mktemp("house")
        shutil.copy(empty_database, directory / "zun.sqlite")
        db = Database(f"sqlite:///{directory / 'zun.sqlite'}")
        opened.append(db)
        policy_file = directory / "policy.yaml"
        if policy is not None:
            policy_file.write_text(policy)
        asked: dict[str, Any] = {}
        health: dict[str, Callable[[], str]] = {"database": lambda: "fine"}
        house = services(_house(db, _answers(asked), health))
        chosen = settings or ApiSettings(max_limit=100, max_body=65536, wsproxy_port=6784)
        enforcer = Enforcer(policy_file=policy_file)
        app = build_app(house, chosen, authenticate, enforcer)
        hiding = any(rule in (policy or "") for rule in (":get_one:", "capsule:get:"))
        conformance = _conformance(chosen, hiding)
        return Api(app, db, chosen, conformance, asked, health)

    yield make
    for db in opened:
        db.close()


@pytest.fixture
def api(make_api: Maker) -> Iterator[Api]:
    made = make_api()
    yield made
    made.db.close()  # thousands of tests would have more files open than a process may


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[Rig]:
    """A whole service that works, on the fakes."""
    with running(tmp_path) as rig:
        yield rig


def front_of(rig: Rig) -> Api:
    """A client of a service that works."""
    settings = ApiSettings(
        max_body=65536, max_archive=256 * 1024, image_drivers=("docker",), wsproxy_port=6784
    )
    app = build_app(rig.house.services, settings, NoAuth)
    return Api(app, rig.db, settings, _conformance(settings, False))


@pytest.fixture
def lively(rig: Rig) -> Api:
    """A client of it."""
    return front_of(rig)
