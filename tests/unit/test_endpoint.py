"""The agent's endpoint of byte streams, on the fake runtime: every kind, every end, every refusal."""

from __future__ import annotations

import asyncio
import io
import logging
import socket
import tarfile
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import CollectorRegistry
from tests.support.agentstreams import (
    AgentLab,
    Hands,
    agent,
    certificates,
    listen,
    run,
)
from tests.support.house import eventually

from zun import conf
from zun.bus.channel import Broken, Channel, Declined, End, open_channel
from zun.cmd.tls import agent_context, client_context
from zun.cmd.wiring import settings_of
from zun.drivers.deadline import Deadline
from zun.drivers.errors import Conflict, Unavailable
from zun.drivers.fake import Block, Fail, LoseReply
from zun.drivers.runtime import PathStat
from zun.model.names import new_uuid
from zun.model.session import StreamKind, StreamPlace, StreamRequest, Why
from zun.store import bound_execs
from zun.store import errors as store_errors
from zun.store.database import Database
from zun.work.clock import utcnow

RUN = {"tty": False, "stdin": True, "timeout": None, "kill_on_close": False}
MIB = 1024 * 1024
LOGS = {"stdout": True, "stderr": True, "timestamps": False, "tail": None, "since": None}


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def hands() -> Hands:
    return Hands()


@pytest.fixture
def lab(db: Database, registry: CollectorRegistry, hands: Hands) -> Iterator[AgentLab]:
    with agent(db, now=hands, registry=registry) as lab:
        yield lab


def _exec(lab: AgentLab, uuid: str, *command: str, tty: bool = True) -> str:
    made: str = lab.runtime.make_exec(uuid, command, tty=tty, stdin=True, deadline=Deadline(30))
    return made


def _bound(lab: AgentLab) -> list[str]:
    with lab.db.read() as conn:
        return [ident for ident, _ in bound_execs.on_host(conn, "host-1")]


# -- every kind ------------------------------------------------------------------------------------------------------


def test_attach_leave_and_attach_again(lab: AgentLab) -> None:
    uuid = lab.running("cat", interactive=True, tty=True)

    async def main() -> None:
        for word in (b"one\n", b"two\n"):
            async with lab.channel(StreamKind.ATTACH, uuid) as channel:
                assert channel.facts["tty"] is True
                await channel.send(word)
                heard = await listen(channel, lambda heard: bool(heard.out))
                assert heard.out == word

    run(main())
    eventually(lambda: lab.endpoint.sessions == 0)


def test_exec_in_a_terminal_that_is_resized(lab: AgentLab) -> None:
    uuid = lab.running()
    ident = _exec(lab, uuid, "sh")

    async def main() -> None:
        async with lab.channel(StreamKind.EXEC, uuid, exec_id=ident) as channel:
            await channel.resize(24, 80)
            await channel.send(b"stty size\n")
            await listen(channel, lambda heard: b"24 80" in heard.out)
            await channel.send(b"exit 3\n")
            heard = await listen(channel)
            assert heard.end == End(why=Why.EXITED, exit_code=3)

    run(main())


def test_run_keeps_the_streams_apart_and_tells_the_exit_code(lab: AgentLab) -> None:
    uuid = lab.running()
    command = ["sh", "-c", "echo out; echo err >&2; exit 5"]

    async def main() -> None:
        async with lab.channel(StreamKind.RUN, uuid, **{**RUN, "command": command}) as channel:
            heard = await listen(channel)
            assert (heard.out, heard.err) == (b"out\n", b"err\n")
            assert heard.end == End(why=Why.EXITED, exit_code=5)

    run(main())


def test_run_pipes_its_input_to_the_end(lab: AgentLab) -> None:
    uuid, data = lab.running(), bytes(range(256)) * 8000  # 2 MB

    async def main() -> None:
        async with lab.channel(StreamKind.RUN, uuid, **{**RUN, "command": ["cat"]}) as channel:

            async def feed() -> None:
                await channel.send(data)
                await channel.close_input()

            feeding = asyncio.create_task(feed())
            heard = await listen(channel)
            await feeding
            assert heard.out == data
            assert heard.end == End(why=Why.EXITED, exit_code=0)

    run(main())


