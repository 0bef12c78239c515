"""Files in and out of containers, as tar archives of any size: over the byte streams of the agents, piece by piece.

Neither way is an archive held here: a piece is passed on before the next is asked for.
"""

from __future__ import annotations

import asyncio
import contextlib
import tarfile
from collections.abc import Callable, Coroutine
from typing import Any, BinaryIO, TypeVar

from zun.bus import Refused
from zun.bus.channel import DATA, END, FRAME_LIMIT, Broken, Channel
from zun.model.container import Container
from zun.model.session import StreamKind, StreamRequest
from zun.model.session import Why as Ended
from zun.service.agents import AgentStreams, why_of
from zun.service.errors import Invalid, Unavailable
from zun.service.queries import ArchiveStat
from zun.service.questions import Questions, TooLate, refusal
from zun.service.settings import ServiceSettings

_T = TypeVar("_T")

#: Seconds for the agent to be reached, and for its engine to begin.
_OPEN = 15.0

#: Bytes a second below which an archive takes too long: nobody holds a request's thread for ever.
_SLOWEST = 1024 * 1024

_HALF_GOT = "The files came only in part; ask again."
_HALF_PUT = "The archive was cut off: part of it may be in the container by now. Put it again."

#: How what the engine unpacks, beside plain archives, begins: gzip, bzip2, xz, zstd.
_PACKED = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd")


class Archives:
    """Raises `service.errors`. Blocks its caller, for as long as the archive takes."""

    def __init__(
        self, streams: AgentStreams, questions: Questions, settings: ServiceSettings
    ) -> None:
        self._streams = streams
        self._questions = questions
        self._limit = settings.archive_bytes
        self._stall = settings.ask_seconds
        self._longest = settings.ask_seconds + settings.archive_bytes / _SLOWEST

    def get(self, container: Container, path: str, sink: Callable[[bytes], None]) -> ArchiveStat:
        """Gives the archive of a path to `sink`, and what the path is to the caller.

        Raises Invalid: there is nothing there, or it is more than the configured bound; Unavailable: `sink` may have
        got a part.
        """
        return self._run(
            container, StreamKind.GET_ARCHIVE, path, _HALF_GOT,
            lambda channel: self._receive(channel, sink),
        )  # fmt: skip

    def put(self, container: Container, path: str, source: BinaryIO) -> None:
        """Unpacks what `source`, which can seek, has into a directory.

        Raises Invalid: there is no directory, or it is no archive; Unavailable: a part may be unpacked.
        """
        check_archive(source)
        self._run(
            container, StreamKind.PUT_ARCHIVE, path, _HALF_PUT,
            lambda channel: self._send(channel, source),
        )  # fmt: skip

    def _run(
        self,
        container: Container,
        kind: StreamKind,
        path: str,
        half: str,
        work: Callable[[Channel], Coroutine[Any, Any, _T]],
    ) -> _T:
        host = self._questions.host_to_ask(container)
        request = StreamRequest(kind=kind, container_uuid=container.uuid, arguments={"path": path})

        async def talk() -> _T:
            channel = await self._streams.open(place, ticket, _OPEN)
            try:
                async with asyncio.timeout(self._longest):
                    return await work(channel)
            finally:
                await channel.close()

        try:
            place, ticket = self._streams.ticket(host, request)
            return asyncio.run(talk())
        except Refused as exc:
            raise refusal(exc) from exc
        except _Half as exc:
            raise Unavailable(f"{exc} {half}") from exc
        except Broken as exc:
            raise Unavailable(f"The agent of host {host} went away. {half}") from exc
        except TimeoutError as exc:
            raise TooLate(f"Host {host} is too slow. {half}") from exc

    async def _receive(self, channel: Channel, sink: Callable[[bytes], None]) -> ArchiveStat:
        stat = ArchiveStat(**channel.facts["stat"])
        while True:
            async with asyncio.timeout(self._stall):
                frame = await channel.receive()
            if frame.kind == END:
                _check_end(channel)
                return stat
            if channel.received > self._limit:
                raise Invalid(
                    f"The archive has more than {self._limit} bytes, the most this service gives.",
                    slug="invalid",
                )
            if frame.kind == DATA:
                sink(frame.payload)

    async def _send(self, channel: Channel, source: BinaryIO) -> None:
        hearing = asyncio.create_task(_hear_end(channel))
        feeding = asyncio.create_task(self._feed(channel, source))
        try:
            # The end may come early: the engine has refused what it saw.
            await asyncio.wait((hearing, feeding), return_when=asyncio.FIRST_COMPLETED)
            if not hearing.done():
                feeding.result()
            await asyncio.wait_for(hearing, self._stall)
        finally:
            for task in (hearing, feeding):
                task.cancel()
            await asyncio.gather(hearing, feeding, return_exceptions=True)
        _check_end(channel)

    async def _feed(self, channel: Channel, source: BinaryIO) -> None:
        """Sends it all. Raises TimeoutError: nobody takes it; where the agent went away, whoever listens tells."""
        with contextlib.suppress(Broken):
            while piece := source.read(FRAME_LIMIT):
                async with asyncio.timeout(self._stall):
                    await channel.send(piece)
            await channel.close_input()


async def _hear_end(channel: Channel) -> None:
    while (await channel.receive()).kind != END:
        pass


class _Half(Exception):
    """The stream ended before all of it was told. Its text is fit for a user's eyes."""


def _check_end(channel: Channel) -> None:
    end = channel.end
    assert end is not None
    if end.why is Ended.EXITED:
        return
    if end.why is Ended.ERROR:
        # Agents of 0.1 do not say what it was; nearly always it is the archive, or the path.
        raise Refused(why_of(end.status or 400), end.reason)
    raise _Half(end.reason)


def check_archive(source: BinaryIO) -> None:
    """Raises Invalid unless `source` begins as an archive does; leaves it where it was.

    An engine takes junk of less than a block for nothing, and says nothing. What is packed is the engine's to judge:
    unpacking it here would take whatever memory it says it takes.
    """
    begin = source.tell()
    head = source.read(tarfile.BLOCKSIZE)
    source.seek(begin)
    if head.startswith(_PACKED) or (len(head) == tarfile.BLOCKSIZE and not any(head)):
        return
    try:
        tarfile.TarInfo.frombuf(head, "utf-8", "surrogateescape")
    except (tarfile.TarError, ValueError) as exc:
        raise Invalid("The data is no tar archive.", slug="invalid") from exc
