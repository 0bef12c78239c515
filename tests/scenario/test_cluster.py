"""A cluster on one machine through the official client: placed, reached, removed on every host; and it goes whole."""

from __future__ import annotations

import base64
import os
import random
import signal
import stat
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from docker import APIClient
from tests.chaos.clients import Answer, Api
from tests.chaos.run import Site, look
from tests.chaos.site import site_of
from tests.support import images
from tests.support.cluster import HOSTS, Cluster, User, workbench
from tests.support.house import eventually
from tests.support.proxying import read_until
from tests.support.rawstreams import files_of, tar_of
from tests.support.verdict import complaints
from websockets.sync.client import ClientConnection, connect
from websockets.typing import Subprotocol

from zun.model.names import LABEL_UUID

pytestmark = pytest.mark.engine

SCRIPT = "trap 'exit 0' TERM; echo I am $(hostname); while :; do sleep 100 & wait $!; done"


@pytest.fixture(scope="module")
def user(cluster: Cluster) -> Iterator[User]:
    """A member of the first project."""
    made = User(cluster)
    yield made
    made.close()


@pytest.fixture(scope="module")
def admin(cluster: Cluster) -> Iterator[User]:
    """An administrator."""
    made = User(cluster, "zun-cluster-admin")
    yield made
    made.close()


def _run(user: User, name: str, *options: str) -> dict[str, Any]:
    small = ["--cpu", "0.1", "--memory", "32"]
    words = ["--name", name, *small, *options, "busybox", "sh", "-c", SCRIPT]
    made: dict[str, Any] = user.json("run", *words)
    return made


def _refused(user: User, name: str, *options: str) -> str:
    ended = user.run("run", "--name", name, *options, "busybox")
    assert ended.code != 0
    return ended.err


def test_containers_are_spread_and_reached_on_every_host(
    cluster: Cluster, user: User, admin: User
) -> None:
    # Not evenly to the last one: each conductor chooses by a copy of the hosts, and weighs how busy they are, too.
    hosts: dict[str, str] = {}
    uuids: list[str] = []
    while set(hosts.values()) != set(cluster.hosts):
        name = f"spread-{len(hosts)}"
        assert len(hosts) < 10 * HOSTS, f"a host is left out: {hosts}"
        uuids.append(_run(user, name)["uuid"])
        user.until(name, "Running")
        hosts[name] = admin.json("show", uuids[-1])["host"]
    names = list(hosts)

    for name, uuid in zip(names, uuids, strict=True):
        with cluster.engine(hosts[name]) as engine:
            assert engine.inspect_container(f"zun-{uuid}")["State"]["Running"]
        assert user.text("exec", name, "echo", f"hello {name}").strip() == f"hello {name}"
        eventually(lambda n=name: "I am" in user.text("logs", n), f"{name} has spoken")
    shown = {host["hostname"]: host for host in admin.json("host list")}
    assert sorted(shown) == cluster.hosts

    for name in names:
        user.text("delete", "--stop", name)
    for name in names:
        user.gone(name)
    for host in cluster.hosts:
        with cluster.engine(host) as engine:
            assert engine.containers(all=True) == []


def test_a_host_can_be_chosen(cluster: Cluster, user: User, admin: User) -> None:
    wanted = cluster.hosts[-1]
    assert "does not allow" in _refused(user, "chosen", "--host", wanted)
    _run(admin, "chosen", "--host", wanted)
    assert admin.until("chosen", "Running")["host"] == wanted
    user.text("stop", "chosen")
    user.until("chosen", "Stopped")
    user.text("start", "chosen")
    user.until("chosen", "Running")
    user.text("delete", "--stop", "chosen")
    user.gone("chosen")


def test_projects_and_roles(cluster: Cluster, user: User) -> None:
    _run(user, "private")
    user.until("private", "Running")
    for cloud, sees, may in (
        ("zun-cluster-demo-reader", True, False),
        ("zun-cluster-alt-member", False, True),
    ):
        other = User(cluster, cloud)
        try:
            assert (other.run("show", "private").code == 0) is sees
            made = other.run(
                "create", "--cpu", "0.1", "--memory", "32", "--name", "theirs", "busybox"
            )
            assert (made.code == 0) is may, made
            if may:
                other.until("theirs", "Created")
                other.text("delete", "theirs")
                other.gone("theirs")
        finally:
            other.close()
    user.text("delete", "--stop", "private")
    user.gone("private")


