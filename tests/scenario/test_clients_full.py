"""Every command of the official clients, both of them unmodified: what each prints, and what the engine then has.

Where a client itself is broken (contract 12) the test pins what our side answers on the wire.
"""

from __future__ import annotations

import importlib
import json
import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

import docker
import pytest
from tests.support.clients import Clients, Ended, Identity
from tests.support.house import eventually
from tests.support.images import FOREVER, NAME, ensure_busybox
from tests.support.registry import Registry
from tests.support.service import Service

from zun.model.names import network_name, new_uuid, runtime_name

pytestmark = pytest.mark.engine

IMAGE = f"{NAME}:latest"
OPENSTACK, ZUN = "openstack", "zun"
DOCS = Path(__file__).parents[2] / "docs/how-to"

#: Entry point of the OpenStack client -> command of `zun`, for all that is run here. None: it has none.
HERE: dict[str, str | None] = {
    "appcontainer_create": "create",
    "appcontainer_run": "run",
    "appcontainer_list": "list",
    "appcontainer_show": "show",
    "appcontainer_delete": "delete",
    "appcontainer_rebuild": "rebuild",
    "appcontainer_restart": "restart",
    "appcontainer_stop": "stop",
    "appcontainer_start": "start",
    "appcontainer_pause": "pause",
    "appcontainer_unpause": "unpause",
    "appcontainer_logs": "logs",
    "appcontainer_exec": "exec",
    "appcontainer_kill": "kill",
    "appcontainer_set": "update",
    "appcontainer_top": "top",
    "appcontainer_cp": "cp",
    "appcontainer_stats": "stats",
    "appcontainer_commit": "commit",
    "appcontainer_add_security_group": "add-security-group",
    "appcontainer_remove_security_group": "remove-security-group",
    "appcontainer_network_attach": "network-attach",
    "appcontainer_network_detach": "network-detach",
    "appcontainer_network_list": "network-list",
    "appcontainer_action_list": "action-list",
    "appcontainer_action_show": "action-show",
    "appcontainer_image_pull": "pull",
    "appcontainer_image_list": "image-list",
    "appcontainer_image_show": "image-show",
    "appcontainer_image_delete": "image-delete",
    "appcontainer_image_search": "image-search",
    "appcontainer_host_list": "host-list",
    "appcontainer_host_show": "host-show",
    "appcontainer_service_list": "service-list",
    "appcontainer_service_disable": "service-disable",
    "appcontainer_service_enable": "service-enable",
    "appcontainer_service_forcedown": "service-force-down",
    "appcontainer_service_delete": "service-delete",
    "appcontainer_availability_zone_list": "availability-zone-list",
    "appcontainer_quota_class_get": "quota-class-get",
    "appcontainer_quota_class_update": "quota-class-update",
    "appcontainer_quota_default": "quota-defaults",
    "appcontainer_quota_delete": "quota-delete",
    "appcontainer_quota_get": "quota-get",
    "appcontainer_quota_update": "quota-update",
    "appcontainer_registry_create": "registry-create",
    "appcontainer_registry_delete": "registry-delete",
    "appcontainer_registry_list": "registry-list",
    "appcontainer_registry_show": "registry-show",
    "appcontainer_registry_update": "registry-update",
    "capsule_create": "capsule-create",
    "capsule_delete": "capsule-delete",
    "capsule_list": "capsule-list",
    "capsule_show": "capsule-describe",
}
#: Commands that only `zun` has.
ZUN_ONLY = {"rename", "version-list"}

#: Commands that need a terminal: test_interactive.py runs them, and `run -i`, `exec -i`, under either client.
ON_A_TERMINAL = {"appcontainer_attach": "attach"}
#: Commands that speak to Neutron and, of us, only ask for the container.
NEEDS_NEUTRON = {"appcontainer_add_floating_ip", "appcontainer_remove_floating_ip"}


def test_every_entry_point_is_in_one_table() -> None:
    installed = {e.name for e in entry_points(group="openstack.container.v1")}
    assert len(installed) == 57
    assert set(HERE) | set(ON_A_TERMINAL) | NEEDS_NEUTRON == installed
    assert not set(HERE) & set(ON_A_TERMINAL)