def test_logs_and_their_end(lab: AgentLab) -> None:
    uuid = lab.running()
    lab.runtime.say(uuid, b"before\n")

    async def main() -> None:
        async with lab.channel(StreamKind.LOGS, uuid, **LOGS) as channel:
            await listen(channel, lambda heard: heard.out == b"before\n")
            lab.runtime.say(uuid, b"after\n")
            await listen(channel, lambda heard: heard.out == b"after\n")
            lab.runtime.die(uuid, 0)
            assert (await listen(channel)).end == End(why=Why.EXITED)

    run(main())


def test_archives_in_and_out(lab: AgentLab) -> None:
    uuid, content, buffer = lab.running(), b"c" * 300_000, io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        info = tarfile.TarInfo("f")
        info.size = len(content)
        tar.addfile(info, io.BytesIO(content))

    async def put(path: str, data: bytes) -> End | None:
        async with lab.channel(StreamKind.PUT_ARCHIVE, uuid, path=path) as channel:
            await channel.send(data)
            await channel.close_input()
            return (await listen(channel)).end

    async def main() -> None:
        assert await put("/tmp", buffer.getvalue()) == End(why=Why.EXITED)
        wrong = await put("/tmp", b"no archive" * 100)
        assert wrong is not None and wrong.why is Why.ERROR and "archive" in wrong.reason
        async with lab.channel(StreamKind.GET_ARCHIVE, uuid, path="/tmp/f") as channel:
            assert PathStat(**channel.facts["stat"]).size == len(content)
            heard = await listen(channel)
            assert heard.end == End(why=Why.EXITED)
            with tarfile.open(fileobj=io.BytesIO(bytes(heard.out))) as tar:
                found = tar.extractfile("f")
                assert found is not None and found.read() == content

    run(main())


# -- every end -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("happens", "attached", "entered"),
    [
        ("die", End(why=Why.EXITED, exit_code=9), (Why.STOPPED, 137)),
        ("vanish", End(why=Why.REMOVED, reason="The container was removed."), (Why.REMOVED, 137)),
    ],
)
def test_a_container_that_ends_ends_its_sessions(
    lab: AgentLab, happens: str, attached: End, entered: tuple[Why, int]
) -> None:
    uuid = lab.running("cat", interactive=True)
    ident = _exec(lab, uuid, "sh")

    async def main() -> None:
        async with (
            lab.channel(StreamKind.ATTACH, uuid) as one,
            lab.channel(StreamKind.EXEC, uuid, exec_id=ident) as two,
        ):
            if happens == "die":
                lab.runtime.die(uuid, 9)
            else:
                lab.runtime.vanish(uuid)
            assert (await listen(one)).end == attached
            end = (await listen(two)).end
            assert end is not None and (end.why, end.exit_code) == entered and end.reason

    run(main())


def test_an_engine_that_goes_away_ends_the_sessions(lab: AgentLab) -> None:
    uuid = lab.running("cat", interactive=True)

    async def main() -> None:
        async with (
            lab.channel(StreamKind.ATTACH, uuid) as one,
            lab.channel(StreamKind.LOGS, uuid, **LOGS) as two,
            lab.channel(StreamKind.RUN, uuid, **{**RUN, "command": ["cat"]}) as three,
        ):
            lab.runtime.break_streams()
            for channel in (one, two, three):
                end = (await listen(channel)).end
                assert end is not None and end.why is Why.ENGINE and "broke off" in end.reason

    run(main())


