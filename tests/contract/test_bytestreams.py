"""Byte streams into containers, on the fake and on the real engine."""

from __future__ import annotations

from typing import Any

import pytest
from tests.support.house import eventually
from tests.support.lab import FOREVER, Lab, soon
from tests.support.rawstreams import files_of, get_files, put_files, talking, tar_of

from zun.drivers import errors
from zun.drivers.bytestreams import (
    STDERR,
    STDOUT,
    CanAttach,
    CanOpenArchive,
    CanOpenExec,
    CanOpenLog,
    CanResize,
    ExecState,
    Multiplexed,
    Outcome,
    pack,
)
from zun.drivers.docker.hijack import LAST_CHUNK, Chunked, Measured, chunk
from zun.drivers.runtime import CanPause, LogRequest
from zun.model import names
from zun.model.session import Why

ECHO = ["cat"]


@pytest.mark.parametrize("power", [CanAttach, CanResize, CanOpenExec, CanOpenLog, CanOpenArchive])
def test_the_power_is_there(lab: Lab, power: type) -> None:
    assert isinstance(lab.runtime, power)


# -- attach ----------------------------------------------------------------------------------------------------------


def test_attach_to_a_terminal(lab: Lab) -> None:
    uuid = lab.running(ECHO, interactive=True, tty=True)
    with talking(lab.runtime.attach(uuid, soon())) as talk:
        assert talk.stream.tty
        talk.send(b"hello\n")
        talk.until(lambda: b"hello" in talk.out)
    with talking(lab.runtime.attach(uuid, soon())) as again:  # leaving left it running
        again.send(b"again\n")
        again.until(lambda: b"again" in again.out)
        lab.kill_behind(uuid)
        again.whole()
        assert again.outcome() == Outcome(why=Why.EXITED, exit_code=137)


def test_attach_without_a_terminal(lab: Lab) -> None:
    uuid = lab.running(ECHO, interactive=True)
    with (
        talking(lab.runtime.attach(uuid, soon())) as one,
        talking(lab.runtime.attach(uuid, soon())) as two,
    ):
        assert not one.stream.tty
        one.send(b"to both\n")
        for talk in (one, two):
            talk.until(lambda talk=talk: talk.out == b"to both\n")  # type: ignore[misc]
        lab.vanish(uuid)
        one.whole()
        assert one.outcome().why in (Why.REMOVED, Why.EXITED)
        eventually(lambda: one.outcome().why is Why.REMOVED)


def test_attach_to_what_does_not_run(lab: Lab) -> None:
    with pytest.raises(errors.Conflict):
        lab.runtime.attach(lab.created(), soon())
    with pytest.raises(errors.NotFound):
        lab.runtime.attach(names.new_uuid(), soon())


def test_resize_of_the_main_terminal(lab: Lab) -> None:
    uuid = lab.running(["sh"], interactive=True, tty=True)
    lab.runtime.resize(uuid, 33, 99, soon())
    if lab.real:
        with talking(lab.runtime.attach(uuid, soon())) as talk:
            talk.send(b"stty size\n")
            talk.until(lambda: b"33 99" in talk.out)
    for other in (lab.running(), lab.created(tty=True)):
        with pytest.raises(errors.Conflict):
            lab.runtime.resize(other, 33, 99, soon())
    with pytest.raises(errors.NotFound):
        lab.runtime.resize(names.new_uuid(), 33, 99, soon())


# -- exec ------------------------------------------------------------------------------------------------------------


def _made(lab: Lab, uuid: str, command: list[str], *, tty: bool = False) -> str:
    return lab.runtime.make_exec(uuid, command, tty=tty, stdin=True, deadline=soon())