def test_every_command_of_zun_is_in_one_table() -> None:
    package = importlib.import_module("zunclient.v1")
    shells = [m.name for m in pkgutil.iter_modules(package.__path__) if m.name.endswith("_shell")]
    modules = [importlib.import_module(f"zunclient.v1.{name}") for name in shells]
    installed = {
        name.removeprefix("do_").replace("_", "-")
        for module in modules
        for name in vars(module)
        if name.startswith("do_")
    }
    known = {command for command in HERE.values() if command} | set(ON_A_TERMINAL.values())
    assert known | ZUN_ONLY == installed


@dataclass
class Bench:
    """A service, the clients pointed at it, and the engine's own view."""

    service: Service
    clients: Clients
    engine: docker.APIClient
    zun_options: tuple[str, ...]
    program: str = OPENSTACK
    used: set[str] = field(default_factory=set)

    def run(self, command: str, *argv: str) -> Ended:
        """Runs a command by its entry point's name, under whichever client this is."""
        self.used.add(f"{self.program} {command}")
        if self.program == ZUN:
            name = HERE.get(command) or command
            return self.clients.run(ZUN, *self.zun_options, name, *argv)
        group, *words = command.split("_")
        return self.clients.run(OPENSTACK, group, *words, *argv)

    def out(self, command: str, *argv: str) -> str:
        """What it printed; it must have ended well."""
        group = "" if command.startswith("capsule_") else "appcontainer_"
        ended = self.run(f"{group}{command}", *argv)
        assert ended.code == 0, ended
        assert "ERROR" not in ended.err, ended
        return ended.out

    def start(self, *words: str) -> tuple[str, str]:
        """Name and uuid of a container that runs, through the client."""
        name = f"box-{new_uuid()[:8]}"
        command = words or FOREVER
        self.out("run", "--name", name, "--cpu", "0.1", "--memory", "32", IMAGE, *command)
        uuid = self.wire("GET", f"containers/{name}")["uuid"]
        self.service.until(uuid, "Running", "Stopped")
        return name, uuid

    def wire(self, method: str, path: str, body: Any = None, version: str = "1.40") -> Any:
        """What our side answers, without any client."""
        status, answer = self.service.ask(method, f"/v1/{path}", body, version=version)
        assert status < 300, answer
        return answer

    def raw(self, uuid: str) -> dict[str, Any]:
        found: dict[str, Any] = self.engine.inspect_container(runtime_name(uuid))
        return found

    def idle(self, uuid: str) -> dict[str, Any]:
        """The container once nothing is under way."""

        def shown() -> dict[str, Any] | None:
            now = self.service.show(uuid)
            return now if now and not now["task_state"] else None

        answer: dict[str, Any] = eventually(shown)
        return answer

    def remove(self, name: str, uuid: str) -> None:
        self.out("delete", "--force", name)
        self.service.gone(uuid)


@pytest.fixture(scope="module")
def _bench(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bench]:
    engine = docker.APIClient(version="auto")
    ensure_busybox(engine)
    options = {
        "api": {"auth_strategy": "noauth"},
        "compute": {"heartbeat_interval": 5},
        "quota": {"driver": "DbQuotaDriver", "containers": 40, "cpu": 200},
        "docker_network": {"subnet_pool": "10.203.0.0/16"},
    }
    service = Service(tmp_path_factory.mktemp("clients") / "state", options=options)
    service.start()
    identity = Identity()
    endpoint = f"http://127.0.0.1:{service.port}/v1"
    clients = Clients({"OS_AUTH_TYPE": "none", "OS_ENDPOINT": endpoint})
    zun = (
        "--os-username", "admin", "--os-password", "x", "--os-project-name", "admin",
        "--os-user-domain-name", "Default", "--os-project-domain-name", "Default",
        "--os-auth-url", identity.url, "--bypass-url", endpoint,
    )  # fmt: skip
    yield Bench(service, clients, engine, zun)
    for row in service.ask("GET", "/v1/capsules?all_projects=true")[1]["capsules"]:
        service.ask("DELETE", f"/v1/capsules/{row['uuid']}")
        eventually(lambda u=row["uuid"]: service.ask("GET", f"/v1/capsules/{u}")[0] == 404)
    for row in service.ask("GET", "/v1/containers?all_projects=true")[1]["containers"]:
        service.ask("DELETE", f"/v1/containers/{row['uuid']}?force=true")
        service.gone(row["uuid"])
    clients.close()
    identity.close()
    service.stop()
    engine.close()