def test_limits_of_time(lab: AgentLab, hands: Hands) -> None:
    uuid = lab.running("cat", interactive=True)

    async def main() -> None:
        limits = {"session_limit": 4000, "idle_limit": 700}
        async with lab.channel(StreamKind.ATTACH, uuid, **limits) as channel:
            for _ in range(5):
                hands.forward(600)  # ten minutes of silence are no end
                await _echo(channel)
            hands.forward(701)
            end = (await listen(channel)).end
            assert end == End(why=Why.IDLE, reason="Nothing came or went for 700 s.")
        async with lab.channel(StreamKind.ATTACH, uuid, session_limit=1000) as channel:
            await _echo(channel)
            hands.forward(1000)
            end = (await listen(channel)).end
            assert end == End(why=Why.LIMIT, reason="A session may take 1000 s.")

    run(main())


async def _echo(channel: Channel) -> None:
    await channel.send(b"x")
    heard = await listen(channel, lambda heard: bool(heard.out))
    assert (heard.out, heard.end) == (b"x", None)


def test_an_archive_that_nobody_reads_on_lets_the_container_go(lab: AgentLab, hands: Hands) -> None:
    uuid = lab.running()

    async def main() -> None:
        async with lab.channel(StreamKind.PUT_ARCHIVE, uuid, path="/tmp") as channel:
            eventually(lambda: lab.endpoint.sessions == 1)
            hands.forward(61)
            end = (await listen(channel)).end
            assert end is not None and end.why is Why.IDLE

    run(main())


def test_a_command_whose_time_is_over_is_killed(lab: AgentLab, hands: Hands) -> None:
    uuid = lab.running()

    async def main() -> None:
        asked: dict[str, Any] = {**RUN, "command": ["sleep", "9"], "timeout": 30}
        async with lab.channel(StreamKind.RUN, uuid, **asked) as channel:
            assert len(_bound(lab)) == 1
            assert lab.endpoint.opener.kill_leftovers() == 0  # it is looked after
            hands.forward(31)
            end = (await listen(channel)).end
            assert end is not None and end.why is Why.KILLED and "30 s" in end.reason

    run(main())
    assert lab.runtime.called("kill_exec") == 1
    assert _bound(lab) == []


@pytest.mark.parametrize("kill", [True, False])
def test_a_client_that_leaves_takes_its_command_along_if_it_said_so(
    lab: AgentLab, kill: bool
) -> None:
    uuid = lab.running()

    async def main() -> None:
        asked: dict[str, Any] = {**RUN, "command": ["sleep", "9"], "kill_on_close": kill}
        async with lab.channel(StreamKind.RUN, uuid, **asked):
            assert len(_bound(lab)) == (1 if kill else 0)

    run(main())
    eventually(lambda: lab.endpoint.sessions == 0)
    assert lab.runtime.called("kill_exec") == (1 if kill else 0)
    assert _bound(lab) == []


def test_an_exec_that_is_bound_goes_with_its_client_and_another_stays(lab: AgentLab) -> None:
    uuid = lab.running()
    bound, free = _exec(lab, uuid, "sh"), _exec(lab, uuid, "sh")
    with lab.db.write() as conn:
        bound_execs.insert(conn, bound, uuid, "host-1", utcnow())

    async def main() -> None:
        for ident in (bound, free):
            async with lab.channel(StreamKind.EXEC, uuid, exec_id=ident) as channel:
                await channel.send(b"echo hi\n")
                await listen(channel, lambda heard: b"hi\r\n" in heard.out)

    run(main())
    eventually(lambda: lab.endpoint.sessions == 0)
    assert lab.runtime.exec_of(bound).exit_code == 137
    assert lab.runtime.exec_of(free).exit_code is None


def test_what_an_earlier_life_left_is_killed(lab: AgentLab) -> None:
    uuid = lab.running()
    left, never, elsewhere = (_exec(lab, uuid, "sh") for _ in range(3))
    with lab.db.write() as conn:
        for ident, host in ((left, "host-1"), (never, "host-1"), (elsewhere, "host-2")):
            bound_execs.insert(conn, ident, uuid, host, utcnow())
        bound_execs.opened(conn, left, utcnow())
        bound_execs.opened(conn, elsewhere, utcnow())
    lab.runtime.open_exec(uuid, left, Deadline(30)).sock.close()
    assert lab.endpoint.opener.kill_leftovers() == 1
    assert lab.runtime.exec_of(left).exit_code == 137
    assert lab.endpoint.opener.kill_leftovers() == 0
    with lab.db.write() as conn:
        assert bound_execs.expire(conn, utcnow() + timedelta(seconds=1)) == 1