def test_one_api_one_conductor_and_a_compute_may_die(cluster: Cluster, admin: User) -> None:
    parts = cluster.parts
    _run(admin, "there", "--host", "host-2")
    admin.until("there", "Running")
    for name in ("compute-host-2", "api-2", "conductor-1"):
        assert parts.member(name).kill()
    # Accepted while nobody is there to do it: it is done when somebody is.
    admin.text("stop", "there")
    _run(admin, "elsewhere", "--host", "host-1")
    admin.until("elsewhere", "Running")
    assert "does not run" in cluster.command("status", check=False)

    cluster.command("up")
    admin.until("there", "Stopped")
    for name in ("there", "elsewhere"):
        admin.text("delete", "--stop", name)
        admin.gone(name)


def test_a_host_that_is_silent(cluster: Cluster, user: User, admin: User) -> None:
    """Its containers are Unknown, with a reason; when it comes back they are what they were."""
    _run(admin, "silent", "--host", "host-3")
    uuid = admin.until("silent", "Running")["uuid"]
    with cluster.engine("host-3") as engine:
        before = engine.inspect_container(f"zun-{uuid}")["State"]["StartedAt"]
    cluster.command("kill", "compute-host-3")
    shown = admin.until("silent", "Unknown")
    assert "host-3" in shown["status_reason"]
    down = {s["Host"]: s["State"] for s in admin.json("service list")}
    assert down["host-3"] == "down"

    cluster.command("start", "compute-host-3")
    admin.until("silent", "Running")
    with cluster.engine("host-3") as engine:
        assert engine.inspect_container(f"zun-{uuid}")["State"]["StartedAt"] == before
    admin.text("delete", "--stop", "silent")
    admin.gone("silent")


def test_a_host_that_is_declared_down_loses_what_may_move(
    cluster: Cluster, user: User, admin: User
) -> None:
    """It is made anew elsewhere; when the host returns, what it still runs goes before anything else, for good."""
    wish = ["--restart", "always", "--hint", "on_host_failure=recreate"]
    uuid = _run(user, "moves", *wish)["uuid"]
    user.until("moves", "Running")
    first = admin.json("show", uuid)["host"]
    _run(admin, "stays", "--host", first)
    admin.until("stays", "Running")
    cluster.command("cut", first)
    try:
        admin.text("service", "forcedown", first, "zun-compute")

        def elsewhere() -> bool:
            shown = admin.json("show", uuid)
            return shown["host"] not in (first, None) and shown["status"] == "Running"

        eventually(elsewhere, f"{uuid} runs on another host")
        assert admin.json("show", "stays")["status"] == "Unknown"
    finally:
        cluster.command("heal", first)
    admin.text("service", "forcedown", "--unset", first, "zun-compute")
    admin.until("stays", "Running")
    eventually(
        lambda: _standing(cluster, uuid) == [admin.json("show", uuid)["host"]], "one is left"
    )
    for name in (uuid, "stays"):
        admin.text("delete", "--stop", name)
        admin.gone(name)


@dataclass(frozen=True)
class _Caretaker:
    """An administrator who takes care of a host, by HTTP: the official client has no commands for it."""

    site: Site
    host: str

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """The answer's body; it must be a good one."""
        answer = self._ask(method, path, body)
        assert answer.status in (200, 202, 204), (method, path, answer)
        return answer.body

    def found(self, path: str) -> Any:
        """What is at the path; None if nothing is."""
        answer = self._ask("GET", path)
        return None if answer.status == 404 else answer.body

    def _ask(self, method: str, path: str, body: Any = None) -> Answer:
        api = Api(self.site.apis, self.site.admin)
        return api.ask(method, path, body, OpenStack_API_Version="container 1.48")

    def service(self, verb: str, host: str) -> None:
        """PUT /services/VERB."""
        self.ask("PUT", f"/services/{verb}?host={host}&binary=zun-compute")

    def until(self, path: str, status: str, **so: Any) -> dict[str, Any]:
        """What is at the path, once it has the status and is so."""
        last: list[Any] = []

        def is_so() -> bool:
            last[:] = [self.ask("GET", path)]
            wanted = {"status": status, **so}
            return {k: last[0][k] for k in wanted} == wanted and not last[0].get("task_state")

        eventually(is_so, f"{path} becomes {status} {so}, is {last}")
        found: dict[str, Any] = last[0]
        return found

    def make(self, **body: Any) -> str:
        """A small container, started; its path."""
        small = {"image": "busybox", "command": ["sh", "-c", SCRIPT], "cpu": 0.1, "memory": 16}
        return f"/containers/{self.ask('POST', '/containers?run=true', {**small, **body})['uuid']}"

    def pair(self) -> str:
        """A capsule of two; its path."""
        box = {"image": "busybox", "command": ["sh", "-c", SCRIPT]}
        box |= {"resources": {"requests": {"cpu": 0.1, "memory": 16}}}
        spec = {"containers": [box, box]}
        wanted = {"template": {"kind": "capsule", "metadata": {"name": "pair"}, "spec": spec}}
        return f"/capsules/{self.ask('POST', '/capsules', wanted)['uuid']}"

    def all_is_well(self, *but: str) -> None:
        """Rows, claims, quotas and every engine agree, soon; nothing is complained of but this."""
        db, found = sa.create_engine(self.site.database), [""]

        def agree() -> bool:
            found[:] = complaints(look(self.site, db))
            return {line.partition(":")[0] for line in found} == {*but}

        try:
            eventually(agree, str(found))
        finally:
            db.dispose()
            print(found)