@pytest.fixture(params=[OPENSTACK, ZUN])
def bench(_bench: Bench, request: pytest.FixtureRequest) -> Bench:
    _bench.program = request.param
    return _bench


@pytest.fixture(scope="module")
def registry(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Registry]:
    registry = Registry(tmp_path_factory.mktemp("registry"))
    yield registry
    registry.close()


def test_create_list_show_start_and_delete(bench: Bench) -> None:
    name = f"box-{new_uuid()[:8]}"
    printed = bench.out("create", "--name", name, "--cpu", "0.1", "--memory", "32", IMAGE, *FOREVER)
    assert name in printed
    uuid = bench.wire("GET", f"containers/{name}")["uuid"]
    bench.service.until(uuid, "Created")
    assert bench.raw(uuid)["State"]["Status"] == "created"
    assert uuid in bench.out("list")
    assert "Created" in bench.out("show", name)
    bench.out("start", name)
    bench.service.until(uuid, "Running")
    assert bench.raw(uuid)["State"]["Running"]
    refused = bench.run("appcontainer_delete", name)
    assert "Running" in refused.out + refused.err
    bench.out("delete", "--stop", name)
    bench.service.gone(uuid)
    assert not bench.engine.containers(all=True, filters={"name": runtime_name(uuid)})


def test_the_life_of_a_container_and_its_records(bench: Bench) -> None:
    name, uuid = bench.start()
    for command, status, words in (
        ("pause", "Paused", ()),
        ("unpause", "Running", ()),
        ("stop", "Stopped", ()),
        ("start", "Running", ()),
        ("restart", "Running", ()),
        ("kill", "Stopped", ()),
        ("rebuild", "Created", ()),
        ("start", "Running", ()),
        ("kill", "Running", ("--signal", "WINCH")),
    ):
        printed = bench.out(command, *words, name)
        assert "failed" not in printed, printed
        bench.idle(uuid)
        bench.service.until(uuid, status)
        engine = bench.raw(uuid)["State"]["Status"]
        assert engine == {"Stopped": "exited"}.get(status, status.lower())
    listed = bench.out("action_list", name)
    for action in ("create", "pause", "unpause", "stop", "start", "reboot", "kill", "rebuild"):
        assert action in listed
    newest = bench.wire("GET", f"containers/{name}/container_actions")["containerActions"][0]
    shown = bench.out("action_show", name, newest["request_id"])
    assert "compute__do_container_kill" in shown
    bench.remove(name, uuid)


def test_logs_and_exec(bench: Bench) -> None:
    name, uuid = bench.start("sh", "-c", f"echo hello; {FOREVER[2]}")
    eventually(lambda: "hello" in bench.out("logs", name))
    assert "42" in bench.out("exec", name, "sh", "-c", "echo $((6*7))")
    bench.remove(name, uuid)


def test_set_changes_the_size_of_one_that_runs(bench: Bench) -> None:
    name, uuid = bench.start()
    printed = bench.out("set", "--cpu", "0.2", "--memory", "64", name)
    assert "64" in printed and "0.2" in printed
    config = bench.raw(uuid)["HostConfig"]
    assert (config["NanoCpus"], config["Memory"]) == (200_000_000, 64 * 2**20)
    assert bench.raw(uuid)["State"]["Running"]
    host = bench.wire("GET", "hosts")["hosts"][0]
    assert (host["cpu_used"], host["mem_used"]) == (0.2, 64)
    bench.wire("POST", f"containers/{uuid}/resize_container?memory=32")
    eventually(lambda: bench.raw(uuid)["HostConfig"]["Memory"] == 32 * 2**20)
    too_much = bench.run("appcontainer_set", "--memory", "8192000", name)
    assert "memory" in too_much.out + too_much.err
    bench.remove(name, uuid)