def test_a_command_that_may_have_started_is_looked_for(lab: AgentLab) -> None:
    uuid = lab.running()
    lab.runtime.script("open_exec", LoseReply(), Fail(Conflict("it does not run")))

    async def main() -> None:
        asked: dict[str, Any] = {**RUN, "command": ["sleep", "9"], "kill_on_close": True}
        request = StreamRequest(kind=StreamKind.RUN, container_uuid=uuid, arguments=asked)
        assert await _refused(lab, request) == 503
        assert len(_bound(lab)) == 1
        assert await _refused(lab, request) == 409
        assert len(_bound(lab)) == 1

    run(main())
    assert lab.endpoint.opener.kill_leftovers() == 1
    assert _bound(lab) == []


def test_a_kill_that_fails_stays_on_record(lab: AgentLab) -> None:
    uuid = lab.running()
    lab.runtime.script("kill_exec", Fail(Unavailable("away")))

    async def main() -> None:
        asked: dict[str, Any] = {**RUN, "command": ["sleep", "9"], "kill_on_close": True}
        async with lab.channel(StreamKind.RUN, uuid, **asked):
            pass

    run(main())
    eventually(lambda: lab.endpoint.sessions == 0)
    assert len(_bound(lab)) == 1
    assert lab.endpoint.opener.kill_leftovers() == 1
    assert _bound(lab) == []


def test_a_service_that_stops_tells_its_sessions(db: Database) -> None:
    with agent(db) as lab:
        uuid = lab.running("cat", interactive=True)

        async def main() -> None:
            asked: dict[str, Any] = {**RUN, "command": ["cat"], "kill_on_close": True}
            async with (
                lab.channel(StreamKind.ATTACH, uuid) as one,
                lab.channel(StreamKind.RUN, uuid, **asked) as two,
            ):
                stopping = threading.Thread(target=lab.endpoint.stop, args=(30,))
                stopping.start()
                for channel in (one, two):
                    end = (await listen(channel)).end
                    assert end == End(why=Why.SHUTDOWN, reason="The service stops.")
                    await channel.close()
                await asyncio.to_thread(stopping.join)
            assert lab.runtime.called("kill_exec") == 1
            with pytest.raises(Declined):
                async with lab.channel(StreamKind.ATTACH, uuid):
                    pass

        run(main())
        assert not lab.endpoint.alive


# -- back-pressure ---------------------------------------------------------------------------------------------------


def test_who_reads_nothing_stops_the_source_and_nobody_else(lab: AgentLab) -> None:
    flooding, other = lab.running(), lab.running("cat", interactive=True)

    async def main() -> None:
        asked: dict[str, Any] = {**RUN, "command": ["yes"], "kill_on_close": True}
        async with (
            lab.channel(StreamKind.RUN, flooding, **asked) as unread,
            lab.channel(StreamKind.RUN, flooding, **asked) as read,
            lab.channel(StreamKind.ATTACH, other) as quiet,
        ):
            reading = asyncio.create_task(listen(read))
            while read.received < 64 * MIB:
                await _echo(quiet)
            # What waits for its reader is what sockets hold, whatever else has come through meanwhile.
            sent = sorted(relay._wire.sent for relay in lab.endpoint._relays)
            assert sent[1] < 32 * MIB < sent[2]
            assert unread.received == 0
            reading.cancel()
            await asyncio.gather(reading, return_exceptions=True)

    run(main())