def test_a_host_is_drained_maintained_removed_and_comes_back(cluster: Cluster) -> None:
    """With CPUs that are one container's own. All the way the engines, the claims and the quotas agree."""
    *others, host = cluster.hosts
    care, parts = _Caretaker(site_of(cluster), host), cluster.parts
    config = parts.etc / f"compute-{host}.conf"
    plain = config.read_text()
    assert parts.member(f"compute-{host}").kill()
    config.write_text(f"{plain}\n[compute]\nenable_cpu_pinning = true\n")
    for other in others:
        care.service("disable", other)
    cluster.command("start", f"compute-{host}")
    eventually(lambda: care.ask("GET", f"/hosts/{host}")["dedicated_cpus"], "it has CPUs to give")

    movable = care.make(restart_policy={"Name": "always"}, hints={"on_host_failure": "recreate"})
    own, pair = care.make(cpu=1, cpu_policy="dedicated"), care.pair()
    for path in (movable, own, pair):
        care.until(path, "Running", host=host)
    cpus = care.ask("GET", f"/hosts/{host}")["dedicated_cpus_used"]
    with cluster.engine(host) as engine:
        given = [_cpus(engine, path) for path in (own, movable)]
    assert given == [",".join(map(str, cpus)), "0"]
    assert len(cpus) == 1
    care.all_is_well()

    for other in others:
        care.service("enable", other)
    care.ask("POST", f"/hosts/{host}/drain?reason=old")
    eventually(lambda: care.ask("GET", movable)["host"] in others, "it is moved")
    new = care.until(movable, "Running")["host"]
    assert _standing(cluster, Path(movable).name) == [new]
    for path in (own, pair):
        care.until(path, "Running", host=host)
    care.all_is_well()

    care.ask("POST", f"/hosts/{host}/maintenance?reason=new+disks")
    refused = care.until(care.make(host=host), "Error")
    assert "1 in maintenance" in refused["status_reason"]
    care.ask("DELETE", f"/containers/{refused['uuid']}")
    assert parts.member(f"compute-{host}").kill()
    care.ask("PUT", f"/services/force_down?host={host}&binary=zun-compute&forced_down=true")
    care.ask("DELETE", f"/hosts/{host}?force=true")
    for path in (own, pair):
        assert f"Host {host} was removed" in care.until(path, "Error", host=None)["status_reason"]
    # Its engine runs on, with what is nobody's by now; and has nothing of what is claimed.
    care.all_is_well("orphan")

    config.write_text(plain)
    cluster.command("start", f"compute-{host}")
    care.all_is_well()
    back = eventually(lambda: care.found(f"/hosts/{host}"), "it is let in")
    assert (back["state"], back["mode"], back["total_containers"]) == ("up", "enabled", 0)
    assert (back["cpu_used"], back["mem_used"], back["dedicated_cpus_used"]) == (0, 0, [])
    with cluster.engine(host) as engine:
        assert engine.containers(all=True) == []
    for path in (movable, own):
        care.ask("DELETE", f"{path}?force=true")
    care.ask("DELETE", pair)
    eventually(lambda: care.found(movable) is None, "it goes")
    care.all_is_well()


def _cpus(engine: APIClient, path: str) -> str:
    found = engine.inspect_container(f"zun-{Path(path).name}")["HostConfig"]["CpusetCpus"]
    return str(found)


def _standing(cluster: Cluster, uuid: str) -> list[str]:
    """The hosts on whose engines a container is."""
    found = []
    for host in cluster.hosts:
        with cluster.engine(host) as engine:
            if engine.containers(all=True, filters={"label": f"{LABEL_UUID}={uuid}"}):
                found.append(host)
    return found


