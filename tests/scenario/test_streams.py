"""Long-lived answers of a real service on a real engine."""

from __future__ import annotations

import http.client
import resource
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any
from urllib.parse import quote

import docker
import pytest
from tests.support import images
from tests.support.house import eventually
from tests.support.service import Service
from tests.support.streaming import Reply, ask, close_all, follow

pytestmark = pytest.mark.engine

C = "/v1/containers"
LOG_MEGABYTES = 1024  # of the engine: some 25 s


@pytest.fixture(scope="module")
def engine() -> Iterator[docker.APIClient]:
    client = docker.APIClient(base_url="unix:///var/run/docker.sock", version="auto")
    images.ensure_busybox(client)
    yield client
    client.close()


@pytest.fixture(scope="module")
def service(
    tmp_path_factory: pytest.TempPathFactory, engine: docker.APIClient
) -> Iterator[Service]:
    made = Service(tmp_path_factory.mktemp("streams") / "state", options={"streams": {"port": 0}})
    made.start()
    yield made
    if made.dead:
        made.start()
    for row in made.ask("GET", C)[1]["containers"]:
        made.ask("DELETE", f"{C}/{row['uuid']}?force=true")
        made.gone(row["uuid"])
    made.stop()


@pytest.fixture(autouse=True)
def closing() -> Iterator[None]:
    yield
    close_all()


def headers(service: Service) -> dict[str, str]:
    return {"Authorization": service._authorization(), "OpenStack-API-Version": "container latest"}


def get(service: Service, path: str) -> Reply:
    return follow(f"http://127.0.0.1:{service.port}", "GET", path, headers(service))


def run(service: Service, *command: str, **fields: Any) -> str:
    body = {
        "image": images.NAME,
        "image_pull_policy": "never",
        "command": list(command),
        "memory": 64,
        **fields,
    }
    status, made = service.ask("POST", f"{C}?run=true", body, version="1.45")
    assert status == 202, made
    return str(made["uuid"])


def test_from_a_create_to_its_end(service: Service) -> None:
    with get(service, "/v1/events") as told:
        told.cursor()
        uuid = run(service, "sh", "-c", "for i in 1 2 3; do echo line $i; sleep 0.3; done; exit 3")
        waited = get(service, f"{C}/{uuid}?wait=Running,Stopped,Error&timeout=60")
        assert waited.headers["zun-waited-for"] in ("Running", "Stopped")
        waited.close()
        with get(service, f"{C}/{uuid}/logs?follow=true&timestamps=false") as log:
            assert log.answer.readline() == b"line 1\n"
            assert log.answer.read() == b"line 2\nline 3\n"
        ended = get(service, f"{C}/{uuid}?wait=Stopped&timeout=60").json()
        assert (ended["status"], ended["exit_code"]) == ("Stopped", 3)
        statuses = []
        for event in told.events():
            statuses.append((event.data["detail"] or {}).get("status"))
            if statuses[-1] == "Stopped":
                break
        assert [status for status in statuses if status] == ["Creating", "Running", "Stopped"]
    assert get(service, f"{C}/{uuid}/logs?follow=true").body() == b"line 1\nline 2\nline 3\n"


def rss(service: Service) -> int:
    status = Path(f"/proc/{service.pid}/status").read_text()
    return int(status.split("VmRSS:")[1].split()[0]) // 1024


