"""Archives over an agent's byte stream, as the API has them: whole, refused, cut off; and the JSON they are in."""

from __future__ import annotations

import base64
import io
import json
import os
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest
from tests.support.agentstreams import HOST, AgentLab, agent
from tests.support.house import PROJECT, eventually
from tests.support.rawstreams import files_of, tar_of
from tests.support.rows import container, host

from zun.api.archives import ArchiveAnswer, Decoded, archive_in
from zun.api.endpoint import Answer
from zun.api.versions import Version
from zun.bus import Refused
from zun.bus.channel import FRAME_LIMIT
from zun.bus.local import LocalBus
from zun.compute.answers import answers
from zun.drivers import errors
from zun.drivers.fake import Fail
from zun.model.container import Container
from zun.model.names import new_uuid
from zun.service.agents import AgentStreams
from zun.service.archives import Archives, check_archive
from zun.service.errors import Conflict, Invalid, ServiceError, Unavailable
from zun.service.questions import Questions, TooLate
from zun.service.settings import ServiceSettings
from zun.store import hosts, schema
from zun.store.database import Database
from zun.work.clock import utcnow

SETTINGS = ServiceSettings(archive_bytes=2_000_000)
CONTENT = bytes(range(256)) * 4000


@pytest.fixture
def lab(db: Database) -> Iterator[AgentLab]:
    ident = new_uuid()
    with agent(db, host_id=ident) as lab:
        with db.write() as conn:
            hosts.register(conn, host(HOST, uuid=ident), utcnow())
            hosts.set_stream_address(conn, HOST, lab.endpoint.address)
        yield lab


def archives(db: Database, settings: ServiceSettings = SETTINGS) -> Archives:
    return Archives(AgentStreams(db, utcnow), Questions(db, LocalBus(), settings), settings)


def of(uuid: str) -> Container:
    return container(uuid=uuid, project_id=PROJECT, host=HOST, container_id="c" * 64)


class Sink:
    """What came, and how large its largest piece was."""

    def __init__(self) -> None:
        self.data, self.largest = bytearray(), 0

    def __call__(self, piece: bytes) -> None:
        self.data += piece
        self.largest = max(self.largest, len(piece))


def test_files_go_in_and_out_in_pieces(lab: AgentLab) -> None:
    uuid, sink, mine = lab.running(), Sink(), archives(lab.db)
    mine.put(of(uuid), "/tmp", io.BytesIO(tar_of("f", CONTENT)))
    stat = mine.get(of(uuid), "/tmp/f", sink)
    assert files_of(bytes(sink.data)) == {"f": CONTENT}
    assert (stat.name, stat.size) == ("f", len(CONTENT))
    assert 0 < sink.largest <= FRAME_LIMIT
    eventually(lambda: lab.endpoint.sessions == 0)
    with lab.db.read() as conn:
        assert conn.execute(schema.tickets.select()).all() == []


def test_what_cannot_be_is_refused_as_the_engine_refuses_it(lab: AgentLab) -> None:
    uuid, mine = lab.running(), archives(lab.db)
    doubted: list[str] = []
    lab.endpoint.doubt = doubted.append
    good = tar_of("f", CONTENT)
    wrong: list[tuple[type[ServiceError], str, Callable[[], object]]] = [
        (Invalid, "no such file", lambda: mine.get(of(uuid), "/nowhere", Sink())),
        (Invalid, "no such directory", lambda: mine.put(of(uuid), "/nowhere", io.BytesIO(good))),
        (Invalid, "no tar archive", lambda: mine.put(of(uuid), "/tmp", io.BytesIO(b"junk"))),
    ]
    for kind, why, call in wrong:
        with pytest.raises(kind, match=why) as caught:
            call()
        assert type(caught.value) is kind
    assert doubted == []
    gone = new_uuid()
    for call in (
        lambda: mine.get(of(gone), "/tmp", Sink()),
        lambda: mine.put(of(gone), "/tmp", io.BytesIO(good)),
    ):
        with pytest.raises(Conflict):
            call()
    assert doubted == [gone, gone]
    # Only once it has seen all of it does an engine say that nothing may be written there.
    lab.runtime.script("unpack", Fail(errors.Conflict("the container is read-only")))
    with pytest.raises(Conflict, match="read-only"):
        mine.put(of(uuid), "/tmp", io.BytesIO(good))


