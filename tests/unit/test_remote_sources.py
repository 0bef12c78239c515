"""Followed logs and long commands of a host that is somewhere else: as of `HostSources`, over a real connection."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest
from tests.support.agentstreams import HOST, AgentLab, agent
from tests.support.house import eventually
from tests.support.rows import host

from zun.bus import Refused, Why
from zun.compute.sources import HostSources
from zun.model.names import new_uuid
from zun.store import hosts
from zun.store.database import Database
from zun.streams.handlers import Cancel, Sources
from zun.streams.remote import RemoteSources
from zun.work.clock import utcnow

LOGS = {
    "stdout": True,
    "stderr": True,
    "timestamps": False,
    "tail": None,
    "since": None,
    "limit": 0,
}


@pytest.fixture
def lab(db: Database) -> Iterator[AgentLab]:
    ident = new_uuid()
    with agent(db, host_id=ident) as lab:
        with db.write() as conn:
            hosts.register(conn, host(HOST, uuid=ident), utcnow())
            hosts.set_stream_address(conn, HOST, lab.endpoint.address)
        yield lab


@pytest.fixture
def remote(db: Database, lab: AgentLab) -> Iterator[RemoteSources]:
    sources = RemoteSources(db, utcnow)
    sources.start()
    yield sources
    sources.stop()


@pytest.fixture(params=["remote", "here"])
def sources(request: pytest.FixtureRequest, lab: AgentLab) -> Any:
    """The one and the other."""
    if request.param == "here":
        return HostSources(lab.means)
    return request.getfixturevalue("remote")


def test_both_are_sources(lab: AgentLab, remote: RemoteSources) -> None:
    for each in (remote, HostSources(lab.means)):
        Sources(follow=each.follow, execute=each.execute)


def _log(lab: AgentLab, uuid: str) -> dict[str, Any]:
    return {"uuid": uuid, **LOGS}


def test_a_log_is_followed_to_its_end(lab: AgentLab, sources: Any) -> None:
    uuid = lab.running()
    lab.runtime.say(uuid, b"one\n")
    log = sources.follow(HOST, _log(lab, uuid))
    assert log.read() == b"one\n"
    lab.runtime.say(uuid, b"two\n")
    assert log.read() == b"two\n"
    lab.runtime.die(uuid, 0)
    assert log.read() == b""
    log.end()


def test_a_log_that_is_ended_returns_at_once(lab: AgentLab, sources: Any) -> None:
    log = sources.follow(HOST, _log(lab, lab.running()))
    got: list[bytes] = []
    reading = threading.Thread(target=lambda: got.append(log.read()))
    reading.start()
    log.end()
    reading.join(30)
    assert got == [b""]
    log.end()
    eventually(lambda: lab.endpoint.sessions == 0)


def test_a_command_runs_to_its_end(lab: AgentLab, sources: Any) -> None:
    uuid = lab.running()
    asked = {"uuid": uuid, "command": ["sh", "-c", "echo o; echo e >&2; exit 4"], "limit": 100}
    answer = sources.execute(HOST, asked, 30.0, Cancel())
    assert (answer["exit_code"], answer["stdout"], answer["stderr"]) == (4, b"o\n", b"e\n")
    assert sorted(answer["output"].split()) == [b"e", b"o"]
    given = {"uuid": uuid, "command": ["cat"], "limit": 5, "stdin": "words"}
    assert sources.execute(HOST, given, 30.0, Cancel())["output"] == b"words"
    few = sources.execute(HOST, {**given, "limit": 3}, 30.0, Cancel())
    assert (few["output"], few["stdout"]) == (b"wor", b"wor")


def test_a_command_that_nobody_waits_for_is_killed(lab: AgentLab, remote: RemoteSources) -> None:
    uuid, cancel, refusals = lab.running(), Cancel(), list[Refused]()

    def wait() -> None:
        try:
            remote.execute(
                HOST, {"uuid": uuid, "command": ["sleep", "9"], "limit": 9}, 60.0, cancel
            )
        except Refused as exc:
            refusals.append(exc)

    waiting = threading.Thread(target=wait)
    waiting.start()
    eventually(lambda: lab.endpoint.sessions == 1)
    cancel.set()
    waiting.join(30)
    assert [refusal.why for refusal in refusals] == [Why.CONFLICT]
    eventually(lambda: lab.runtime.called("kill_exec") == 1)


def test_a_command_whose_time_is_over(lab: AgentLab, remote: RemoteSources) -> None:
    asked = {"uuid": lab.running(), "command": ["sleep", "9"], "limit": 9}
    with pytest.raises(Refused) as caught:
        remote.execute(HOST, asked, 0.05, Cancel())
    assert caught.value.why is Why.TIMED_OUT
    eventually(lambda: lab.runtime.called("kill_exec") == 1)


def test_refusals_are_those_of_a_host_in_this_process(lab: AgentLab, sources: Any) -> None:
    down = lab.running("exit", "0")
    for uuid, why in ((down, Why.CONFLICT), (new_uuid(), Why.NOT_FOUND)):
        with pytest.raises(Refused) as caught:
            sources.execute(HOST, {"uuid": uuid, "command": ["true"], "limit": 9}, 30.0, Cancel())
        assert caught.value.why is why
    with pytest.raises(Refused) as caught:
        sources.follow("elsewhere", _log(lab, down))
    assert caught.value.why is Why.UNAVAILABLE


def test_an_engine_or_an_agent_that_goes_away_is_told(lab: AgentLab, remote: RemoteSources) -> None:
    uuid = lab.running()
    log = remote.follow(HOST, _log(lab, uuid))
    lab.runtime.break_streams()
    with pytest.raises(Refused) as caught:
        log.read()
    assert caught.value.why is Why.UNAVAILABLE
    log.end()
    lab.runtime.engine_away = False
    other = remote.follow(HOST, _log(lab, uuid))
    loop = lab.endpoint._loop
    assert loop is not None
    for relay in list(lab.endpoint._relays):
        loop.call_soon_threadsafe(relay._wire._writer.transport.abort)
    with pytest.raises(Refused) as caught:
        other.read()
    assert caught.value.why is Why.UNAVAILABLE
    other.end()


def test_stopping_ends_what_is_read(lab: AgentLab, db: Database) -> None:
    sources = RemoteSources(db, utcnow)
    sources.start()
    log = sources.follow(HOST, _log(lab, lab.running()))
    got: list[bytes] = []
    reading = threading.Thread(target=lambda: got.append(log.read()))
    reading.start()
    sources.stop()
    reading.join(30)
    assert got == [b""]
    log.end()
    with pytest.raises(Refused):
        sources.follow(HOST, _log(lab, lab.running()))