def test_top_and_stats(bench: Bench) -> None:
    name, uuid = bench.start("sh", "-c", "while :; do :; done")
    broken = bench.run("appcontainer_top", name)
    assert "unsupported operand" in broken.err + broken.out, (
        "the client has been mended: look at it"
    )
    wire = bench.wire("GET", f"containers/{name}/top?ps_args=None")
    assert "PID" in wire["Titles"] and len(wire["Processes"]) == 1
    printed = bench.out("stats", name)
    for key in (
        "CONTAINER", "CPU %", "MEM USAGE(MiB)", "MEM LIMIT(MiB)", "MEM %", "BLOCK I/O(B)", "NET I/O(B)",
    ):  # fmt: skip
        assert key in printed
    usage = bench.wire("GET", f"containers/{name}/stats")
    assert 2 < usage["CPU %"] < 30, "a tenth of a CPU, kept busy"
    assert usage["MEM LIMIT(MiB)"] == 32
    assert 0 < usage["MEM USAGE(MiB)"] < 32
    bench.remove(name, uuid)


def test_files_are_copied_in_and_out(bench: Bench, tmp_path: Path) -> None:
    name, uuid = bench.start()
    content = bytes(range(256)) * 1000
    (tmp_path / "in").write_bytes(content)
    bench.out("cp", str(tmp_path / "in"), f"{name}:/tmp")
    (tmp_path / "back").mkdir()
    bench.out("cp", f"{name}:/tmp/in", str(tmp_path / "back"))
    assert (tmp_path / "back/in").read_bytes() == content
    for words in ((f"{name}:/no/such", str(tmp_path)), (str(tmp_path / "in"), f"{name}:/no/such")):
        missing = bench.run("appcontainer_cp", *words)
        assert "HTTP 400" in missing.err + missing.out, missing
    bench.remove(name, uuid)


def addresses_printed(bench: Bench, name: str) -> str:
    """What network-list prints; the OpenStack client can't format what it got, so there it is the wire's answer."""
    ended = bench.run("appcontainer_network_list", name)
    if bench.program == ZUN:
        assert ended.code == 0, ended
        return ended.out
    assert "Invalid formatter" in ended.err, "the client has been mended: look at what it prints"
    return json.dumps(bench.wire("GET", f"containers/{name}/network_list"))


def test_networks_come_and_go(bench: Bench) -> None:
    blue = f"blue-{new_uuid()[:8]}"
    made = bench.wire("POST", "networks", {"name": blue})
    name, uuid = bench.start()
    (default,) = bench.wire("GET", f"containers/{name}/network_list")["networks"]
    assert default["fixed_ips"][0]["ip_address"] in addresses_printed(bench, name)
    assert "accepted" in bench.out("network_attach", "--network", blue, name)
    shown = bench.idle(uuid)
    address = shown["addresses"][made["uuid"]][0]["addr"]
    assert address in addresses_printed(bench, name)
    inside = bench.wire("POST", f"containers/{name}/execute?command=ip+addr")["output"]
    assert address in inside
    engine = bench.raw(uuid)["NetworkSettings"]["Networks"]
    assert engine[network_name(made["uuid"])]["IPAddress"] == address
    assert "accepted" in bench.out("network_detach", "--port", default["port_id"], name)
    assert set(bench.idle(uuid)["addresses"]) == {made["uuid"]}
    assert "accepted" in bench.out("network_detach", "--network", blue, name)
    bench.idle(uuid)
    bench.out("restart", name)
    assert bench.service.until(uuid, "Running")["addresses"] == {}
    assert set(bench.raw(uuid)["NetworkSettings"]["Networks"]) == {"none"}
    bench.remove(name, uuid)
    assert bench.service.ask("DELETE", f"/v1/networks/{made['neutron_net_id']}") == (204, None)


def test_commit_and_a_container_of_the_image(bench: Bench) -> None:
    name, uuid = bench.start()
    bench.out("exec", name, "touch", "/tmp/kept")
    repository = f"mine-{new_uuid()[:8]}"
    printed = bench.out("commit", name, f"{repository}:v1")
    assert "accepted" in printed
    (image,) = [i for i in bench.wire("GET", "images")["images"] if i["repo"] == repository]
    assert image["uuid"] in printed
    eventually(lambda: bench.wire("GET", f"images/{image['uuid']}")["image_id"])
    assert bench.raw(uuid)["State"]["Status"] == "running"
    assert bench.wire("GET", f"containers/{name}")["status"] == "Running"
    assert not bench.engine.images(name=f"{repository}:v1"), "only in its project's place"
    made = bench.wire(
        "POST", "containers?run=true",
        {"image": f"{repository}:v1", "cpu": 0.1, "memory": 32, "image_pull_policy": "never",
         "command": ["sh", "-c", "test -e /tmp/kept && sleep 100000"]},
    )  # fmt: skip
    bench.service.until(made["uuid"], "Running")
    bench.remove(made["name"], made["uuid"])
    bench.remove(name, uuid)
    assert image["uuid"] in bench.out("image_list")
    bench.out("image_delete", image["uuid"])
    eventually(lambda: bench.service.ask("GET", f"/v1/images/{image['uuid']}")[0] == 404)