def test_an_archive_beyond_the_bound_is_refused_and_left(lab: AgentLab) -> None:
    uuid, sink = lab.running(), Sink()
    lab.runtime._boxes[uuid].files["/tmp/large"] = bytes(20_000_000)
    with pytest.raises(Invalid, match="2000000 bytes"):
        archives(lab.db).get(of(uuid), "/tmp/large", sink)
    assert len(sink.data) <= SETTINGS.archive_bytes
    eventually(lambda: lab.endpoint.sessions == 0)


def test_a_host_that_cannot_be_asked_is_not_waited_for(lab: AgentLab) -> None:
    uuid, mine, good = lab.running(), archives(lab.db), tar_of("f", b"x")

    def both() -> None:
        for call in (
            lambda: mine.get(of(uuid), "/tmp", Sink()),
            lambda: mine.put(of(uuid), "/tmp", io.BytesIO(good)),
        ):
            with pytest.raises(Unavailable):
                call()

    lab.runtime.script("open_get", Fail(errors.Unavailable("the engine is away")))
    lab.runtime.script("open_put", Fail(errors.Unavailable("the engine is away")))
    both()
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nobody = closed.getsockname()[1]
    with lab.db.write() as conn:
        hosts.set_stream_address(conn, HOST, f"127.0.0.1:{nobody}")
    both()
    with lab.db.write() as conn:
        conn.execute(schema.hosts.update().values(stream_address=None))
    both()
    with lab.db.write() as conn:
        conn.execute(schema.services.update().values(forced_down=True))
    both()


class Cuttable(io.BytesIO):
    """An archive after whose first pieces something happens."""

    def __init__(self, data: bytes, happens: Callable[[], object]) -> None:
        super().__init__(data)
        self._happens, self._reads = happens, 0

    def read(self, size: int | None = -1, /) -> bytes:
        self._reads += 1
        if self._reads == 5:
            self._happens()
        return super().read(size)


def _cut(lab: AgentLab) -> None:
    """What the death of an agent does to its connections."""
    loop = lab.endpoint._loop
    assert loop is not None
    for relay in list(lab.endpoint._relays):
        loop.call_soon_threadsafe(relay._wire._writer.transport.abort)
    eventually(lambda: lab.endpoint.sessions == 0)


def _stop(lab: AgentLab) -> None:
    loop, ending = lab.endpoint._loop, lab.endpoint._ending
    assert loop is not None and ending is not None
    loop.call_soon_threadsafe(ending.set)


@pytest.mark.parametrize("happens", [_cut, _stop])
def test_an_agent_that_goes_away_in_the_middle_is_told(lab: AgentLab, happens: Any) -> None:
    uuid, mine = lab.running(), archives(lab.db, replace(SETTINGS, archive_bytes=10**8))
    lab.runtime._boxes[uuid].files["/tmp/large"] = bytes(20_000_000)
    before = dict(lab.runtime._boxes[uuid].files)

    def cut_off() -> None:
        happens(lab)

    with pytest.raises(Unavailable, match="Put it again"):
        mine.put(of(uuid), "/tmp", Cuttable(tar_of("f", bytes(20_000_000)), cut_off))
    assert lab.runtime._boxes[uuid].files == before
    if happens is _cut:
        got: list[int] = []

        def sink(piece: bytes) -> None:
            if not got:
                cut_off()
            got.append(len(piece))

        with pytest.raises(Unavailable, match="only in part"):
            mine.get(of(uuid), "/tmp/large", sink)
        assert sum(got) < 20_000_000


@contextmanager
def standing(lab: AgentLab) -> Iterator[None]:
    """The agent's loop stands still."""
    go_on, stands = threading.Event(), threading.Event()
    loop = lab.endpoint._loop
    assert loop is not None

    def stand() -> None:
        stands.set()
        go_on.wait(60)

    loop.call_soon_threadsafe(stand)
    stands.wait(60)
    try:
        yield
    finally:
        go_on.set()


def test_an_agent_that_stands_still_is_not_waited_for_for_ever(lab: AgentLab) -> None:
    uuid, mine = (
        lab.running(),
        archives(lab.db, replace(SETTINGS, archive_bytes=10**8, ask_seconds=0.2)),
    )
    lab.runtime._boxes[uuid].files["/tmp/large"] = bytes(20_000_000)
    still: list[Any] = []

    def stand() -> None:
        still.append(standing(lab))
        still[-1].__enter__()

    with pytest.raises(TooLate, match="Put it again"):
        mine.put(of(uuid), "/tmp", Cuttable(tar_of("f", bytes(20_000_000)), stand))
    still[-1].__exit__(None, None, None)
    with pytest.raises(TooLate, match="only in part"):
        mine.get(of(uuid), "/tmp/large", lambda piece: None if len(still) > 1 else stand())
    still[-1].__exit__(None, None, None)
    eventually(lambda: lab.endpoint.sessions == 0)