def test_exec_in_a_terminal(lab: Lab) -> None:
    uuid = lab.running()
    ident = _made(lab, uuid, ["sh"], tty=True)
    assert len(ident) == 64 and set(ident) <= set("0123456789abcdef")
    assert lab.runtime.look_at_exec(uuid, ident, soon()) == ExecState(tty=True)
    with pytest.raises(errors.Conflict):
        lab.runtime.resize_exec(uuid, ident, 24, 80, soon())
    with talking(lab.runtime.open_exec(uuid, ident, soon())) as talk:
        assert talk.stream.tty
        eventually(lambda: lab.runtime.look_at_exec(uuid, ident, soon()).running)
        lab.runtime.resize_exec(uuid, ident, 24, 80, soon())
        talk.send(b"stty size\n")
        talk.until(lambda: b"24 80" in talk.out)
        talk.send(b"exit 7\n")
        talk.whole()
        assert talk.outcome() == Outcome(why=Why.EXITED, exit_code=7)
    assert lab.runtime.look_at_exec(uuid, ident, soon()) == ExecState(tty=True, exit_code=7)
    with pytest.raises(errors.Conflict):
        lab.runtime.resize_exec(uuid, ident, 24, 80, soon())


def test_exec_without_a_terminal_keeps_the_streams_apart(lab: Lab) -> None:
    uuid = lab.running()
    ident = _made(lab, uuid, ["sh", "-c", "echo out; echo err >&2; exit 3"])
    with talking(lab.runtime.open_exec(uuid, ident, soon())) as talk:
        assert (talk.whole(), bytes(talk.err)) == (b"out\n", b"err\n")
        assert talk.outcome() == Outcome(why=Why.EXITED, exit_code=3)


def test_exec_reads_its_input_to_the_end(lab: Lab) -> None:
    uuid = lab.running()
    data = bytes(range(256)) * 400
    with talking(lab.runtime.open_exec(uuid, _made(lab, uuid, ECHO), soon())) as talk:
        talk.send(data)
        talk.end_input()
        assert talk.whole() == data
        assert talk.outcome() == Outcome(why=Why.EXITED, exit_code=0)


def test_exec_of_what_is_not_there(lab: Lab) -> None:
    uuid = lab.running()
    with talking(lab.runtime.open_exec(uuid, _made(lab, uuid, ["/no/such"]), soon())) as talk:
        assert talk.whole() or talk.err
        assert talk.outcome().exit_code in (126, 127)


def test_exec_starts_once(lab: Lab) -> None:
    uuid = lab.running()
    ident = _made(lab, uuid, FOREVER)
    with talking(lab.runtime.open_exec(uuid, ident, soon())):
        eventually(lambda: lab.runtime.look_at_exec(uuid, ident, soon()).running)
        with pytest.raises(errors.Conflict):
            lab.runtime.open_exec(uuid, ident, soon())
    # Whose stream has gone runs on, until it is killed.
    assert lab.runtime.look_at_exec(uuid, ident, soon()).running
    lab.runtime.kill_exec(uuid, ident, soon())
    eventually(lambda: lab.runtime.look_at_exec(uuid, ident, soon()).exit_code == 137)
    lab.runtime.kill_exec(uuid, ident, soon())
    with pytest.raises(errors.Conflict):
        lab.runtime.open_exec(uuid, ident, soon())


def test_exec_killed_is_told_on_its_stream(lab: Lab) -> None:
    uuid = lab.running()
    ident = _made(lab, uuid, FOREVER)
    with talking(lab.runtime.open_exec(uuid, ident, soon())) as talk:
        eventually(lambda: lab.runtime.look_at_exec(uuid, ident, soon()).running)
        lab.runtime.kill_exec(uuid, ident, soon())
        talk.whole()
        assert talk.outcome() == Outcome(why=Why.EXITED, exit_code=137)


@pytest.mark.parametrize("tty", [False, True])
def test_exec_ends_with_its_container(lab: Lab, tty: bool) -> None:
    uuid = lab.running()
    ident = _made(lab, uuid, ECHO, tty=tty)
    with talking(lab.runtime.open_exec(uuid, ident, soon())) as talk:
        # Until it answers it may not be there yet, whatever the engine says: then it is one that can't be run.
        talk.send(b"there\n")
        talk.until(lambda: b"there" in talk.out)
        lab.kill_behind(uuid)
        talk.whole()
        assert talk.outcome().why is Why.STOPPED