def test_input_that_nobody_reads_holds_the_client_back(lab: AgentLab) -> None:
    uuid = lab.running()
    sent = 0

    async def main() -> None:
        nonlocal sent
        async with lab.channel(
            StreamKind.RUN, uuid, **{**RUN, "command": ["sleep", "9"]}
        ) as channel:

            async def pour() -> None:
                nonlocal sent
                for _ in range(4096):
                    await channel.send(b"x" * 65536)
                    sent += 65536

            pouring = asyncio.create_task(pour())
            still, before = 0, -1
            while still < 50:
                await asyncio.sleep(0.005)
                still, before = (still + 1, before) if sent == before else (0, sent)
            assert not pouring.done() and sent < 4096 * 65536
            pouring.cancel()
            await asyncio.gather(pouring, return_exceptions=True)

    run(main())
    eventually(lambda: lab.endpoint.sessions == 0)


# -- refusals --------------------------------------------------------------------------------------------------------


async def _refused(lab: AgentLab, request: StreamRequest, **ticket: Any) -> int:
    with pytest.raises(Declined) as caught:
        await open_channel(lab.place, lab.ticket(request, **ticket))
    assert caught.value.reason
    return caught.value.status


def test_what_can_t_be_opened_is_refused_with_a_reason(lab: AgentLab) -> None:
    uuid, down = lab.running(), lab.running("exit", "0")

    def asked(kind: StreamKind, uuid: str, **arguments: Any) -> StreamRequest:
        return StreamRequest(kind=kind, container_uuid=uuid, arguments=arguments)

    async def main() -> None:
        attach = StreamKind.ATTACH
        assert await _refused(lab, asked(attach, down)) == 409
        assert await _refused(lab, asked(attach, new_uuid())) == 404
        assert await _refused(lab, asked(StreamKind.EXEC, uuid, exec_id="0" * 64)) == 404
        assert await _refused(lab, asked(StreamKind.GET_ARCHIVE, uuid, path="/no")) == 400
        assert await _refused(lab, asked(StreamKind.EXEC, uuid)) == 400
        lab.runtime.script("attach", Fail(Unavailable("the engine is away")))
        assert await _refused(lab, asked(attach, uuid)) == 503
        late = utcnow() - timedelta(minutes=10)
        assert await _refused(lab, asked(attach, uuid), now=late) == 403

    run(main())
    assert lab.endpoint.sessions == 0


def test_without_its_database_the_agent_opens_nothing_and_says_why(
    lab: AgentLab, monkeypatch: pytest.MonkeyPatch
) -> None:
    uuid = lab.running("cat", interactive=True)
    request = StreamRequest(kind=StreamKind.ATTACH, container_uuid=uuid)

    def away(_ticket: str) -> None:
        raise store_errors.Unavailable("the database is away")

    async def main() -> None:
        ticket = lab.ticket(request)
        monkeypatch.setattr(lab.endpoint, "_take", away)
        with pytest.raises(Declined) as caught:
            await open_channel(lab.place, ticket)
        assert caught.value.status == 503 and "database" in caught.value.reason

    run(main())


def test_a_ticket_is_good_once_and_for_one_host(lab: AgentLab, db: Database) -> None:
    uuid = lab.running("cat", interactive=True)
    request = StreamRequest(kind=StreamKind.ATTACH, container_uuid=uuid)

    async def main() -> None:
        ticket = lab.ticket(request)
        channel = await open_channel(lab.place, ticket)
        await channel.close()
        with pytest.raises(Declined) as caught:
            await open_channel(lab.place, ticket)
        assert caught.value.status == 403
        with agent(db, lab.runtime) as other:
            with pytest.raises(Declined) as caught:
                await open_channel(other.place, lab.ticket(request))
            assert caught.value.status == 403

    run(main())


@pytest.mark.parametrize(
    "line",
    [b"\n", b"GET / HTTP/1.1\n", b'{"v": 2, "ticket": "x"}\n', b'{"v": 1, "ticket": 7}\n', b"[1]\n",
     b'{"v": 1, "ticket": "' + b"x" * 60_000 + b'"}\n', b"x" * 200_000, b'{"v": 1}\n', b"\xff\xfe\n"],
)  # fmt: skip
def test_nonsense_at_the_door_opens_nothing(lab: AgentLab, line: bytes) -> None:
    host, port = lab.endpoint.address.split(":")
    with socket.create_connection((host, int(port)), timeout=30) as sock:
        try:
            sock.sendall(line)
            answer = sock.recv(4096)
        except ConnectionError:
            answer = b""
        assert b'"ok": true' not in answer
    assert lab.runtime.called("attach") == 0


