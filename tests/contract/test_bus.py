"""What every bus does: one suite, on the bus of one process and on RabbitMQ."""

from __future__ import annotations

import gc
import subprocess
import sys
import threading
import warnings
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from oslo_config import cfg
from prometheus_client import CollectorRegistry
from tests.support.certificates import self_signed
from tests.support.house import PATIENCE, eventually

from zun.bus import RPC_VERSION, Bus, Refused, Why
from zun.bus.local import LocalBus
from zun.bus.oslo import OsloBus, OsloSettings

HOST, OTHER = "node-1", "node-3"


@pytest.fixture(scope="module", autouse=True)
def leftovers_of_the_library() -> Iterator[None]:
    """It leaves connections that broke to the garbage collector, which would blame whatever test runs by then."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ResourceWarning)
        gc.collect()


pytestmark = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")


@dataclass
class Sides:
    """Two processes: who asks and nudges, and the host that answers and listens."""

    asker: Bus
    host: Bus
    registry: CollectorRegistry = field(default_factory=CollectorRegistry)

    def figure(self, name: str, **labels: str) -> float:
        return self.registry.get_sample_value(name, labels) or 0.0


def oslo_bus(
    url: str, name: str, locks: Path, files: Sequence[Path] = (), **settings: Any
) -> tuple[OsloBus, CollectorRegistry]:
    """A bus of a process of its own, whose operator wrote `files`, not started."""
    conf, registry = cfg.ConfigOpts(), CollectorRegistry()
    read = [str(file) for file in files]
    conf([], project="zun", default_config_files=read, default_config_dirs=[])
    conf.register_opts([], group="oslo_messaging_rabbit")
    made = OsloSettings(url=url, name=name, host="machine", locks=str(locks), **settings)
    return OsloBus(conf, made, registry), registry


def listening(sides: Sides) -> None:
    """Waits until a nudge and a question reach the host."""
    reached = threading.Event()
    sides.host.listen(f"host:{HOST}", reached.set)

    def both() -> bool:
        sides.asker.nudge(f"host:{HOST}")
        return reached.wait(0.2)

    eventually(both, "the host listens")


@pytest.fixture(scope="module")
def remote(rabbitmq: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sides]:
    """Two processes over RabbitMQ, for all tests: they live through what happens to the broker."""
    locks = tmp_path_factory.mktemp("locks")
    asker, registry = oslo_bus(rabbitmq.url, "api-0", locks)
    host, _ = oslo_bus(rabbitmq.url, "compute-0", locks)
    made = Sides(asker, host, registry)
    asker.start()
    host.start()
    try:
        listening(made)
        yield made
    finally:
        asker.stop()
        host.stop()


@pytest.fixture(params=["local", "rabbitmq"])
def sides(request: pytest.FixtureRequest) -> Sides:
    if request.param == "rabbitmq":
        found: Sides = request.getfixturevalue("remote")
        return found
    bus = LocalBus()
    return Sides(bus, bus)


def echo(arguments: Mapping[str, Any], seconds: float) -> Any:
    return {"got": arguments, "seconds": seconds}


def ready(sides: Sides, answers: Mapping[str, Any], host: str = HOST) -> None:
    """Offers answers, and waits until the host is asked them."""
    sides.host.answer(host, {"ready": lambda arguments, seconds: True, **answers})

    def asked() -> bool:
        try:
            return bool(sides.asker.ask(host, "ready", {}, 5))
        except Refused:
            return False

    eventually(asked, "the host answers")


def refused(
    sides: Sides, question: str = "q", *, host: str = HOST, seconds: float = PATIENCE
) -> Refused:
    with pytest.raises(Refused) as caught:
        sides.asker.ask(host, question, {}, seconds)
    return caught.value


# ---- both


def test_a_nudge_wakes_who_listens(sides: Sides) -> None:
    mine, other = threading.Event(), threading.Event()
    sides.host.listen(f"host:{HOST}", mine.set)
    sides.host.listen("host:node-2", other.set)
    sides.asker.nudge(f"host:{HOST}")
    assert mine.wait(PATIENCE)
    assert not other.is_set()


def test_a_nudge_of_a_shared_queue_wakes_all_who_listen(sides: Sides) -> None:
    here, there = threading.Event(), threading.Event()
    sides.asker.listen("@conductor", here.set)
    sides.host.listen("@conductor", there.set)

    def woken() -> bool:
        sides.host.nudge("@conductor")
        return here.wait(0.2) and there.wait(0.2)

    eventually(woken, "both wake")


def test_nudging_nobody_is_no_error(sides: Sides) -> None:
    sides.asker.nudge("@nobody")
    sides.asker.nudge("host:nobody")


@pytest.mark.parametrize(
    "value",
    [None, True, 0, -1.5, "", "é\n\x7f\u2028", b"", bytes(range(256)), [], {}, [1, [b"\xff"]], {"a": {"b": b"\0"}}],
)  # fmt: skip
def test_arguments_and_answers_arrive_as_they_were(sides: Sides, value: Any) -> None:
    ready(sides, {"echo": echo})
    answer = sides.asker.ask(HOST, "echo", {"value": value}, PATIENCE)
    assert answer == {"got": {"value": value}, "seconds": PATIENCE}


def test_megabytes_arrive(sides: Sides) -> None:
    ready(sides, {"echo": echo})
    data = bytes(range(256)) * 16384
    assert sides.asker.ask(HOST, "echo", {"data": data}, PATIENCE)["got"]["data"] == data


@pytest.mark.parametrize("why", list(Why))
def test_a_refusal_arrives_with_its_reason(sides: Sides, why: Why) -> None:
    def refuse(_arguments: Mapping[str, Any], _seconds: float) -> Any:
        raise Refused(why, "No, é.")

    ready(sides, {"q": refuse})
    got = refused(sides)
    assert (got.why, got.public) == (why, "No, é.")


def test_a_host_that_is_not_there_is_known_at_once(sides: Sides) -> None:
    asking = threading.Thread(target=lambda: seen.append(gone()), daemon=True)
    seen: list[Why] = []

    def gone() -> Why:
        with pytest.raises(Refused) as caught:
            sides.asker.ask("never-was", "q", {}, 3600)
        return caught.value.why

    asking.start()
    asking.join(PATIENCE)  # of the hour it might have waited
    assert seen == [Why.UNAVAILABLE]


def test_many_ask_at_the_same_time(sides: Sides) -> None:
    ready(sides, {"echo": echo})

    def ask(number: int) -> Any:
        return sides.asker.ask(HOST, "echo", {"number": number}, PATIENCE)["got"]["number"]

    with ThreadPoolExecutor(16) as pool:
        assert list(pool.map(ask, range(200))) == list(range(200))


# ---- between processes


def test_an_answer_that_does_not_come_is_given_up(remote: Sides) -> None:
    never = threading.Event()
    ready(remote, {"q": lambda arguments, seconds: never.wait(PATIENCE)})
    assert refused(remote, seconds=0.5).why is Why.TIMED_OUT
    never.set()


def test_an_unknown_question_is_refused(remote: Sides) -> None:
    ready(remote, {})
    got = refused(remote, "tea")
    assert got.why is Why.UNSUPPORTED
    assert "tea" in got.public


def test_a_defect_of_the_host_tells_nothing_of_it(remote: Sides) -> None:
    def fail(_arguments: Mapping[str, Any], _seconds: float) -> Any:
        raise RuntimeError("the password is hunter2")

    ready(remote, {"q": fail})
    got = refused(remote)
    assert got.why is Why.UNKNOWN
    assert "hunter2" not in got.public


def test_another_major_version_is_refused_in_words(remote: Sides) -> None:
    ready(remote, {"echo": echo})
    assert isinstance(remote.asker, OsloBus)
    asking = remote.asker._asker.prepare(server=HOST, timeout=PATIENCE)
    question = {"host": HOST, "question": "echo", "text": "{}", "seconds": 1.0}
    assert "answer" in asking.call({}, "ask", version="1.99", new_in_1_99=True, **question)
    reply = asking.call({}, "ask", version="2.0", **question)
    assert reply["why"] == Why.UNSUPPORTED
    assert "2.0" in reply["public"]
    assert RPC_VERSION in reply["public"]


def test_a_message_that_is_too_large_is_refused_here(rabbitmq: Any, tmp_path: Path) -> None:
    asker, _ = oslo_bus(rabbitmq.url, "api-1", tmp_path, bytes=1000)
    try:
        with pytest.raises(Refused) as caught:
            asker.ask(HOST, "q", {"data": bytes(1000)}, PATIENCE)
        assert caught.value.why is Why.REJECTED
    finally:
        asker.stop()


def test_questions_under_way_are_bounded(rabbitmq: Any, tmp_path: Path) -> None:
    asker, _ = oslo_bus(rabbitmq.url, "api-1", tmp_path, questions=2)
    host, _ = oslo_bus(rabbitmq.url, "compute-1", tmp_path)
    sides = Sides(asker, host)
    asker.start()
    host.start()
    release, entered = threading.Event(), threading.Semaphore(0)

    def slow(_arguments: Mapping[str, Any], _seconds: float) -> Any:
        entered.release()
        return release.wait(PATIENCE)

    try:
        ready(sides, {"q": slow}, OTHER)
        with ThreadPoolExecutor(2) as pool:
            under_way = [pool.submit(asker.ask, OTHER, "q", {}, PATIENCE) for _ in range(2)]
            for _ in under_way:
                assert entered.acquire(timeout=PATIENCE)
            assert refused(sides, host=OTHER).why is Why.UNAVAILABLE
            release.set()
            assert [asked.result() for asked in under_way] == [True, True]
        eventually(lambda: asker.ask(OTHER, "q", {}, PATIENCE), "there is room again")
    finally:
        asker.stop()
        host.stop()


def test_queues_are_replicated_ones_with_names_that_stay(remote: Sides, rabbitmq: Any) -> None:
    ready(remote, {"echo": echo})
    lines = rabbitmq.ctl("list_queues", "name", "type", "durable").splitlines()[1:]
    queues = {line.split("\t")[0]: line.split("\t")[1:] for line in lines}
    assert {"zun-compute", f"zun-compute.{HOST}"} <= set(queues)
    # The number counts the queues of one life of the process.
    assert any(name.startswith("reply_machine:api-0:") for name in queues)
    assert queues["zun-compute"] == queues[f"zun-compute.{HOST}"] == ["quorum", "true"]


def test_without_a_broker_nudges_cost_nothing_and_questions_are_refused(
    remote: Sides, rabbitmq: Any
) -> None:
    ready(remote, {"echo": echo})
    assert isinstance(remote.asker, OsloBus)
    rabbitmq.kill()
    try:
        eventually(lambda: refused(remote, seconds=3600).why is Why.UNAVAILABLE)
        eventually(lambda: not remote.asker.publisher.connected)
        # Known now: not a single try is made, so even a thousand take no time worth the name.
        for _ in range(1000):
            assert refused(remote, seconds=3600).why is Why.UNAVAILABLE
            remote.asker.nudge(f"host:{HOST}")
        for number in range(1500):
            remote.asker.nudge(f"host:other-{number}")
        assert remote.figure("zun_bus_nudges_total", outcome="dropped") > 0
        assert remote.figure("zun_bus_connected") == 0
        assert "not connected" in remote.asker.probe()
    finally:
        rabbitmq.start()
    woken = threading.Event()
    remote.host.listen(f"host:{HOST}", woken.set)
    eventually(lambda: remote.asker.probe() == "connected", "it connects again")
    assert woken.wait(PATIENCE), "what waited to be sent is sent"

    def answered() -> Any:
        try:
            return remote.asker.ask(HOST, "echo", {}, 5)
        except Refused:
            return None

    eventually(answered, "the host answers again")
    assert remote.figure("zun_bus_connected") == 1


def test_a_broker_that_hangs_holds_nobody(remote: Sides, rabbitmq: Any) -> None:
    ready(remote, {"echo": echo})
    rabbitmq.pause()
    try:
        for _ in range(1000):
            remote.asker.nudge(f"host:{HOST}")
        assert refused(remote, seconds=1).why in (Why.TIMED_OUT, Why.UNAVAILABLE)
    finally:
        rabbitmq.resume()

    def answered() -> Any:
        try:
            return remote.asker.ask(HOST, "echo", {}, 5)
        except Refused:
            return None

    eventually(answered, "the host answers again")


def test_a_process_that_starts_before_its_broker_waits_for_it(
    rabbitmq: Any, tmp_path: Path
) -> None:
    rabbitmq.stop()
    asker, _ = oslo_bus(rabbitmq.url, "api-1", tmp_path)
    host, _ = oslo_bus(rabbitmq.url, "compute-1", tmp_path)
    sides = Sides(asker, host)
    try:
        asker.start()
        host.start()
        host.answer(OTHER, {"q": echo})
        asker.nudge(f"host:{OTHER}")
        assert refused(sides, seconds=3600, host=OTHER).why is Why.UNAVAILABLE
    finally:
        rabbitmq.start()
    try:
        ready(sides, {"q": echo}, OTHER)
    finally:
        asker.stop()
        host.stop()


def tls_conf(path: Path, ca: Path) -> Path:
    path.write_text(f"[oslo_messaging_rabbit]\nssl = true\nssl_ca_file = {ca}\n")
    return path


def test_over_tls(rabbitmq: Any, tmp_path: Path) -> None:
    files = [tls_conf(tmp_path / "zun.conf", rabbitmq.certificate)]
    asker, _ = oslo_bus(rabbitmq.tls_url, "api-1", tmp_path, files)
    host, _ = oslo_bus(rabbitmq.tls_url, "compute-1", tmp_path, files)
    sides = Sides(asker, host)
    asker.start()
    host.start()
    try:
        ready(sides, {"q": echo}, OTHER)
        woken = threading.Event()
        host.listen(f"host:{OTHER}", woken.set)
        asker.nudge(f"host:{OTHER}")
        assert woken.wait(PATIENCE)
        assert "true" in rabbitmq.ctl("list_connections", "ssl")
    finally:
        asker.stop()
        host.stop()


def test_a_broker_whose_certificate_nobody_trusts_is_not_talked_to(
    rabbitmq: Any, tmp_path: Path
) -> None:
    stranger = self_signed(tmp_path / "stranger.pem")
    files = [tls_conf(tmp_path / "zun.conf", stranger)]
    asker, _ = oslo_bus(rabbitmq.tls_url, "api-1", tmp_path, files)
    asker.start()
    try:
        eventually(lambda: "certificate verify failed" in asker.probe(), "the reason is told")
    finally:
        asker.stop()


def test_nothing_is_monkey_patched() -> None:
    script = (
        "import zun.bus.oslo, zun.cmd.api, zun.cmd.compute, zun.cmd.conductor, zun.cmd.streams, sys\n"
        "from zun.cmd.process import refuse_patched\n"
        "refuse_patched()\n"
        "import socket, threading, time\n"
        "assert threading.Thread.__module__ == 'threading' and time.sleep.__module__ == 'time'\n"
        "assert socket.socket.__module__ == 'socket'\n"
    )
    subprocess.run([sys.executable, "-W", "ignore", "-c", script], check=True)


def test_a_patched_process_refuses_to_work() -> None:
    script = (
        "import eventlet; eventlet.monkey_patch()\n"
        "from zun.cmd.process import refuse_patched\n"
        "refuse_patched()\n"
    )
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script], capture_output=True, text=True, check=False
    )
    assert "CannotServe: eventlet has patched this process" in done.stderr