def test_a_long_log_costs_no_memory(service: Service) -> None:
    script = f"dd if=/dev/zero bs=1M count={LOG_MEGABYTES} 2>/dev/null | tr '\\0' x | fold -w 999"
    uuid = run(service, "sh", "-c", script)
    get(service, f"{C}/{uuid}?wait=Running,Stopped&timeout=30").close()
    before, most, size = rss(service), 0, 0
    with get(service, f"{C}/{uuid}/logs?follow=true") as log:
        while piece := log.answer.read(1 << 20):
            size += len(piece)
            most = max(most, rss(service))
    lines = -(-LOG_MEGABYTES * 1024 * 1024 // 999)
    assert size == LOG_MEGABYTES * 1024 * 1024 + lines - 1
    assert most - before < 30
    # A gigabyte of disk: not to be kept for the others.
    service.ask("DELETE", f"{C}/{uuid}?force=true")
    service.gone(uuid)


@pytest.mark.parametrize("tty", [False, True])
def test_last_words_without_a_newline(service: Service, tty: bool) -> None:
    uuid = run(service, "sh", "-c", "echo one; sleep 0.3; echo -n two", tty=tty)
    get(service, f"{C}/{uuid}?wait=Running,Stopped&timeout=30").close()
    told = get(service, f"{C}/{uuid}/logs?follow=true").body()
    assert told == (b"one\r\ntwo" if tty else b"one\ntwo")


def test_a_terminal_s_log(service: Service) -> None:
    uuid = run(service, "sh", "-c", "echo one; sleep 0.5; echo two", tty=True)
    get(service, f"{C}/{uuid}?wait=Running,Stopped&timeout=30").close()
    assert get(service, f"{C}/{uuid}/logs?follow=true").body() == b"one\r\ntwo\r\n"


def test_a_command_dies_with_its_client(service: Service, engine: docker.APIClient) -> None:
    uuid = run(service, "sleep", "600")
    get(service, f"{C}/{uuid}?wait=Running&timeout=30").close()
    base = f"http://127.0.0.1:{service.port}"
    path = f"{C}/{uuid}/execute?timeout=600&command="
    done = follow(base, "POST", path + quote("sh -c 'sleep 1; echo hi; exit 4'"), headers(service))
    found = done.json()
    assert (found["output"], found["exit_code"], found["stdout"]) == ("hi\n", 4, "hi\n")

    def running() -> bool:
        return any("987" in " ".join(row) for row in engine.top(f"zun-{uuid}")["Processes"])

    sent = ask(base, "POST", path + quote("sleep 987"), headers(service))
    location = sent.headers["location"].removeprefix("http://127.0.0.1:")
    port, _, there = location.partition("/")
    conn = http.client.HTTPConnection("127.0.0.1", int(port))
    conn.request("POST", f"/{there}")
    eventually(running)
    conn.close()
    eventually(lambda: not running())


def test_short_requests_go_on_beside_a_thousand_connections(service: Service) -> None:
    """Descriptors above 1,023, which select() does not know."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(hard, 4096)), hard))
    with get(service, "/v1/events") as told:
        port = told.conn.port
    socks = [socket.create_connection(("127.0.0.1", port)) for _ in range(1100)]
    try:
        eventually(lambda: len(list(Path(f"/proc/{service.pid}/fd").iterdir())) > 1100)
        for _ in range(20):
            assert service.ask("GET", C)[0] == 200
    finally:
        for sock in socks:
            sock.close()


def test_fifty_creates_with_one_key(service: Service) -> None:
    body = {
        "image": images.NAME,
        "image_pull_policy": "never",
        "command": ["sleep", "600"],
        "memory": 16,
    }

    def create(_: int) -> Any:
        return service.ask("POST", C, body, version="1.45", Idempotency_Key="fifty")

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(create, range(50)))
    assert {status for status, _ in answers} == {202}
    assert len({made["uuid"] for _, made in answers}) == 1


def test_a_job_s_time_survives_a_kill(service: Service) -> None:
    uuid = run(service, "sleep", "600", max_run_time=4)
    get(service, f"{C}/{uuid}?wait=Running&timeout=30").close()
    service.kill()
    time.sleep(1)
    service.start()
    ended = get(service, f"{C}/{uuid}?wait=Stopped&timeout=60").json()
    assert ended["status"] == "Stopped"
    assert ended["status_reason"] == "Stopped: its max_run_time of 4 seconds was over."


def test_events_are_taken_up_after_a_restart_and_a_stop_is_clean(service: Service) -> None:
    uuid = run(service, "sleep", "600")
    get(service, f"{C}/{uuid}?wait=Running&timeout=30").close()
    log = get(service, f"{C}/{uuid}/logs?follow=true")
    told = get(service, "/v1/events")
    start = told.cursor()
    assert service.stop() == 0
    assert b"the service stops" in told.body()
    with pytest.raises(Exception, match="Incomplete"):
        log.answer.read()
    service.start()
    assert service.ask("POST", f"{C}/{uuid}/stop?timeout=0")[0] == 202
    sent = follow(
        f"http://127.0.0.1:{service.port}",
        "GET",
        "/v1/events",
        headers(service) | {"Last-Event-ID": str(start)},
    )
    first = next(sent.events())
    assert first.id > start
    assert first.data["container_uuid"] == uuid
