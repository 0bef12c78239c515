"""Long-lived answers, through both servers, on fakes."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from tests.support import rows
from tests.support.house import OTHER_PROJECT, PROJECT, caller, eventually
from tests.support.streaming import Front, Reply, ask, close_all, front

from zun.api.versions import MAX_VERSION
from zun.model.container import Container, Draft
from zun.model.operation import EventKind
from zun.service.later import Later
from zun.store import history, operations
from zun.streams.server import StreamSettings
from zun.work.clock import utcnow

RUNS_ON = Draft(image="busybox", command=["sleep"], cpu=0.1, memory=4, run=True)


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Front]:
    with front(tmp_path_factory.mktemp("streams")) as made:
        made.rig.fakes.runtime.patient = True
        yield made


@pytest.fixture(autouse=True)
def closing() -> Iterator[None]:
    yield
    close_all()


@pytest.fixture
def box(house: Front) -> Container:
    """A running container."""
    return house.rig.until(house.rig.create(RUNS_ON).uuid, "Running")


def tell(house: Front, text: str, project: str = PROJECT, uuid: str = "c" * 36) -> None:
    operation = rows.operation(project_id=project, container_uuid=uuid)
    with house.rig.db.write() as conn:
        operations.tell(conn, operation, EventKind.PROGRESS, utcnow(), detail={"text": text})


def texts(reply: Reply, count: int) -> list[str]:
    """The first texts of `tell` that come."""
    found: list[str] = []
    for told in reply.events():
        found.append(told.data["detail"]["text"])
        if len(found) == count:
            break
    return found


def nothing_open(house: Front) -> bool:
    server = house.streams
    return server.hub.followers == 0 and not server._handlers._endings


# ---- tickets


def test_the_api_sends_on_with_a_ticket(house: Front) -> None:
    reply = house.first("/v1/events")
    assert reply.status == 307
    assert reply.headers["cache-control"] == "no-store"
    location = urlsplit(reply.headers["location"])
    assert (location.port, location.path) == (house.streams.port, "/v1/events")
    reply.close()


def there(house: Front, location: str, path: str | None = None) -> Reply:
    url = urlsplit(location)
    return ask(f"http://127.0.0.1:{url.port}", "GET", f"{path or url.path}?{url.query}", {})


def error(reply: Reply) -> str:
    (found,) = reply.json()["errors"]
    assert found["status"] == reply.status
    return str(found["code"])


def test_a_ticket_is_good_once(house: Front) -> None:
    location = house.first("/v1/events").headers["location"]
    with there(house, location) as first:
        assert first.status == 200
        again = there(house, location)
        assert (again.status, error(again)) == (403, "container.ticket-refused")


def test_a_ticket_expires(house: Front) -> None:
    late = Later(house.rig.db, lambda: utcnow() - timedelta(seconds=31))
    reply = there(
        house,
        f"http://x:{house.streams.port}/v1/events?ticket=" + late.issue(caller(), "events", {}),
    )
    assert (reply.status, error(reply)) == (403, "container.ticket-refused")


def test_a_ticket_is_for_one_path(house: Front, box: Container) -> None:
    other = house.rig.until(house.rig.create(RUNS_ON, caller(OTHER_PROJECT)).uuid, "Running")
    location = house.first(f"/v1/containers/{box.uuid}/logs?follow=1").headers["location"]
    for path in (f"/v1/containers/{other.uuid}/logs", f"/v1/containers/{box.uuid}", "/v1/events"):
        assert there(house, location, path).status == 403
    with there(house, location) as good:
        assert good.status == 200


@pytest.mark.parametrize("query", ["", "?ticket=", "?ticket=nosuch", "?ticket=" + "x" * 5000])
def test_without_a_ticket_nothing_is_served(house: Front, query: str) -> None:
    assert (
        ask(f"http://127.0.0.1:{house.streams.port}", "GET", f"/v1/events{query}", {}).status == 403
    )


def test_other_paths_are_not_served(house: Front) -> None:
    base = f"http://127.0.0.1:{house.streams.port}"
    for method, path in (
        ("GET", "/"),
        ("GET", "/v1/containers"),
        ("POST", "/v1/events"),
        ("GET", "/v1/events/x"),
    ):
        reply = ask(base, method, path, {})
        assert (reply.status, error(reply)) == (404, "container.")


def test_another_project_gets_no_ticket(house: Front, box: Container) -> None:
    for path in ("/logs?follow=1", "?wait=Stopped"):
        assert house.first(f"/v1/containers/{box.uuid}{path}", project=OTHER_PROJECT).status == 404


@pytest.mark.parametrize("version", ["1.1", "1.40", "1.41"])
def test_below_1_42_nothing_of_it_is_there(house: Front, box: Container, version: str) -> None:
    assert house.first("/v1/events", version=version).status == 406
    assert house.first(f"/v1/containers/{box.uuid}/logs?follow=1", version=version).status == 400
    shown = house.first(f"/v1/containers/{box.uuid}?wait=Stopped&timeout=x", version=version)
    assert (shown.status, shown.json()["status"]) == (200, "Running")


# ---- events


def test_events_of_the_own_project_alone(house: Front) -> None:
    with (
        house.get("/v1/events") as mine,
        house.get("/v1/events?all_projects=1", roles="admin") as every,
    ):
        tell(house, "theirs", OTHER_PROJECT)
        tell(house, "ours")
        assert texts(mine, 1) == ["ours"]
        assert texts(every, 2) == ["theirs", "ours"]


def test_all_projects_are_for_administrators(house: Front) -> None:
    assert house.first("/v1/events?all_projects=1").status == 403


def test_events_by_container_and_kind(house: Front, box: Container) -> None:
    with (
        house.get(f"/v1/events?container={box.uuid}") as by_uuid,
        house.get(f"/v1/events?container={box.name}&kind=observed,done") as by_name,
    ):
        tell(house, "of another")
        tell(house, "of this", uuid=box.uuid)
        house.rig.fakes.runtime.die(box.uuid, 3)
        first = next(by_uuid.events())
        assert first.data["detail"] == {"text": "of this"}
        seen = next(by_name.events())
        assert (seen.kind, seen.data["detail"]["status"], seen.data["detail"]["exit_code"]) == (
            "observed",
            "Stopped",
            3,
        )


@pytest.mark.parametrize("query", ["kind=nosuch", "nosuch=1", "all_projects=maybe"])
def test_wrong_queries_are_refused(house: Front, query: str) -> None:
    assert house.first(f"/v1/events?{query}").status == 400


def test_a_container_that_is_not_there(house: Front) -> None:
    assert house.first("/v1/events?container=nosuch").status == 404


def test_why_a_step_failed_is_for_administrators(house: Front) -> None:
    operation = rows.operation()
    with (
        house.get("/v1/events?kind=step_failed") as mine,
        house.get("/v1/events?kind=step_failed&all_projects=1", roles="admin") as every,
    ):
        with house.rig.db.write() as conn:
            operations.tell(
                conn, operation, EventKind.STEP_FAILED, utcnow(), detail={"error": "secret"}
            )
        assert next(mine.events()).data["detail"] is None
        assert next(every.events()).data["detail"] == {"error": "secret"}


def test_a_stream_is_taken_up_where_it_was(house: Front) -> None:
    with house.get("/v1/events") as before:
        start = before.cursor()
        for number in range(5):
            tell(house, f"n{number}")
        assert texts(before, 2) == ["n0", "n1"]
    with house.get("/v1/events", **{"Last_Event_ID": str(start + 2)}) as after:
        assert texts(after, 3) == ["n2", "n3", "n4"]
    with house.get("/v1/events", **{"Last_Event_ID": str(start)}) as anew:
        assert texts(anew, 5) == [f"n{number}" for number in range(5)]


@pytest.mark.parametrize(
    ("cursor", "status"), [("x", 400), ("-1", 400), ("1.5", 400), ("9" * 17, 400), ("9" * 30, 400)]
)
def test_cursors_that_are_none(house: Front, cursor: str, status: int) -> None:
    assert house.first("/v1/events", **{"Last_Event_ID": cursor}).status == status


def test_events_that_are_kept_no_more(tmp_path: Path) -> None:
    with front(tmp_path) as house:
        for number in range(5):
            tell(house, f"n{number}")
        with house.rig.db.write() as conn:
            history.remove(conn, "events", utcnow(), 3)
        gone = house.first("/v1/events", **{"Last_Event_ID": "2"})
        assert (gone.status, error(gone)) == (410, "container.gone")
        with house.get("/v1/events", **{"Last_Event_ID": "3"}) as reply:
            assert texts(reply, 2) == ["n3", "n4"]


def test_nothing_is_missed_or_repeated_under_eight_writers(house: Front) -> None:
    """Readers that go away and come back with the last id they saw, while eight threads write."""
    each, writers = 60, 8
    with house.get("/v1/events?kind=progress") as reply:
        start = reply.cursor()

    def write(writer: int) -> None:
        for number in range(each):
            tell(house, f"{writer}:{number}")

    def read(patience: int) -> list[tuple[int, str]]:
        seen: list[tuple[int, str]] = []
        cursor = start
        while len(seen) < each * writers:
            with house.get("/v1/events?kind=progress", **{"Last_Event_ID": str(cursor)}) as mine:
                for taken, told in enumerate(mine.events()):
                    seen.append((told.id, told.data["detail"]["text"]))
                    cursor = told.id
                    if taken == patience or len(seen) == each * writers:
                        break
        return seen

    with ThreadPoolExecutor(writers + 3) as pool:
        readers = [pool.submit(read, patience) for patience in (20, 45, 10_000)]
        for done in [pool.submit(write, writer) for writer in range(writers)]:
            done.result()
        found = [reader.result(30) for reader in readers]
    expected = {f"{writer}:{number}" for writer in range(writers) for number in range(each)}
    for seen in found:
        assert [ident for ident, _ in seen] == sorted({ident for ident, _ in seen})
        assert {text for _, text in seen} == expected
        assert len(seen) == each * writers


def test_who_lags_behind_what_is_in_memory_reads_the_table(house: Front) -> None:
    with house.get("/v1/events") as reply:
        start = reply.cursor()
    operation = rows.operation()
    with house.rig.db.write() as conn:
        for number in range(5000):
            operations.tell(
                conn, operation, EventKind.PROGRESS, utcnow(), detail={"text": str(number)}
            )
    with house.get("/v1/events?kind=progress", **{"Last_Event_ID": str(start)}) as reply:
        assert texts(reply, 5000) == [str(number) for number in range(5000)]
    eventually(lambda: len(house.streams.hub._ring) <= 4096 + 500)


def test_one_query_serves_all(house: Front) -> None:
    reads = house.streams.hub._metrics.reads
    replies = [house.get("/v1/events") for _ in range(20)]
    try:
        for reply in replies:
            reply.cursor()
        before = reads._value.get()
        tell(house, "to all")
        assert all(texts(reply, 1) == ["to all"] for reply in replies)
        assert reads._value.get() - before <= 4
    finally:
        for reply in replies:
            reply.close()


# ---- waiting


def test_what_is_so_already_is_answered_at_once(house: Front, box: Container) -> None:
    reply = house.first(f"/v1/containers/{box.uuid}?wait=Stopped,Running")
    assert (reply.status, reply.headers["zun-waited-for"]) == (200, "Running")


def test_a_wait_ends_at_the_transition(house: Front, box: Container) -> None:
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(
            lambda: house.get(f"/v1/containers/{box.uuid}?wait=Stopped&timeout=30")
        )
        eventually(lambda: house.streams.hub.followers)
        house.rig.fakes.runtime.die(box.uuid, 7)
        reply = waiting.result(5)
    assert (reply.status, reply.headers["zun-waited-for"]) == (200, "Stopped")
    assert reply.headers["openstack-api-version"] == f"container {MAX_VERSION}"
    shown = reply.json()
    assert (shown["status"], shown["exit_code"], shown["links"][0]["rel"]) == ("Stopped", 7, "self")
    assert "host" not in shown
    assert shown == house.get(f"/v1/containers/{box.uuid}").json()


def test_a_wait_ends_with_its_time(house: Front, box: Container) -> None:
    begun = time.monotonic()
    reply = house.get(f"/v1/containers/{box.uuid}?wait=Stopped&timeout=1")
    assert (reply.status, reply.json()["status"]) == (200, "Running")
    assert "zun-waited-for" not in reply.headers
    assert 0.9 < time.monotonic() - begun < 10
    assert house.first(f"/v1/containers/{box.uuid}?wait=Stopped&timeout=0").status == 200


@pytest.mark.parametrize(
    "query", ["wait=Nosuch", "wait=Running,", "wait=Running&timeout=61", "wait=Running&timeout=-1"]
)
def test_wrong_waits_are_refused(house: Front, box: Container, query: str) -> None:
    assert house.first(f"/v1/containers/{box.uuid}?{query}").status == 400


def test_a_status_that_passed_while_the_client_was_sent_on_is_seen(
    house: Front, box: Container
) -> None:
    location = house.first(f"/v1/containers/{box.uuid}?wait=Stopped&timeout=30").headers["location"]
    house.rig.fakes.runtime.die(box.uuid, 1)
    house.rig.until(box.uuid, "Stopped")
    assert house.post(f"/v1/containers/{box.uuid}/start").status == 202
    house.rig.until(box.uuid, "Running")
    reply = there(house, location)
    assert (reply.status, reply.headers["zun-waited-for"]) == (200, "Stopped")
    assert reply.json()["status"] == "Running"


def test_a_container_that_goes_while_one_waits(house: Front, box: Container) -> None:
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(
            lambda: house.get(f"/v1/containers/{box.uuid}?wait=Paused&timeout=30")
        )
        eventually(lambda: house.streams.hub.followers)
        assert (
            house.first(f"/v1/containers/{box.uuid}?force=1", "DELETE", roles="admin").status == 204
        )
        assert waiting.result(5).status == 404


def test_a_thousand_waits_end_with_one_transition(house: Front, box: Container) -> None:
    count, later = 1000, house.rig.house.services.later
    assert later is not None
    view = {"urls": ["http://x", ""], "hidden": [], "version": list(MAX_VERSION)}
    content = {
        "container": box.uuid,
        "wanted": ["Stopped"],
        "timeout": 60,
        "view": view,
        "headers": {},
    }
    sockets = []
    try:
        for _ in range(count):
            path = f"containers/{box.uuid}"
            ticket = later.issue(caller(), path, {**content, "mark": later.mark(box.uuid)})
            sock = socket.create_connection(("127.0.0.1", house.streams.port))
            sock.sendall(
                f"GET /v1/{path}?ticket={ticket} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode()
            )
            sockets.append(sock)
        eventually(lambda: house.streams.hub.followers == count)
        reads = house.streams.hub._metrics.reads._value.get()
        house.rig.fakes.runtime.die(box.uuid, 0)
        for sock in sockets:
            sock.settimeout(20)
            assert sock.recv(65536).startswith(b"HTTP/1.1 200")
        assert house.streams.hub._metrics.reads._value.get() - reads < 20
    finally:
        for sock in sockets:
            sock.close()
    eventually(lambda: nothing_open(house))


# ---- logs


def test_a_log_is_followed_until_the_container_ends(house: Front, box: Container) -> None:
    runtime = house.rig.fakes.runtime
    runtime.append_log(box.uuid, b"before\n")
    with house.get(f"/v1/containers/{box.uuid}/logs?follow=true") as reply:
        assert reply.headers["content-type"] == "application/octet-stream"
        assert reply.answer.readline() == b"before\n"
        runtime.append_log(box.uuid, b"after\n")
        assert reply.answer.readline() == b"after\n"
        runtime.append_log(box.uuid, b"\xff\x00last")
        runtime.die(box.uuid, 0)
        assert reply.answer.read() == b"\xff\x00last"
    eventually(lambda: nothing_open(house))


def test_the_log_of_one_that_has_ended_ends(house: Front) -> None:
    draft = Draft(image="busybox", command=["sh", "-c", "echo one; echo two; exit 3"], run=True)
    box = house.rig.until(house.rig.create(draft).uuid, "Stopped")
    assert house.get(f"/v1/containers/{box.uuid}/logs?follow=yes").body() == b"one\ntwo\n"
    assert house.get(f"/v1/containers/{box.uuid}/logs?follow=yes&tail=1").body() == b"two\n"
    assert house.get(f"/v1/containers/{box.uuid}/logs?follow=no").json() == "one\ntwo\n"


def test_a_client_that_leaves_frees_everything(house: Front, box: Container) -> None:
    for _ in range(3):
        replies = [
            house.get(f"/v1/containers/{box.uuid}/logs?follow=1"),
            house.get("/v1/events"),
        ]
        wait = house.first(f"/v1/containers/{box.uuid}?wait=Stopped").headers["location"]
        sock = socket.create_connection(("127.0.0.1", house.streams.port))
        url = urlsplit(wait)
        sock.sendall(f"GET {url.path}?{url.query} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
        eventually(lambda: house.streams.hub.followers == 2)
        for reply in replies:
            reply.close()
        sock.close()
        eventually(lambda: nothing_open(house))


def test_there_is_a_bound_to_what_is_followed(tmp_path: Path) -> None:
    with front(tmp_path, streams=StreamSettings(blocking=2)) as house:
        box = house.rig.until(house.rig.create(RUNS_ON).uuid, "Running")
        path = f"/v1/containers/{box.uuid}/logs?follow=1"
        with house.get(path) as one, house.get(path) as two:
            assert (one.status, two.status) == (200, 200)
            assert house.get(path).status == 503
        eventually(lambda: nothing_open(house))
        with house.get(path) as again:
            assert again.status == 200


def no_more(reads: list[int]) -> bool:
    """Whether nothing was read for a moment."""
    taken = len(reads)
    time.sleep(0.5)
    return len(reads) == taken


def test_a_slow_reader_holds_the_source_back(house: Front, box: Container) -> None:
    """Nobody reads: soon nobody asks the runtime for more either."""
    runtime = house.rig.fakes.runtime
    piece = b"x" * 65536
    for _ in range(800):  # 50 MB
        runtime.append_log(box.uuid, piece)
    reads: list[int] = []
    real = runtime.follow

    def counting(*args: Any) -> Any:
        log = real(*args)
        inner = log.read
        log.read = lambda: (reads.append(1), inner())[1]
        return log

    runtime.follow = counting
    try:
        with house.get(f"/v1/containers/{box.uuid}/logs?follow=1") as reply:
            reply.answer.read(1)
            # It reads until the buffers on the way are full, of 800 pieces, and then no more.
            eventually(partial(no_more, reads), "nothing is read ahead any more")
            assert len(reads) < 300
            assert len(reply.answer.read(40_000_000)) == 40_000_000
    finally:
        runtime.follow = real
    eventually(lambda: nothing_open(house))


# ---- long commands


def test_a_command_is_waited_for_elsewhere(house: Front, box: Container) -> None:
    path = f"/v1/containers/{box.uuid}/execute"
    assert house.first(f"{path}?command=true&timeout=9", "POST").status == 307
    reply = house.post(f"{path}?command=sh%20-c%20'echo%20hi;%20exit%204'&timeout=30")
    assert (reply.status, reply.json()) == (
        200,
        {"output": "hi\n", "exit_code": 4, "exec_id": None, "proxy_url": None}
        | {"stdout": "hi\n", "stderr": "", "console_url": None, "expires_at": None},
    )
    older = house.post(f"{path}?command=true&timeout=30", version="1.46").json()
    assert set(older) == {"output", "exit_code", "exec_id", "proxy_url"}
    given = {"command": "cat", "timeout": 30, "stdin": "words"}
    assert house.post(path, given).json()["stdout"] == "words"
    refused = house.first(f"{path}?command=true&timeout=9", "POST", version="1.44")
    assert refused.status == 400


def test_a_command_whose_time_is_over_is_killed(house: Front, box: Container) -> None:
    reply = house.post(f"/v1/containers/{box.uuid}/execute?command=sleep&timeout=1")
    assert reply.status == 503


@pytest.mark.parametrize("kill", [True, False])
def test_a_command_is_killed_when_the_client_leaves_unless_it_says_no(
    house: Front, box: Container, kill: bool
) -> None:
    path = f"/v1/containers/{box.uuid}/execute?command=sleep&timeout=60&kill_on_close={kill}"
    location = urlsplit(house.first(path, "POST").headers["location"])
    sock = socket.create_connection(("127.0.0.1", house.streams.port))
    sock.sendall(
        f"POST {location.path}?{location.query} HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n".encode()
    )
    eventually(lambda: house.rig.fakes.runtime.called("execute", box.uuid))
    time.sleep(0.1)
    sock.close()
    if kill:
        eventually(lambda: box.uuid in house.rig.fakes.runtime.killed)
        eventually(lambda: nothing_open(house))
    else:
        # Somebody else comes and goes, and it is still there; the end of the service is its end.
        path = f"/v1/containers/{box.uuid}/execute?command=true&timeout=60"
        assert house.post(path).json()["exit_code"] == 0
        assert box.uuid not in house.rig.fakes.runtime.killed


# ---- the end


def test_a_stop_ends_all_in_time(tmp_path: Path) -> None:
    with front(tmp_path) as house:
        box = house.rig.until(house.rig.create(RUNS_ON).uuid, "Running")
        log = house.get(f"/v1/containers/{box.uuid}/logs?follow=1")
        told = house.get("/v1/events")
        with ThreadPoolExecutor(2) as pool:
            waiting = pool.submit(
                lambda: house.get(f"/v1/containers/{box.uuid}?wait=Stopped&timeout=60")
            )
            eventually(lambda: house.streams.hub.followers == 2)
            begun = time.monotonic()
            house.streams.stop(5)
            assert time.monotonic() - begun < 4
            assert waiting.result(5).status == 503
        assert b"the service stops" in told.body()  # whole: a client takes it up again elsewhere
        with pytest.raises(Exception, match="Incomplete"):
            log.answer.read()  # broken off: nobody takes it for the container's end
        log.close()
        assert not house.streams.alive


def test_figures_of_streams(house: Front) -> None:
    with house.get("/v1/events") as reply:
        tell(house, "x")
        assert texts(reply, 1) == ["x"]
        registry = house.rig.house.metrics.registry
        assert registry.get_sample_value("zun_streams_open", {"kind": "events"}) == 1
        assert (registry.get_sample_value("zun_event_lag_seconds_count") or 0) > 0
    eventually(lambda: registry.get_sample_value("zun_streams_open", {"kind": "events"}) == 0)
    assert threading.active_count() < 100