# -- for zun-api of 0.1 ----------------------------------------------------------------------------------------------


def test_the_older_questions_are_answered_still(lab: AgentLab) -> None:
    uuid, ask = lab.running(), answers(lab.means, lambda uuid: None)
    ask["put_archive"]({"uuid": uuid, "path": "/tmp", "data": tar_of("f", CONTENT)}, 60.0)
    wanted = {"uuid": uuid, "path": "/tmp/f", "limit": 10**7}
    got = ask["get_archive"](wanted, 60.0)
    assert files_of(got.pop("data")) == {"f": CONTENT}
    assert set(got) == {"name", "size", "mode", "mtime", "link_target"}
    for question, arguments in (
        ("get_archive", {**wanted, "limit": 1000}),
        ("get_archive", {**wanted, "path": "/nowhere"}),
        ("put_archive", {"uuid": uuid, "path": "/nowhere", "data": tar_of("f", b"x")}),
        ("put_archive", {"uuid": new_uuid(), "path": "/tmp", "data": tar_of("f", b"x")}),
    ):
        with pytest.raises(Refused):
            ask[question](arguments, 60.0)


# -- JSON ------------------------------------------------------------------------------------------------------------


def _said(answer: Answer) -> bytes:
    if answer.file is None:
        assert answer.text is not None
        return answer.text
    with answer.file as file:
        said = file.read()
    assert len(said) == answer.length
    return said


def test_an_answer_of_some_size_is_in_a_file() -> None:
    data, answer = os.urandom(2_000_001), ArchiveAnswer(Version(1, 40))
    for at in range(0, len(data), FRAME_LIMIT):
        answer.add(data[at : at + FRAME_LIMIT])
    made = answer.finish({})
    assert made.file is not None
    assert base64.b64decode(json.loads(_said(made))["data"]) == data


@pytest.mark.parametrize("version", ["1.24", "1.25"])
@pytest.mark.parametrize("size", [1, 2, 3, 7, 1000])
def test_an_answer_is_the_same_whatever_pieces_it_came_in(version: str, size: int) -> None:
    text = 'Grüße "\\ \n\0 \x7f ' * 50
    data, stat = text.encode(), {"name": "f", "size": 3}
    answer = ArchiveAnswer(Version(1, int(version[2:])))
    for at in range(0, len(data), size):
        answer.add(data[at : at + size])
    said = _said(answer.finish(stat))
    expected = text if version == "1.24" else base64.b64encode(data).decode()
    assert json.loads(said) == {"data": expected, "stat": stat}


def test_text_that_is_cut_within_a_character_is_no_text() -> None:
    answer = ArchiveAnswer(Version(1, 24))
    answer.add("ü".encode()[:1])
    with pytest.raises(Invalid, match=r"1\.25"):
        answer.finish({})
    answer.close()


def test_a_full_disk_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    answer = ArchiveAnswer(Version(1, 40))

    def full(_data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(answer._file, "write", full)
    with pytest.raises(Unavailable, match="No space left"):
        answer.add(b"abc")
    answer.close()


@pytest.mark.parametrize("size", [0, 1, 2, 3, 4, 599, 600, 601])
def test_base64_is_read_from_anywhere(size: int) -> None:
    data = os.urandom(size)
    source = Decoded(base64.b64encode(data).decode())
    assert source.read() == data
    for at in (0, 1, 2, 3, 100, size):
        source.seek(at)
        for count in (1, 2, 3, 64):
            where = source.tell()
            assert source.read(count) == data[where : where + count]
    assert source.seek(0, io.SEEK_END) == size


@pytest.mark.parametrize(
    "wrong", ["é", "A", "AA", "AAA", "A===", "=AAA", "AA=A", "AA\nA", "AA=="[:3]]
)
def test_what_is_no_base64_is_refused(wrong: str) -> None:
    with pytest.raises(Invalid, match="base64"):
        archive_in(wrong, Version(1, 25))


@pytest.mark.parametrize(
    ("data", "good"),
    [
        (tar_of("f", b"x"), True), (bytes(1024), True), (b"\x1f\x8b junk", True), (b"", False),
        (b"x" * 511, False), (b"x" * 512, False), (bytes(511), False), (tar_of("f", b"x")[1:], False),
    ],
)  # fmt: skip
def test_how_an_archive_begins(data: bytes, good: bool) -> None:
    source = io.BytesIO(data)
    if good:
        check_archive(source)
    else:
        with pytest.raises(Invalid, match="no tar archive"):
            check_archive(source)
    assert source.tell() == 0
