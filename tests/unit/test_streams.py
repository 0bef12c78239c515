"""The pure parts of long-lived answers: the order of events, the frames of a log."""

from __future__ import annotations

import random
import struct
import threading
from pathlib import Path

import pytest
import sqlalchemy as sa
from tests.support import rows
from tests.support.house import PATIENCE

from zun.drivers.docker.follow import Frames
from zun.model.operation import EventKind
from zun.store import events, migrate, operations, schema
from zun.store.database import Database
from zun.streams.sequence import Ordered


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_ids_in_order_are_all_accepted() -> None:
    ordered = Ordered(7, 30)
    assert ordered.accept([8, 9, 10]) == 3
    assert ordered.position == 10
    assert not ordered.holding
    assert ordered.accept([]) == 0


def test_nothing_is_told_beyond_a_hole_until_it_is_filled() -> None:
    clock = Clock()
    ordered = Ordered(0, 30, clock)
    assert ordered.accept([1, 3, 4]) == 1
    assert ordered.holding
    clock.now += 29
    assert ordered.accept([3, 4, 5]) == 0
    assert ordered.accept([2, 3, 4, 5]) == 4
    assert ordered.position == 5


def test_a_hole_that_stays_is_passed_after_the_patience() -> None:
    clock = Clock()
    ordered = Ordered(0, 30, clock)
    assert ordered.accept([2]) == 0
    clock.now += 20
    assert ordered.accept([2, 4]) == 0  # the second hole is younger
    clock.now += 11
    assert ordered.accept([2, 4]) == 1
    clock.now += 20
    assert ordered.accept([4]) == 1
    assert ordered.position == 4


def test_without_patience_holes_mean_nothing() -> None:
    ordered = Ordered(0, 0)
    assert ordered.accept([5, 9]) == 2
    assert ordered.position == 9


@pytest.mark.parametrize("seed", range(20))
def test_any_order_of_commits_is_told_once_and_in_order(seed: int) -> None:
    """Writers that get ids in one order and commit in another, some never: the reader misses and repeats nothing."""
    draw, clock = random.Random(seed), Clock()
    ordered, visible, told = Ordered(0, 30, clock), set(), []
    unborn = list(range(1, 201))
    open_: list[int] = []
    dead = set(draw.sample(unborn, 10))
    while unborn or open_:
        if unborn and (len(open_) < 8 or draw.random() < 0.4):
            open_.append(unborn.pop(0))
        else:
            ident = open_.pop(draw.randrange(len(open_)))
            if ident not in dead:
                visible.add(ident)
        clock.now += draw.random() * 0.2  # no transaction is open for as long as the patience
        page = sorted(ident for ident in visible if ident > ordered.position)[:50]
        told += page[: ordered.accept(page)]
    for _ in range(40):
        clock.now += 31
        page = sorted(ident for ident in visible if ident > ordered.position)[:50]
        told += page[: ordered.accept(page)]
    assert told == sorted(visible)


@pytest.mark.parametrize("seed", range(10))
def test_frames_come_off_whatever_the_pieces(seed: int) -> None:
    draw = random.Random(seed)
    lines = [draw.randbytes(draw.choice([0, 1, 7, 8, 9, 100, 20_000])) for _ in range(50)]
    packed = b"".join(struct.pack(">BxxxL", 1, len(line)) + line for line in lines)
    frames, out, at = Frames(), b"", 0
    while at < len(packed):
        size = draw.choice([1, 2, 7, 8, 9, 500, 65536])
        out += frames.strip(packed[at : at + size])
        at += size
    assert out == b"".join(lines)


@pytest.fixture
def db(tmp_path: Path) -> Database:
    database = Database(f"sqlite:///{tmp_path / 'zun.sqlite'}")
    migrate.upgrade(database)
    return database


def test_a_commit_with_events_is_told_of_once_it_can_be_read(db: Database) -> None:
    seen: list[int] = []

    def told() -> None:
        with db.read() as conn:
            seen.append(events.newest(conn))

    db.on_events(told)
    operation = rows.operation()
    with db.write() as conn:
        operations.open_(conn, operation)
        operations.tell(conn, operation, EventKind.PROGRESS, rows.NOW)
    assert seen == [2]
    with db.write() as conn:
        conn.execute(sa.update(schema.events).values(step="x"))
    assert seen == [2]
    with pytest.raises(RuntimeError), db.write() as conn:
        operations.tell(conn, operation, EventKind.PROGRESS, rows.NOW)
        raise RuntimeError
    with db.write() as conn:
        conn.execute(sa.update(schema.events).values(step="y"))
    assert seen == [2]
    db.close()


def test_ids_of_sqlite_are_seen_in_the_order_of_commits(db: Database) -> None:
    """What lets the reader do without patience there: eight writers, and never an id below one seen before."""
    operation, wrong = rows.operation(), []
    stop, committed = threading.Event(), threading.Event()

    def write() -> None:
        while not stop.is_set():
            with db.write() as conn:
                operations.tell(conn, operation, EventKind.PROGRESS, rows.NOW)
            committed.set()

    writers = [threading.Thread(target=write) for _ in range(8)]
    for writer in writers:
        writer.start()
    seen = 0
    try:
        while seen < 400:
            assert committed.wait(PATIENCE)
            committed.clear()
            with db.read() as conn:
                fresh = [event.id for event in events.after(conn, seen, 500)]
            if fresh != list(range(seen + 1, seen + 1 + len(fresh))):
                wrong.append(fresh)
            seen = fresh[-1] if fresh else seen
    finally:
        stop.set()
    for writer in writers:
        writer.join()
    assert not wrong
    db.close()