def test_an_exec_of_another_container_is_none_of_its(lab: Lab) -> None:
    mine, other = lab.running(), lab.running()
    ident = _made(lab, other, ["sh"], tty=True)
    calls: list[Any] = [
        lambda i: lab.runtime.open_exec(mine, i, soon()),
        lambda i: lab.runtime.look_at_exec(mine, i, soon()),
        lambda i: lab.runtime.resize_exec(mine, i, 1, 1, soon()),
    ]
    for call in calls:
        for wrong in (ident, "0" * 64):
            with pytest.raises(errors.NotFound):
                call(wrong)
    lab.runtime.kill_exec(mine, ident, soon())
    assert lab.runtime.look_at_exec(other, ident, soon()) == ExecState(tty=True)


def test_make_exec_is_refused(lab: Lab) -> None:
    with pytest.raises(errors.Conflict):
        _made(lab, lab.created(), ["sh"])
    with pytest.raises(errors.NotFound):
        _made(lab, names.new_uuid(), ["sh"])
    with pytest.raises(errors.Rejected):
        _made(lab, lab.running(), [])


def test_execute_gives_both_streams_and_takes_input(lab: Lab) -> None:
    uuid = lab.running()
    both = lab.runtime.execute(uuid, ["sh", "-c", "echo o; echo e >&2; exit 5"], 100, soon())
    assert (both.exit_code, both.stdout, both.stderr) == (5, b"o\n", b"e\n")
    assert sorted(both.output.split()) == [b"e", b"o"]
    data = b"x" * 200_000
    echoed = lab.runtime.execute(uuid, ["cat"], 1_000_000, soon(), data)
    assert (echoed.exit_code, echoed.stdout) == (0, data)
    # One that does not read its input is no error.
    assert lab.runtime.execute(uuid, ["true"], 100, soon(), data).exit_code == 0


# -- logs ------------------------------------------------------------------------------------------------------------


def test_open_log_gives_the_backlog_and_what_follows(lab: Lab) -> None:
    uuid = lab.running(ECHO, interactive=True)
    with talking(lab.runtime.attach(uuid, soon())) as talk:
        talk.send(b"one\n")
        talk.until(lambda: talk.out == b"one\n")
        with talking(lab.runtime.open_log(uuid, LogRequest(), soon())) as log:
            log.until(lambda: log.out == b"one\n")
            talk.send(b"two\n")
            log.until(lambda: log.out == b"one\ntwo\n")
            lab.kill_behind(uuid)
            assert log.whole() == b"one\ntwo\n"
            assert log.outcome().why is Why.EXITED
    with pytest.raises(errors.NotFound):
        lab.runtime.open_log(names.new_uuid(), LogRequest(), soon())


def test_a_followed_log_has_the_last_words_without_a_newline_once(lab: Lab) -> None:
    """Docker 20.10 writes them down when the container has ended, and ends the log that is followed mostly without."""
    uuid = lab.running(ECHO, interactive=True)
    with talking(lab.runtime.attach(uuid, soon())) as talk:
        talk.send(b"one\n")
        with talking(lab.runtime.open_log(uuid, LogRequest(), soon())) as log:
            log.until(lambda: log.out == b"one\n")
            talk.send(b"two")
            talk.until(lambda: talk.out == b"one\ntwo")
            lab.kill_behind(uuid)
            assert log.whole() + log.outcome().output == b"one\ntwo"
    # All of it is there now, and comes as it is.
    for request in (LogRequest(), LogRequest(tail=1)):
        with talking(lab.runtime.open_log(uuid, request, soon())) as log:
            whole = log.whole() + log.outcome().output
            assert whole == (b"one\ntwo" if request.tail is None else b"two")
    with talking(lab.runtime.open_log(uuid, LogRequest(tail=0), soon())) as log:
        assert log.whole() + log.outcome().output == b""