def test_images_are_pulled_listed_and_removed(bench: Bench, registry: Registry) -> None:
    name = f"{bench.program}/busybox"
    registry.push(bench.engine, IMAGE, name, "1")
    repo = f"{registry.domain}/{name}"
    host = bench.wire("GET", "hosts")["hosts"][0]["hostname"]
    assert repo in bench.out("image_pull", f"{repo}:1", host)
    (image,) = [i for i in bench.wire("GET", "images")["images"] if i["repo"] == repo]
    shown = eventually(lambda: (i := bench.wire("GET", f"images/{image['uuid']}"))["size"] and i)
    assert shown["image_id"] in bench.out("image_show", image["uuid"])
    assert repo in bench.out("image_list")
    assert bench.engine.images(name=repo)
    again = bench.run("appcontainer_image_pull", f"{repo}:1", host)
    assert "HTTP 409" in again.err + again.out
    bench.out("image_delete", image["uuid"])
    eventually(lambda: bench.service.ask("GET", f"/v1/images/{image['uuid']}")[0] == 404)
    assert not bench.engine.images(name=repo)


def test_search_reaches_us_also_with_slashes_in_the_name(bench: Bench, registry: Registry) -> None:
    """No public registry is reached from here, and this one has no search: the way there is what is tested."""
    ended = bench.run("appcontainer_image_search", f"{registry.domain}/me/app")
    assert "HTTP 400" in ended.err + ended.out, ended
    assert "offers no search" in ended.err + ended.out


def test_security_groups_are_refused_by_version_and_by_word(bench: Bench) -> None:
    name, uuid = bench.start()
    for verb in ("add", "remove"):
        ended = bench.run(f"appcontainer_{verb}_security_group", name, "default")
        assert "HTTP 406" in ended.err + ended.out, ended
        path = f"/v1/containers/{name}/{verb}_security_group?name=default"
        status, body = bench.service.ask("POST", path, version="1.14")
        assert status == 400
        assert "Neutron" in body["errors"][0]["title"]
    bench.remove(name, uuid)


def test_hosts_and_services(bench: Bench) -> None:
    host = bench.wire("GET", "hosts")["hosts"][0]
    assert host["hostname"] in bench.out("host_list")
    assert host["kernel_version"] in bench.out("host_show", host["hostname"])
    assert "zun-compute" in bench.out("service_list")


def test_services_are_disabled_forced_down_and_forgotten(bench: Bench) -> None:
    host = bench.wire("GET", "hosts")["hosts"][0]["hostname"]
    one = (host, "zun-compute")

    def service() -> dict[str, Any] | None:
        found: list[dict[str, Any]] = bench.wire("GET", "services")["services"]
        return found[0] if found else None

    assert host in bench.out("service_disable", "--reason", "broken", *one)
    shown = service()
    assert shown is not None
    assert (shown["disabled"], shown["disabled_reason"]) == (True, "broken")
    assert host in bench.out("service_enable", *one)
    assert (service() or {})["disabled"] is False
    assert host in bench.out("service_forcedown", *one)
    assert (service() or {})["state"] == "down"
    bench.out("service_forcedown", "--unset", *one)
    bench.out("service_delete", *one)
    # Its agent lives, and says so with its next beat.
    eventually(lambda: (service() or {}).get("state") == "up", "the service comes back")
    assert "nova" in bench.out("availability_zone_list")


