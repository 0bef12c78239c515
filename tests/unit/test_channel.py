"""The client's side of an agent's byte streams, against an agent that says what a test wants."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any

import pytest

from zun.bus import channel
from zun.bus.channel import CLOSE, DATA, END, RESIZE, STDERR, Broken, Declined, End, Frame, Wire
from zun.model.session import AgentTicket, StreamPlace, Why

TICKET = AgentTicket(ticket="t" * 43, proof="p" * 43)
PATIENCE = 30.0

Agent = Callable[[Wire], Awaitable[None]]
Client = Callable[[StreamPlace], Coroutine[Any, Any, None]]


def _talk(agent: Agent, client: Client) -> None:
    """Both sides, until both are done; what either raises comes out."""

    async def main() -> None:
        failures: list[BaseException] = []
        done: list[asyncio.Event] = []

        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            event = asyncio.Event()
            done.append(event)
            wire = Wire(reader, writer)
            try:
                await agent(wire)
            except BaseException as exc:
                failures.append(exc)
            finally:
                await wire.drop()
                event.set()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        async with asyncio.timeout(PATIENCE):
            await client(StreamPlace(host_uuid="h", address=f"127.0.0.1:{port}"))
            for event in done:
                await event.wait()
        server.close()
        await server.wait_closed()
        if failures:
            raise failures[0]

    asyncio.run(main())


async def _welcome(wire: Wire, **facts: Any) -> None:
    assert await wire.receive_line() == {"v": 1, "ticket": TICKET.ticket}
    await wire.send_line({"ok": True, "proof": TICKET.proof, **facts})


def test_data_goes_both_ways_and_the_end_says_why() -> None:
    seen: list[Frame] = []

    async def agent(wire: Wire) -> None:
        await _welcome(wire, tty=False)
        while (frame := await wire.receive()) is not None:
            seen.append(frame)
            if frame.kind == CLOSE:
                break
        await wire.send(DATA, b"out")
        await wire.send(STDERR, b"err")
        await wire.send(CLOSE)
        await wire.send(END, channel.end_frame(End(why=Why.EXITED, exit_code=3, reason="done")))

    async def client(place: StreamPlace) -> None:
        opened = await channel.open_channel(place, TICKET)
        assert opened.facts["tty"] is False
        await opened.send(b"in")
        await opened.send(b"")
        await opened.resize(24, 80)
        await opened.close_input()
        got = [await opened.receive() for _ in range(4)]
        assert got[:3] == [(DATA, b"out"), (STDERR, b"err"), (CLOSE, b"")]
        assert got[3].kind == END
        assert opened.end == End(why=Why.EXITED, exit_code=3, reason="done")
        assert (opened.sent, opened.received) == (2, 6)
        await opened.close()

    _talk(agent, client)
    assert [frame.kind for frame in seen] == [DATA, RESIZE, CLOSE]
    assert seen[0].payload == b"in"
    assert json.loads(seen[1].payload) == {"h": 24, "w": 80}


def test_much_data_comes_in_frames_of_bounded_size_and_whole() -> None:
    whole = bytes(range(256)) * 4096  # 1 MiB
    sizes: list[int] = []

    async def agent(wire: Wire) -> None:
        await _welcome(wire)
        got = bytearray()
        while len(got) < len(whole):
            frame = await wire.receive()
            assert frame is not None
            sizes.append(len(frame.payload))
            got += frame.payload
        assert got == whole

    async def client(place: StreamPlace) -> None:
        opened = await channel.open_channel(place, TICKET)
        await opened.send(whole)
        with pytest.raises(Broken):
            await opened.receive()
        await opened.close()

    _talk(agent, client)
    assert max(sizes) == channel.FRAME_LIMIT


def test_who_reads_nothing_holds_the_writer_back() -> None:
    sent = 0
    read_on = asyncio.Event()

    async def agent(wire: Wire) -> None:
        nonlocal sent
        await _welcome(wire)
        await asyncio.sleep(0)
        writing = asyncio.create_task(_pour(wire))
        # It stands still: for a while nothing more is taken, however often the loop comes round.
        still, before = 0, -1
        while still < 50:
            await asyncio.sleep(0.005)
            still, before = (still + 1, before) if sent == before else (0, sent)
        assert not writing.done()
        read_on.set()
        await writing

    async def _pour(wire: Wire) -> None:
        nonlocal sent
        for _ in range(1024):
            await wire.send(DATA, b"x" * channel.FRAME_LIMIT)
            sent += channel.FRAME_LIMIT

    async def client(place: StreamPlace) -> None:
        opened = await channel.open_channel(place, TICKET)
        await read_on.wait()
        got = 0
        while got < 1024 * channel.FRAME_LIMIT:
            got += len((await opened.receive()).payload)
        await opened.close()

    _talk(agent, client)


def test_the_agent_may_decline() -> None:
    async def agent(wire: Wire) -> None:
        await wire.receive_line()
        await wire.send_line({"ok": False, "status": 409, "reason": "it does not run"})

    async def client(place: StreamPlace) -> None:
        with pytest.raises(Declined) as caught:
            await channel.open_channel(place, TICKET)
        assert (caught.value.status, caught.value.reason) == (409, "it does not run")

    _talk(agent, client)


def test_who_does_not_know_the_proof_is_not_the_agent() -> None:
    async def agent(wire: Wire) -> None:
        await wire.receive_line()
        await wire.send_line({"ok": True, "proof": "guessed"})

    async def client(place: StreamPlace) -> None:
        with pytest.raises(Declined) as caught:
            await channel.open_channel(place, TICKET)
        assert caught.value.status == 503

    _talk(agent, client)


@pytest.mark.parametrize(
    "line", [b"no json\n", b"[]\n", b"\xff\n", b"{" * 4000 + b"\n", b"x" * 100_000, b'{"ok": false}\n', b""]
)  # fmt: skip
def test_an_answer_that_can_t_be_read_is_unreachable(line: bytes) -> None:
    async def main() -> None:
        async def serve(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(line)
            writer.close()

        server = await asyncio.start_server(serve, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(Declined) as caught:
            await channel.open_channel(
                StreamPlace(host_uuid="h", address=f"127.0.0.1:{port}"), TICKET
            )
        assert caught.value.status == 503
        server.close()
        await server.wait_closed()

    asyncio.run(main())


def test_an_agent_that_is_silent_or_away_is_unreachable() -> None:
    hang = asyncio.Event()

    async def agent(wire: Wire) -> None:
        await hang.wait()

    async def client(place: StreamPlace) -> None:
        with pytest.raises(Declined) as caught:
            await channel.open_channel(place, TICKET, seconds=0.05)
        assert caught.value.status == 503
        hang.set()

    _talk(agent, client)

    async def nobody() -> None:
        for address in ("127.0.0.1:1", "nonsense", "", "h:x"):
            with pytest.raises(Declined):
                await channel.open_channel(StreamPlace(host_uuid="h", address=address), TICKET)

    asyncio.run(nobody())


@pytest.mark.parametrize(
    "bytes_sent",
    [
        b"",  # gone between two frames, without an end
        b"D\x00\x00",  # within a head
        b"D\x00\x00\x00\x05abc",  # within a payload
        b"Q\x00\x00\x00\x00",  # no such kind
        b"D\x7f\xff\xff\xff",  # far too long
        b"X\x00\x00\x00\x02{}",  # an end that says nothing
        b'X\x00\x00\x00\x1b{"why":"x","exit_code":null',
    ],
)
def test_an_agent_that_goes_away_or_talks_nonsense_breaks_the_stream(bytes_sent: bytes) -> None:
    async def agent(wire: Wire) -> None:
        await _welcome(wire)
        wire._writer.write(bytes_sent)
        await wire._writer.drain()
        wire.finish()

    async def client(place: StreamPlace) -> None:
        opened = await channel.open_channel(place, TICKET)
        with pytest.raises(Broken):
            await opened.receive()
        assert opened.end is None
        await opened.close()

    _talk(agent, client)


@pytest.mark.parametrize(
    ("address", "parts"),
    [("127.0.0.1:80", ("127.0.0.1", 80)), ("[::1]:80", ("::1", 80)), ("a.example:9", ("a.example", 9))],
)  # fmt: skip
def test_addresses(address: str, parts: tuple[str, int]) -> None:
    assert channel.split_address(address) == parts
