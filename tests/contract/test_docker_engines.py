"""How the drivers get along with engines of other versions, and with engines that misbehave: all stand-ins."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from tests.support.engines import Handler, StandIn
from tests.support.lab import PATIENCE, Watcher, soon

from zun.drivers import errors
from zun.drivers.deadline import Deadline
from zun.drivers.docker import DockerRuntime, Engine
from zun.drivers.docker import runtime as docker_runtime
from zun.drivers.docker.networks import DockerNetworks
from zun.drivers.runtime import Hint
from zun.model.names import LABEL_UUID, network_name, new_uuid, runtime_name


@pytest.fixture
def stand_in(tmp_path: Path) -> Iterator[StandIn]:
    stand_in = StandIn(tmp_path / "s")
    yield stand_in
    stand_in.stop()


@pytest.fixture
def engine(stand_in: StandIn) -> Iterator[Engine]:
    engine = Engine(stand_in.url)
    yield engine
    engine.close()


def refuse(status: int, message: str = "no reason") -> Callable[[Handler], None]:
    return lambda handler: handler.reply(status, {"message": message})


# -- versions --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("oldest", "newest"), [("1.12", "1.41"), ("1.44", "1.52"), ("1.44", "1.44")]
)
def test_the_version_is_negotiated(
    stand_in: StandIn, engine: Engine, oldest: str, newest: str
) -> None:
    stand_in.oldest, stand_in.newest = oldest, newest
    assert list(DockerRuntime(engine).list("h", soon())) == []
    assert stand_in.seen[-1] == (newest, "/containers/json")


def test_an_engine_older_than_the_library_knows_is_unsupported(
    stand_in: StandIn, engine: Engine
) -> None:
    stand_in.oldest, stand_in.newest = "1.10", "1.12"
    with pytest.raises(errors.Unsupported):
        DockerRuntime(engine).list("h", soon())


def test_an_engine_exchanged_for_a_newer_one_is_met_anew(stand_in: StandIn, engine: Engine) -> None:
    runtime = DockerRuntime(engine)
    runtime.list("h", soon())
    stand_in.oldest, stand_in.newest = "1.44", "1.52"
    with pytest.raises(errors.Unavailable):
        runtime.list("h", soon())
    assert list(runtime.list("h", soon())) == []


def test_the_service_may_start_before_the_engine(stand_in: StandIn) -> None:
    stand_in.stop()
    engine = Engine(stand_in.url)
    runtime = DockerRuntime(engine)
    for call in (runtime.ping, runtime.capabilities, lambda: runtime.list("h", soon())):
        with pytest.raises(errors.Unavailable) as e:
            call()
        assert "/" not in e.value.public
    stand_in.start()
    assert list(runtime.list("h", soon())) == []
    engine.close()


def test_an_engine_is_named_by_a_unix_socket_only() -> None:
    for url in ("tcp://127.0.0.1:2375", "http://127.0.0.1:2375", "ssh://host", ""):
        with pytest.raises(ValueError, match="unix"):
            Engine(url)


# -- refusals --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, errors.Rejected),
        (401, errors.Rejected),
        (403, errors.Conflict),
        (404, errors.NotFound),
        (409, errors.Conflict),
        (429, errors.Unavailable),
        (500, errors.Unavailable),
        (501, errors.Unsupported),
        (503, errors.Unavailable),
    ],
)
def test_refusals_are_sorted(
    stand_in: StandIn, engine: Engine, status: int, kind: type[errors.DriverError]
) -> None:
    ident = "0123456789ab" + "c" * 52
    stand_in.special["/containers/json"] = refuse(
        status, f"open /var/lib/docker/x/{ident}: bad {ident}"
    )
    with pytest.raises(errors.DriverError) as e:
        DockerRuntime(engine).list("h", soon())
    assert type(e.value) is kind
    assert e.value.public == "cannot list the containers: open (path): bad 0123456789ab"


@pytest.mark.parametrize("times", [2, 100])
def test_what_an_earlier_life_left_goes_soon_or_is_in_the_way(
    stand_in: StandIn, engine: Engine, times: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An engine on a full disk could not remove it; one that lost track of a task never will."""
    monkeypatch.setattr(docker_runtime, "STALE_PAUSE", 0.0)
    uuid, tries = new_uuid(), iter([True] * times)

    def start(handler: Handler) -> None:
        again = next(tries, False)
        handler.reply(500 if again else 204, {"message": "id already in use"} if again else {})

    name = runtime_name(uuid)
    stand_in.special[f"/containers/{name}/start"] = start
    raw = {"State": {"ExitCode": 0, "Error": "id already in use"}}
    stand_in.special[f"/containers/{name}/json"] = lambda handler: handler.reply(200, raw)
    runtime = DockerRuntime(engine)
    if times == 2:
        runtime.start(uuid, soon())
        return
    with pytest.raises(errors.Rejected, match="rebuild it"):
        runtime.start(uuid, soon())