# -- files -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", ["created", "running", "paused"])
def test_files_go_in_and_come_out(lab: Lab, state: str) -> None:
    uuid = lab.created() if state == "created" else lab.running()
    if state == "paused":
        assert isinstance(lab.runtime, CanPause)
        lab.runtime.pause(uuid, soon())
    content = bytes(range(256)) * 4000  # a megabyte
    put_files(lab.runtime, uuid, "/tmp", tar_of("f.bin", content))
    data, stat = get_files(lab.runtime, uuid, "/tmp/f.bin")
    assert files_of(data) == {"f.bin": content}
    assert (stat.name, stat.size, stat.link_target) == ("f.bin", len(content), "")
    assert stat.mode & 0o777 == 0o644
    assert "T" in stat.mtime
    data, stat = get_files(lab.runtime, uuid, "/tmp")
    assert files_of(data) == {"tmp/f.bin": content}
    assert stat.name == "tmp"


@pytest.mark.parametrize("size", [0, 1, 512, 513, 5000])
def test_small_files_come_out_too(lab: Lab, size: int) -> None:
    # An answer that is as short as these the engine sends by its length, not in chunks.
    uuid = lab.running()
    put_files(lab.runtime, uuid, "/tmp", tar_of("small", b"s" * size))
    data, stat = get_files(lab.runtime, uuid, "/tmp/small")
    assert files_of(data) == {"small": b"s" * size}
    assert stat.size == size


def test_files_that_are_not_there_or_no_archive(lab: Lab) -> None:
    uuid = lab.running()
    put_files(lab.runtime, uuid, "/tmp", tar_of("file", b"x"))
    with pytest.raises(errors.Rejected):
        lab.runtime.open_get(uuid, "/no/such", soon())
    with pytest.raises(errors.NotFound):
        lab.runtime.open_get(names.new_uuid(), "/tmp", soon())
    with pytest.raises(errors.NotFound):
        lab.runtime.open_put(names.new_uuid(), "/tmp", soon())
    large = tar_of("f", bytes(4_000_000))  # refused while it is on its way
    for path, data in (
        ("/no/such", tar_of("f", b"x")), ("/no/such", large), ("/tmp/file", large), ("/tmp", b"no tar " * 1000),
    ):  # fmt: skip
        with pytest.raises(errors.Rejected):
            put_files(lab.runtime, uuid, path, data)


# -- taking streams apart --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", [1, 3, 8, 11, 1000])
def test_frames_are_taken_apart_whatever_pieces_they_come_in(size: int) -> None:
    frames = [(STDOUT, b"a" * 10), (STDERR, b"b"), (STDOUT, b""), (STDOUT, b"c" * 300), (STDERR, b"d")]  # fmt: skip
    data = b"".join(pack(kind, text) for kind, text in frames)
    demux = Multiplexed()
    got: list[tuple[int, bytes]] = []
    for at in range(0, len(data), size):
        for kind, text in demux.decode(data[at : at + size]):
            if got and got[-1][0] == kind:
                got[-1] = (kind, got[-1][1] + text)
            else:
                got.append((kind, text))
    assert got == [(STDOUT, b"a" * 10), (STDERR, b"b"), (STDOUT, b"c" * 300), (STDERR, b"d")]


@pytest.mark.parametrize("size", [1, 3, 5, 1000])
def test_an_answer_of_known_length_is_whole_at_its_end(size: int) -> None:
    measured, got = Measured(5), b""
    for at in range(0, 5, size):
        assert not measured.whole
        got += b"".join(text for _, text in measured.decode(b"hello"[at : at + size]))
    assert (got, measured.whole) == (b"hello", True)
    assert measured.decode(b"of something else") == ()
    assert Measured(0).whole


@pytest.mark.parametrize("size", [1, 2, 5, 1000])
def test_chunks_are_taken_apart_whatever_pieces_they_come_in(size: int) -> None:
    data = chunk(b"hello") + chunk(b"") + chunk(b"w" * 40) + LAST_CHUNK
    chunks, got = Chunked(), b""
    for at in range(0, len(data), size):
        assert not chunks.whole or at > len(data) - 5
        got += b"".join(text for _, text in chunks.decode(data[at : at + size]))
    assert got == b"hello" + b"w" * 40
    assert chunks.whole


@pytest.mark.parametrize("bad", [b"zz\r\n", b"x" * 100])
def test_what_is_no_chunk_is_refused(bad: bytes) -> None:
    with pytest.raises(errors.Unavailable):
        Chunked().decode(bad)