def test_there_are_so_many_streams_and_no_more(db: Database) -> None:
    with agent(db, max_sessions=2) as lab:
        uuid = lab.running("cat", interactive=True)

        async def main() -> None:
            async with (
                lab.channel(StreamKind.ATTACH, uuid),
                lab.channel(StreamKind.ATTACH, uuid),
            ):
                request = StreamRequest(kind=StreamKind.ATTACH, container_uuid=uuid)
                assert await _refused(lab, request) == 503

        run(main())


def test_a_client_that_leaves_while_its_stream_is_opened_leaves_nothing(lab: AgentLab) -> None:
    uuid = lab.running("cat", interactive=True)
    go, entered = threading.Event(), threading.Event()
    lab.runtime.script("attach", Block(go, entered=entered))

    async def main() -> None:
        opening = asyncio.create_task(_attach(lab, uuid))
        await asyncio.to_thread(entered.wait, 30)
        opening.cancel()
        await asyncio.gather(opening, return_exceptions=True)
        go.set()

    run(main())
    eventually(lambda: lab.endpoint.sessions == 0 and lab.runtime.open_streams == 0)


async def _attach(lab: AgentLab, uuid: str) -> None:
    async with lab.channel(StreamKind.ATTACH, uuid):
        raise AssertionError("opened")


# -- TLS -------------------------------------------------------------------------------------------------------------


def _tls(files: dict[str, Path], who: str) -> Any:
    overrides = {
        "agent_streams.cert_file": str(files[f"{who}.pem"]),
        "agent_streams.key_file": str(files[f"{who}.key"]),
        "agent_streams.ca_file": str(files["ca.pem"]),
    }
    return conf.load([], overrides=overrides)


@pytest.mark.parametrize("host", ["10.0.0.1", "::", "box.example.com"])
def test_plain_text_beyond_loopback_is_refused_unless_somebody_says_so(host: str) -> None:
    given = {"agent_streams.host_ip": host}
    with pytest.raises(conf.ConfigError, match="allow_plain_text"):
        settings_of(conf.load([], overrides=given))
    given["agent_streams.allow_plain_text"] = True  # type: ignore[assignment]
    assert settings_of(conf.load([], overrides=given)).endpoint.tls is None