def test_what_a_crash_left_of_a_container_keeps_no_network(
    stand_in: StandIn, engine: Engine
) -> None:
    """An endpoint whose container is gone is dropped; that of one that is there keeps the network."""
    uuid, endpoints = new_uuid(), {"ep-1": {"Name": "gone"}, "f" * 64: {"Name": "there"}}
    dropped: list[Any] = []

    def network(handler: Handler) -> None:
        if handler.command == "GET":
            handler.reply(200, {"Containers": endpoints})
        else:
            handler.reply(403 if endpoints else 204, {"message": "it has active endpoints"})

    def disconnect(handler: Handler) -> None:
        dropped.append(json.loads(handler.body))
        del endpoints["ep-1"]
        handler.reply(200, {})

    path = f"/networks/{network_name(uuid)}"
    stand_in.special[path] = network
    stand_in.special[f"{path}/disconnect"] = disconnect
    stand_in.special["/containers/gone/json"] = refuse(404)
    stand_in.special["/containers/there/json"] = lambda handler: handler.reply(200, {})
    networks = DockerNetworks(engine, "h")
    with pytest.raises(errors.Conflict):
        networks.remove_network(uuid, soon())
    assert dropped == [{"Container": "gone", "Force": True}]
    endpoints.clear()
    networks.remove_network(uuid, soon())


def test_silence_is_a_time_out(stand_in: StandIn) -> None:
    let_go = threading.Event()

    def hang(_: Handler) -> None:
        let_go.wait(PATIENCE)

    stand_in.special["/containers/json"] = hang
    stand_in.special["/_ping"] = hang
    engine = Engine(stand_in.url, timeout=0.2)
    try:
        with pytest.raises(errors.TimedOut):
            DockerRuntime(engine).list("h", soon())
        with pytest.raises(errors.TimedOut):
            DockerRuntime(engine).list("h", Deadline(0.1))
    finally:
        let_go.set()
        engine.close()


def test_networks_that_hang_while_the_engine_answers_a_ping(
    stand_in: StandIn, engine: Engine
) -> None:
    """As Docker 20.10 did once its network library had locked itself up."""
    let_go = threading.Event()
    stand_in.special["/networks"] = lambda _: let_go.wait(PATIENCE) and None
    stand_in.special["/_ping"] = lambda handler: handler.reply(200, "OK")
    try:
        with pytest.raises(errors.TimedOut):
            DockerNetworks(engine, "h").list_networks(Deadline(0.1))
        DockerRuntime(engine).ping()
    finally:
        let_go.set()


def test_an_engine_that_breaks_off_is_unavailable(stand_in: StandIn, engine: Engine) -> None:
    def break_off(handler: Handler) -> None:
        handler.close_connection = True

    stand_in.special["/containers/json"] = break_off
    epoch = engine.epoch
    with pytest.raises(errors.Unavailable):
        DockerRuntime(engine).list("h", soon())
    assert engine.epoch > epoch


def test_nonsense_is_unavailable(stand_in: StandIn, engine: Engine) -> None:
    def nonsense(handler: Handler) -> None:
        handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\n{{{{")

    stand_in.special["/containers/json"] = nonsense
    with pytest.raises(errors.Unavailable):
        DockerRuntime(engine).list("h", soon())


# -- events ----------------------------------------------------------------------------------------------------------


def event(uuid: str | None, action: str = "die") -> dict[str, object]:
    attributes = {} if uuid is None else {LABEL_UUID: uuid}
    return {"Type": "container", "Action": action, "Actor": {"ID": "x", "Attributes": attributes}}


def test_a_lost_stream_is_taken_up_again_with_a_gap(stand_in: StandIn, engine: Engine) -> None:
    rounds = iter(("one", "two"))
    let_go = threading.Event()

    def events(handler: Handler) -> None:
        handler.begin()
        name = next(rounds, None)
        if name is None:
            let_go.wait(PATIENCE)
            return
        handler.chunk(event(name))
        handler.chunk(event(None))
        handler.close_connection = True

    stand_in.special["/events"] = events
    runtime = DockerRuntime(engine)
    watcher = Watcher(runtime)
    gap = Hint(uuid=None, gap=True)
    expected = [gap, Hint(uuid="one"), gap, Hint(uuid="two"), gap]
    watcher.until(lambda: watcher.hints == expected)
    runtime.close()
    watcher.thread.join(PATIENCE)
    assert not watcher.thread.is_alive()
    let_go.set()


def test_events_survive_the_engine_s_absence(stand_in: StandIn, engine: Engine) -> None:
    let_go = threading.Event()

    def events(handler: Handler) -> None:
        handler.begin()
        handler.chunk(event("x"))
        let_go.wait(PATIENCE)
        handler.close_connection = True

    stand_in.special["/events"] = events
    runtime = DockerRuntime(engine)
    watcher = Watcher(runtime)
    watcher.until(lambda: len(watcher.hints) == 2)
    stand_in.stop()
    let_go.set()
    stand_in.start()
    watcher.until(lambda: sum(h.gap for h in watcher.hints) >= 2)
    runtime.close()
    watcher.thread.join(PATIENCE)
    assert not watcher.thread.is_alive()


def test_close_ends_the_pause_before_a_reconnect(tmp_path: Path) -> None:
    engine = Engine(f"unix://{tmp_path}/nobody")
    runtime = DockerRuntime(engine)
    hints: list[Hint] = []
    thread = threading.Thread(target=lambda: hints.extend(runtime.events()), daemon=True)
    thread.start()
    runtime.close()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    assert hints == []
    engine.close()