def test_quotas_are_set_shown_and_forgotten(bench: Bench) -> None:
    project = "11111111111111111111111111111111"
    bench.out("quota_update", "--containers", "7", "--cpu", "3", project)
    assert bench.wire("GET", f"quotas/{project}")["containers"] == 7
    assert "7" in bench.out("quota_get", project)
    assert "40" in bench.out("quota_default", project)
    bench.out("quota_delete", project)
    assert bench.wire("GET", f"quotas/{project}")["containers"] == 40
    bench.out("quota_class_update", "--disk", "123", "gold")
    assert "123" in bench.out("quota_class_get", "gold")


def test_registries_are_made_changed_and_removed(bench: Bench) -> None:
    name = f"mine-{new_uuid()[:8]}"
    made = bench.out(
        "registry_create", "--name", name, "--username", "me", "--password", "s3cret-word",
        "--domain", "registry.example.com",
    )  # fmt: skip
    assert "s3cret-word" not in made
    assert name in bench.out("registry_list")
    uuid = bench.wire("GET", f"registries/{name}")["registry"]["uuid"]
    assert "registry.example.com" in bench.out("registry_show", uuid)
    bench.out("registry_update", "--domain", "other.example.com", uuid)
    shown = bench.wire("GET", f"registries/{uuid}")["registry"]
    assert (shown["domain"], shown["password"]) == ("other.example.com", "***")
    bench.out("registry_delete", uuid)
    assert bench.service.ask("GET", f"/v1/registries/{uuid}")[0] == 404


def test_capsules_from_create_to_delete(bench: Bench, tmp_path: Path) -> None:
    template = (DOCS / "capsule.yaml").read_text().replace("image: busybox", f"image: {IMAGE}")
    name = f"pair-{new_uuid()[:8]}"
    file = tmp_path / "capsule.yaml"
    file.write_text(template.replace("name: pair", f"name: {name}"))
    option = "--file" if bench.program == OPENSTACK else "--template-file"
    bench.out("capsule_create", option, str(file))

    def shown() -> dict[str, Any]:
        found: dict[str, Any] = bench.wire("GET", f"capsules/{name}")
        return found

    one = eventually(lambda: (s := shown())["status"] not in ("Creating",) and s)
    assert (one["status"], one["status_reason"]) == ("Running", None)
    web, neighbour = one["containers"]
    (init,) = one["init_containers"]
    assert (init["status"], web["status"], neighbour["status"]) == ("Stopped", "Running", "Running")
    # They share an address and localhost: what the web server says reaches the neighbour's output.
    eventually(lambda: b"hello" in bench.engine.logs(runtime_name(neighbour["uuid"])))
    ((address,),) = one["addresses"].values()
    assert (
        bench.raw(one["uuid"])["NetworkSettings"]["Networks"][
            network_name(next(iter(one["addresses"])))
        ]["IPAddress"]
        == address["addr"]
    )
    for printed in (bench.out("capsule_list"), bench.out("capsule_show", name)):
        assert name in printed and "Running" in printed and address["addr"] in printed
    assert web["uuid"] not in bench.out("list")
    missing = bench.run("capsule_show", "nosuch")
    assert "There is no capsule nosuch" in missing.err + missing.out
    assert "accepted" in bench.out("capsule_delete", name)
    eventually(lambda: bench.service.ask("GET", f"/v1/capsules/{one['uuid']}")[0] == 404)
    for part in (one, web, neighbour, init):
        assert not bench.engine.containers(all=True, filters={"name": runtime_name(part["uuid"])})


def test_rename_is_gone_from_the_negotiated_version(_bench: Bench) -> None:
    _bench.program = ZUN
    name, uuid = _bench.start()
    ended = _bench.run("rename", name, f"{name}-new")
    assert "HTTP 406" in ended.err
    _bench.wire("POST", f"containers/{uuid}/rename?name={name}-new", version="1.13")
    _bench.remove(f"{name}-new", uuid)


def test_version_list(_bench: Bench) -> None:
    _bench.program = ZUN
    ended = _bench.run("version-list")
    assert ended.code == 0, ended
    assert "1.40" in ended.out


def test_every_command_was_run(_bench: Bench) -> None:
    wanted = {f"{OPENSTACK} {entry}" for entry in HERE}
    wanted |= {f"{ZUN} {entry}" for entry, command in HERE.items() if command}
    wanted |= {f"{ZUN} {command}" for command in ZUN_ONLY}
    assert json.dumps(sorted(wanted - _bench.used)) == "[]"