def test_tls_both_ways(db: Database, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    files, foreign = certificates(tmp_path), certificates(other)
    tls = agent_context(_tls(files, "agent"))
    with agent(db, tls=tls, advertised="localhost") as lab:
        uuid = lab.running("cat", interactive=True)

        async def main() -> None:
            good = client_context(_tls(files, "client"))
            async with lab.channel(StreamKind.ATTACH, uuid, tls=good) as channel:
                await _echo(channel)
                lab.runtime.die(uuid, 0)
                assert (await listen(channel)).end == End(why=Why.EXITED, exit_code=0)
            request = StreamRequest(kind=StreamKind.ATTACH, container_uuid=uuid)
            for context in (None, client_context(_tls(foreign, "client"))):
                with pytest.raises(Declined) as caught:
                    await open_channel(lab.place, lab.ticket(request), tls=context)
                assert caught.value.status == 503
            # A certificate for another name is none.
            elsewhere = lab.place.address.replace("localhost", "127.0.0.1")
            wrong = StreamPlace(host_uuid=lab.means.host_id, address=elsewhere)
            with pytest.raises(Declined):
                await open_channel(wrong, lab.ticket(request), tls=good)

        run(main())


@pytest.mark.parametrize("wrong", ["agent.pem", "agent.key", "ca.pem"])
def test_certificates_that_can_t_be_used_are_named(tmp_path: Path, wrong: str) -> None:
    files = certificates(tmp_path)
    for content in (None, "no certificate"):
        files[wrong].unlink()
        if content is not None:
            files[wrong].write_text(content)
        with pytest.raises(OSError, match="agent_streams"):
            agent_context(_tls(files, "agent"))
        files[wrong].touch()


def test_certificates_go_together() -> None:
    with pytest.raises(conf.ConfigError, match="go together"):
        conf.load([], overrides={"agent_streams.cert_file": "/c.pem"})
    assert agent_context(conf.load([])) is None and client_context(conf.load([])) is None


# -- what is told ----------------------------------------------------------------------------------------------------


def test_sessions_are_logged_and_counted_without_secrets(
    lab: AgentLab, registry: CollectorRegistry, caplog: pytest.LogCaptureFixture
) -> None:
    uuid = lab.running("cat", interactive=True)
    caplog.set_level(logging.DEBUG)
    request = StreamRequest(kind=StreamKind.ATTACH, container_uuid=uuid)
    ticket = lab.ticket(request)

    async def main() -> None:
        channel = await open_channel(lab.place, ticket)
        await channel.send(b"secret words")
        await listen(channel, lambda heard: len(heard.out) == 12)
        lab.runtime.die(uuid, 0)
        await listen(channel)
        await channel.close()
        with pytest.raises(Declined):
            await open_channel(lab.place, ticket)

    run(main())

    def count(name: str, **labels: str) -> float | None:
        return registry.get_sample_value(name, labels)

    eventually(lambda: count("zun_agent_streams_ended_total", kind="attach", why="exited") == 1)
    assert count("zun_agent_streams_open", kind="attach") == 0
    assert count("zun_agent_stream_bytes_total", kind="attach", direction="in") == 12
    assert count("zun_agent_stream_bytes_total", kind="attach", direction="out") == 12
    assert count("zun_agent_stream_seconds_count", kind="attach") == 1
    assert count("zun_agent_streams_refused_total", status="403") == 1
    lines = [r.getMessage() for r in caplog.records if r.name == "zun.sessions"]
    assert any("begin session=" in line and uuid in line for line in lines)
    assert any("why=exited exit_code=0" in line and "in=12 out=12" in line for line in lines)
    assert any("refused status=403" in line for line in lines)
    for secret in (ticket.ticket, ticket.proof, "secret words"):
        assert secret not in caplog.text


# -- leaks -----------------------------------------------------------------------------------------------------------


def test_two_hundred_sessions_cut_leave_nothing(db: Database) -> None:
    async def one(lab: AgentLab, uuid: str, number: int) -> None:
        async with lab.channel(StreamKind.ATTACH, uuid) as channel:
            if number % 2:
                await channel.send(b"x")

    async def main(lab: AgentLab, uuid: str) -> None:
        for _ in range(10):
            await asyncio.gather(*(one(lab, uuid, number) for number in range(20)))

    with agent(db, threads=2) as lab:
        uuid = lab.running("cat", interactive=True)
        # The first round fills the pools of threads and of connections to the database.
        counts = []
        for _ in range(2):
            run(main(lab, uuid))
            eventually(lambda: lab.endpoint.sessions == 0 and lab.runtime.open_streams == 0)
            files, threads = counts[0] if counts else (10**6, 10**6)
            eventually(lambda: _files() <= files and threading.active_count() <= threads)  # noqa: B023
            counts.append((_files(), threading.active_count()))


def _files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_broken_connection_is_told(lab: AgentLab) -> None:
    uuid = lab.running("cat", interactive=True)

    async def main() -> None:
        async with lab.channel(StreamKind.ATTACH, uuid) as channel:
            await _echo(channel)
            loop = lab.endpoint._loop
            assert loop is not None
            for relay in list(lab.endpoint._relays):
                loop.call_soon_threadsafe(relay._wire._writer.transport.abort)
            with pytest.raises(Broken):
                await listen(channel)

    run(main())
    eventually(lambda: lab.endpoint.sessions == 0 and lab.runtime.open_streams == 0)