def test_a_session_on_every_host(cluster: Cluster, admin: User) -> None:
    """Through the one proxy to the agent of each host."""
    for host in cluster.hosts:
        name = f"shell-{host}"
        options = ["--cpu", "0.1", "--memory", "32", "--host", host, "--interactive"]
        made = admin.run("create", "--name", name, *options, "busybox", "sh")
        assert made.code == 0, made
        admin.until(name, "Created")
        admin.text("start", name)
        uuid = admin.until(name, "Running")["uuid"]
        with _attached(cluster.attach_url(uuid)) as session:
            session.send(b"echo on $((20 + 22))\n")
            assert b"on 42" in read_until(session, b"on 42")
        admin.text("delete", "--force", uuid)  # a shell does not end when it is told to
        admin.gone(uuid)


def _attached(url: str) -> ClientConnection:
    return connect(
        url, subprotocols=[Subprotocol("binary")], proxy=None, compression=None, open_timeout=60
    )


def test_files_of_another_host_whatever_their_size(cluster: Cluster, admin: User) -> None:
    """More than any message carries; and of what goes out the API never has much in memory."""
    size, host = 64 * 1024 * 1024, cluster.hosts[1]
    content = random.Random(3).randbytes(size)
    _run(admin, "files", "--host", host)
    uuid = admin.until("files", "Running")["uuid"]
    data = base64.b64encode(tar_of("f", content)).decode()
    path = f"containers/{uuid}/put_archive?path=/tmp"
    assert cluster.call("POST", path, {"data": data}) is None
    resting = cluster.rest_memory("api")
    got = cluster.call("GET", f"containers/{uuid}/get_archive?path=/tmp/f")
    grown = {pid: most - resting[pid] for pid, most in cluster.most_memory("api").items()}
    assert files_of(base64.b64decode(got["data"])) == {"f": content}
    assert max(grown.values()) < size // 2, grown
    admin.text("delete", "--stop", "files")
    admin.gone("files")


def test_status_and_logs_tell(cluster: Cluster) -> None:
    said = cluster.command("status")
    for host in cluster.hosts:
        assert f"compute-{host}" in said
    assert "does not" not in said
    assert "works" in cluster.command("logs", "conductor-1")
    assert "there is no process 'nonsense'" in cluster.command("logs", "nonsense", check=False)


def test_nothing_is_open_to_others(cluster: Cluster) -> None:
    """Files with secrets are 0600; what we started listens on loopback and on the cluster's addresses alone."""
    parts = cluster.parts
    secret = [*parts.etc.iterdir(), cluster.state / "cluster.json", cluster.state / "clouds.yaml"]
    secret += [*cluster.state.glob("openrc*"), cluster.clouds_yaml]
    for file in secret:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600, file
    pids = {str(pid) for pid in parts.processes()}
    ours = []
    for line in subprocess.run(
        ["ss", "-Htulnp"], capture_output=True, text=True, check=True
    ).stdout.splitlines():
        if pids & set(word.split(",")[0] for word in line.split("pid=")[1:]):
            ours.append(line.split()[4].rpartition(":")[0])
    assert parts.address in ours
    assert set(ours) <= {parts.address, "127.0.0.1", "[::1]"}, ours


def test_down_finds_everything_after_everything_was_killed(tmp_path: Path) -> None:
    """Two hosts, one with a container, all of it killed and the memory lost: nothing of them stays."""
    cluster = workbench.Cluster(
        Path("/tmp") / f"zc{os.getpid()}", tmp_path, workbench.Memory(hosts=2)
    )
    cluster.make_state()
    try:
        assert cluster.begin_hosts() == 2
        for host in cluster.hosts:
            host.await_engine()
            host.load(images.busybox_tar())
        assert cluster.begin_hosts() == 0  # once more, and nothing happens
        _sleeper(cluster.hosts[0].engine.path)
        assert len(cluster.hosts[0].processes()) == 1
        for pid in cluster.processes():
            if pid not in cluster.hosts[0].processes():
                os.kill(pid, signal.SIGKILL)
        (cluster.state / "cluster.json").unlink()
    finally:
        again = workbench.Cluster(cluster.state, tmp_path, workbench.Memory(hosts=1))
        again.remove()
    assert again.leftovers() == {}


def _sleeper(socket: str) -> None:
    """A container that nobody but its engine knows."""
    client = APIClient(f"unix://{socket}", version="auto", timeout=60)
    try:
        client.start(client.create_container("busybox", ["sleep", "10000"])["Id"])
    finally:
        client.close()
