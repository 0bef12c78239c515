"""What the store believes of MariaDB and PostgreSQL: several writers at once, broken connections, lost answers."""

from __future__ import annotations

import asyncio
import random
import tempfile
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from prometheus_client import CollectorRegistry
from sqlalchemy.engine import make_url
from tests.support import databases
from tests.support.house import Fakes, Rig, caller, eventually, make, quick_settings
from tests.support.relay import Relay
from tests.support.rows import NOW, container, host, operation

from zun.drivers.deadline import Deadline
from zun.model.container import Draft
from zun.model.host import Claim
from zun.model.lifecycle import Action
from zun.model.operation import CLOSED, EventKind, OperationState
from zun.service.errors import Conflict, NotFound
from zun.service.once import Once
from zun.store import (
    claims,
    containers,
    events,
    history,
    hosts,
    locks,
    operations,
    quotas,
    schema,
    tickets,
)
from zun.store.database import Database, Patience, Pool
from zun.store.errors import CommitUnknown, Contended, TooSlow, Unavailable
from zun.streams.hub import Hub, Interest
from zun.streams.metrics import StreamMetrics
from zun.work.clock import utcnow

pytestmark = pytest.mark.databases


class Counts:
    """A watcher of a database."""

    def __init__(self, db: Database) -> None:
        self.writes: list[float] = []
        self.tried_again: list[str] = []
        db.watch(self)

    def wrote(self, seconds: float) -> None:
        self.writes.append(seconds)

    def again(self, why: str) -> None:
        self.tried_again.append(why)


def kill_connection(db: Database, conn: sa.Connection) -> None:
    """Has the server break a connection."""
    with db.engine.connect() as other:
        if conn.dialect.name == "postgresql":
            pid = conn.exec_driver_sql("SELECT pg_backend_pid()").scalar()
            other.exec_driver_sql(f"SELECT pg_terminate_backend({pid})")
        else:
            pid = conn.exec_driver_sql("SELECT CONNECTION_ID()").scalar()
            other.exec_driver_sql(f"KILL {pid}")


# ---- words that mean the same


def test_an_update_counts_the_rows_it_found_not_those_it_changed(db: Database) -> None:
    one = container()
    with db.write() as conn:
        containers.insert(conn, one)
    for _ in range(2):
        with db.write() as conn:
            assert containers.update(conn, one.uuid, NOW, exit_code=3)


NAMES = ["a", "A", "b", "B", "a-", "a_", "a.", "aa", "Z", "z9", "Ab", "ab"]


def test_names_are_exact_and_in_the_same_order_everywhere(db: Database) -> None:
    with db.write() as conn:
        for name in NAMES:
            containers.insert(conn, container(name=name))
    with db.read() as conn:
        for name in NAMES:
            assert [c.name for c in containers.find(conn, name, None, most=9)] == [name]
        assert containers.find(conn, "a ", None) == []
        page = containers.page(
            conn, project_id=None, filters={}, limit=99, after=None, sort_key="name", descending=False
        )  # fmt: skip
        assert [c.name for c in page] == sorted(NAMES)
        prefixed = containers.page(
            conn, project_id=None, filters={"name_prefix": "a"}, limit=99, after=None,
            sort_key="name", descending=False,
        )  # fmt: skip
        assert [c.name for c in prefixed] == sorted(n for n in NAMES if n.startswith("a"))


@pytest.mark.databases(*databases.SERVERS)
def test_what_is_too_long_is_refused_not_cut(db: Database) -> None:
    with pytest.raises(sa.exc.DBAPIError), db.write() as conn:
        containers.insert(conn, container(hostname="h" * 256))
    with db.read() as conn:
        assert conn.execute(sa.select(sa.func.count()).select_from(schema.containers)).scalar() == 0


def test_no_parameter_is_in_an_error(db: Database) -> None:
    one = container(command=["--password=secret"])
    with pytest.raises(sa.exc.IntegrityError) as caught, db.write() as conn:
        containers.insert(conn, one)
        containers.insert(conn, one)
    assert "secret" not in str(caught.value)


def test_moments_keep_their_microseconds(db: Database) -> None:
    one = container(started_at=NOW, finished_at=NOW + timedelta(microseconds=1))
    with db.write() as conn:
        containers.insert(conn, one)
        found = containers.get(conn, one.uuid)
    assert found is not None
    assert (found.started_at, found.finished_at) == (one.started_at, one.finished_at)


# ---- several writers


@pytest.mark.databases(*databases.SERVERS)
def test_what_is_read_after_a_lock_is_what_its_last_holder_left(db: Database) -> None:
    one = container()
    with db.write() as conn:
        containers.insert(conn, one)
    read, wrote = threading.Event(), threading.Event()

    def late() -> int | None:
        with db.write() as conn:
            containers.get(conn, one.uuid)  # were snapshots kept, this would be the one
            read.set()
            assert wrote.wait(10)
            found = containers.hold(conn, one.uuid)
            return found.exit_code if found else None

    with ThreadPoolExecutor(1) as pool:
        answer = pool.submit(late)
        assert read.wait(10)
        with db.write() as conn:
            containers.update(conn, one.uuid, NOW, exit_code=7)
        wrote.set()
        assert answer.result(20) == 7


@pytest.mark.databases(*databases.SERVERS)
def test_two_that_wait_for_each_other_are_both_done(db: Database) -> None:
    pair = [container(), container()]
    with db.write() as conn:
        for one in pair:
            containers.insert(conn, one)
    counts, both = Counts(db), threading.Barrier(2)

    def cross(order: list[Any]) -> None:
        first = True

        def write(conn: sa.Connection) -> None:
            nonlocal first
            for one in order:
                known = containers.hold(conn, one.uuid)
                assert known is not None
                containers.update(conn, one.uuid, NOW, exit_code=(known.exit_code or 0) + 1)
                if first:
                    first = False
                    both.wait(10)

        db.run(write)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(cross, (pair, pair[::-1])))
    assert counts.tried_again == ["Contended"]
    with db.read() as conn:
        assert [c.exit_code for c in (containers.get(conn, one.uuid) for one in pair) if c] == [
            2,
            2,
        ]


def test_parallel_claims_and_releases_never_over_commit(db: Database) -> None:
    with db.write() as conn:
        for name in ("host-1", "host-2"):
            hosts.register(conn, host(name, cpus=4.0), NOW)
    full: list[str] = []

    def live(number: int) -> None:
        draw = random.Random(number)
        for turn in range(12):
            uuid = f"c{number}-{turn % 3}"
            if draw.random() < 0.4:
                db.run(lambda conn, uuid=uuid: claims.release(conn, uuid))
                continue
            wanted = Claim(
                container_uuid=uuid, host=draw.choice(["host-1", "host-2"]),
                cpu=draw.choice([0.1, 0.3, 1.0]), memory=draw.randint(1, 300), disk=1,
            )  # fmt: skip
            db.run(lambda conn, wanted=wanted: claims.claim(conn, wanted))
            with db.read() as conn:
                full.extend(
                    h.hostname
                    for h in hosts.every(conn)
                    if h.cpu_used > h.cpus + 1e-6 or h.mem_used > h.memory or h.disk_used > h.disk
                )

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(live, range(16)))
    assert full == []
    with db.read() as conn:
        for one in hosts.every(conn):
            held = claims.claims_on(conn, one.hostname)
            assert one.total_containers == len(held)
            assert one.mem_used == sum(c.memory for c in held)
            assert one.cpu_used == pytest.approx(sum(c.cpu for c in held))


@pytest.mark.parametrize("scope", ["project", "global"])
def test_of_parallel_creates_with_one_name_one_is_accepted(
    folder: Path, fakes: Fakes, scope: str
) -> None:
    rig = make(folder, fakes, quick_settings(unique_names=scope))

    def create(number: int) -> bool:
        try:
            rig.create(Draft(image="busybox", name=random.Random(number).choice(["web", "WEB"])))
        except Conflict:
            return False
        return True

    with ThreadPoolExecutor(20) as pool:
        assert sum(pool.map(create, range(40))) == 1
    rig.db.close()


def test_whatever_users_do_to_a_container_at_once_its_operations_end(rig: Rig) -> None:
    """No answer but "accepted", "conflict" and "gone", whoever was first; and at last it goes."""
    one = rig.settled(rig.create().uuid)
    assert one is not None
    service = rig.house.services.containers

    def ask(number: int) -> None:
        draw = random.Random(number)
        for _ in range(6):
            row = rig.row(one.uuid)
            if row is None:
                return
            try:
                if number == 7 and draw.random() < 0.3:
                    service.delete(caller(), row, force=True, stop=False)
                elif draw.random() < 0.2:
                    service.rename(caller(), row, f"n{draw.randrange(9)}")
                else:
                    service.act(
                        caller(), row, draw.choice([Action.STOP, Action.START, Action.KILL])
                    )
            except (Conflict, NotFound):
                pass

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(ask, range(8)))
    row = rig.settled(one.uuid)
    if row is not None:
        service.delete(caller(), row, force=True, stop=False)
        assert rig.settled(one.uuid) is None
    with rig.db.read() as conn:
        assert quotas.drift(conn) == {}
        assert claims.claims_on(conn, "host-1") == []


def test_a_name_that_is_held_is_waited_for(db: Database) -> None:
    at_once: list[int] = []
    inside = 0

    def decide(_: int) -> None:
        def write(conn: sa.Connection) -> None:
            nonlocal inside
            locks.hold(conn, "x")
            inside += 1
            at_once.append(inside)
            conn.execute(sa.select(schema.locks.c.name)).all()
            inside -= 1

        db.run(write)

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(decide, range(40)))
    assert len(at_once) >= 40 and set(at_once) == {1}


# ---- ids of events


def test_an_id_never_comes_again(db: Database, kind: str, request: pytest.FixtureRequest) -> None:
    """Not after the newest events are gone, nor after the server died: a client's cursor would skip its event."""

    def tell() -> int:
        with db.write() as conn:
            operations.tell(conn, operation(), EventKind.PROGRESS, NOW)
            return events.newest(conn)

    seen = [tell() for _ in range(3)]
    with db.write() as conn:
        history.remove(conn, "events", NOW + timedelta(1), 1000)
        assert events.newest(conn) == 0
    if kind != databases.SQLITE:
        server = request.getfixturevalue("servers").get(kind)
        server.kill()
        server.start()
    assert tell() > max(seen)


@pytest.mark.databases(*databases.SERVERS)
def test_an_id_that_is_given_first_and_seen_last_is_told_first(db: Database) -> None:
    """Two writers: the one that got the smaller id commits later."""

    with db.write() as conn:
        operations.tell(conn, operation(), EventKind.PROGRESS, NOW)

    async def told() -> list[int]:
        with ThreadPoolExecutor(4) as threads:
            hub = Hub(
                db, threads, StreamMetrics(CollectorRegistry()), utcnow, poll=0.02, patience=60
            )
            await hub.begin()
            start = hub.position
            reader = asyncio.create_task(hub.run())
            with hub.subscribe(Interest()) as subscription:
                with db.engine.connect() as slow:
                    operations.tell(slow, operation(), EventKind.PROGRESS, NOW)
                    with db.write() as quick:
                        operations.tell(quick, operation(), EventKind.PROGRESS, NOW)
                    await hub.in_thread(
                        eventually, lambda: hub._ordered.holding, "the later id is seen"
                    )
                    assert hub.position == start, "nothing behind the hole was told"
                    slow.commit()
                found = [told.event.id for told in await subscription.next(20)]
                while len(found) < 2:
                    found += [told.event.id for told in await subscription.next(20)]
            hub.end()
            await reader
            return [ident - start for ident in found]

    assert asyncio.run(told()) == [1, 2]


def test_what_many_writers_tell_is_told_once_and_in_order(db: Database) -> None:
    """Each follower hears of every event, whatever the order of the commits."""
    with db.write() as conn:
        operations.tell(conn, operation(), EventKind.PROGRESS, NOW)

    def write(_: int) -> None:
        for _ in range(25):
            with db.write() as conn:
                operations.tell(conn, operation(), EventKind.PROGRESS, NOW)
                operations.tell(conn, operation(), EventKind.STEP_DONE, NOW)

    async def follow() -> list[int]:
        with ThreadPoolExecutor(12) as threads:
            hub = Hub(
                db, threads, StreamMetrics(CollectorRegistry()), utcnow, poll=0.02, patience=60
            )
            await hub.begin()
            reader = asyncio.create_task(hub.run())
            found: list[int] = []
            with hub.subscribe(Interest()) as subscription:
                writers = [asyncio.create_task(hub.in_thread(write, n)) for n in range(8)]
                while len(found) < 8 * 25 * 2:
                    fresh = await subscription.next(30)
                    assert fresh, f"all that was written is told, not {len(found)}"
                    found += [told.event.id for told in fresh]
                await asyncio.gather(*writers)
            hub.end()
            await reader
            return found

    told = asyncio.run(follow())
    with db.read() as conn:
        assert told == [event.id for event in events.after(conn, 0, 1000)][1:]


# ---- once only


def test_a_ticket_is_taken_by_one_of_many(db: Database) -> None:
    with db.write() as conn:
        tickets.insert(
            conn, digest="d", path="p", project_id="x", content={}, expires_at=NOW + timedelta(1)
        )

    def take(_: int) -> bool:
        return db.run(lambda conn: tickets.take(conn, "d", "p", NOW)) is not None

    with ThreadPoolExecutor(16) as pool:
        assert sum(pool.map(take, range(32))) == 1


def test_a_key_makes_one_container_whoever_is_first(folder: Path, fakes: Fakes) -> None:
    rig = make(folder, fakes)
    once = Once(key="k", body=b"{}")

    def create(_: int) -> str:
        draft = Draft(image="busybox")
        return rig.house.services.containers.create_once(caller(), draft, once)[0].uuid

    with ThreadPoolExecutor(12) as pool:
        assert len(set(pool.map(create, range(24)))) == 1
    with rig.db.read() as conn:
        assert quotas.used(conn, caller().project_id).containers == 1
        assert quotas.drift(conn) == {}
    rig.db.close()


# ---- broken connections, lost answers


@pytest.mark.databases(*databases.SERVERS)
def test_a_connection_that_breaks_before_the_end_costs_nothing(db: Database) -> None:
    one, counts, times = container(), Counts(db), 0

    def write(conn: sa.Connection) -> str:
        nonlocal times
        times += 1
        containers.insert(conn, one)
        if times == 1:
            kill_connection(db, conn)
            conn.execute(sa.select(schema.locks)).all()
        return "done"

    assert db.run(write) == "done"
    assert (times, counts.tried_again) == (2, ["Unavailable"])
    with pytest.raises(Unavailable), db.write() as conn:
        kill_connection(db, conn)
        conn.execute(sa.select(schema.locks)).all()


@pytest.mark.databases(*databases.SERVERS)
def test_a_connection_that_died_while_nobody_used_it_is_not_noticed(db: Database) -> None:
    other = Database(db.url, pool=Pool(size=1, overflow=0))
    with other.read() as conn:
        pid = "pg_backend_pid()" if kind_of(db) == "postgresql" else "CONNECTION_ID()"
        idle = conn.exec_driver_sql(f"SELECT {pid}").scalar()
    kill = f"SELECT pg_terminate_backend({idle})" if "pg" in pid else f"KILL {idle}"
    with db.engine.connect() as conn:
        conn.exec_driver_sql(kill)
    with other.write() as conn:
        containers.insert(conn, container())
    other.close()


@pytest.mark.databases(*databases.SERVERS)
def test_who_begins_anew_asks_no_connection_that_just_answered_and_bears_that_it_died(
    db: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    other, pings = Database(db.url, pool=Pool(size=1, overflow=0)), []
    ping = other.engine.dialect.do_ping
    monkeypatch.setattr(other.engine.dialect, "do_ping", lambda c: pings.append(c) or ping(c))
    pid = "pg_backend_pid()" if kind_of(db) == "postgresql" else "CONNECTION_ID()"

    def connection(conn: sa.Connection) -> Any:
        return conn.exec_driver_sql(f"SELECT {pid}").scalar()

    def kill(idle: Any) -> None:
        verb = f"SELECT pg_terminate_backend({idle})" if "pg" in pid else f"KILL {idle}"
        with db.engine.connect() as conn:
            conn.exec_driver_sql(verb)

    first = other.look(connection)
    assert other.run(connection) == other.look(connection) == first
    assert not pings
    kill(first)
    second = other.look(connection)
    assert second != first
    kill(second)
    assert other.run(connection) not in (first, second)
    with other.read() as conn:
        connection(conn)
    assert pings, "who can't begin anew has it asked"
    other.close()


@pytest.mark.databases(*databases.SERVERS)
def test_a_connection_is_put_back_without_what_was_not_committed(db: Database) -> None:
    """Whatever came before on it: a commit, whose connection needs no rollback, is no reason to leave out the next."""
    other, kept, lost = Database(db.url, pool=Pool(size=1, overflow=0)), container(), container()
    other.run(lambda conn: containers.insert(conn, kept))
    with other.read() as conn:
        containers.insert(conn, lost)
    with pytest.raises(ZeroDivisionError), other.write() as conn:
        containers.insert(conn, lost)
        raise ZeroDivisionError
    other.run(lambda conn: containers.update(conn, kept.uuid, utcnow(), name="new"))
    with db.read() as conn:
        assert containers.get(conn, lost.uuid) is None
        assert containers.get(conn, kept.uuid) is not None
    other.close()


@pytest.mark.databases(databases.MARIADB)
@pytest.mark.parametrize(("waiting", "ended"), [(400, 10), (10, 400), (0, 400)])
def test_whoever_looks_at_a_queue_reads_what_it_gets_and_neither_queue_nor_history(
    db: Database, waiting: int, ended: int
) -> None:
    ones = [operation() for _ in range(waiting + ended)]
    with db.write() as conn:
        for one in ones:
            operations.open_(conn, one)
        gone = schema.operations.c.uuid.in_([one.uuid for one in ones[:ended]])
        conn.execute(schema.operations.update().where(gone).values(queue="host:x", state="done"))
    queue, now = ones[0].queue, utcnow()

    def read(conn: sa.Connection) -> int:
        rows = conn.exec_driver_sql("SHOW SESSION STATUS LIKE 'Handler_read%%'")
        return sum(int(value) for _, value in rows)

    def looked(conn: sa.Connection) -> int:
        before = read(conn)
        found = operations.claimable(conn, queue, now, 4)
        cost = read(conn) - before
        assert [one.uuid for one in found] == [one.uuid for one in ones[ended:][:4]]
        return cost

    with db.read() as conn:
        nothing = -read(conn) + read(conn)
        assert looked(conn) - nothing < 60


def kind_of(db: Database) -> str:
    return make_url(db.url).get_backend_name()


@contextmanager
def relayed(db: Database, **options: Any) -> Iterator[tuple[Relay, Database]]:
    """The same database, by way of a relay."""
    url = make_url(db.url)
    with tempfile.TemporaryDirectory(prefix="zun-") as folder:
        if kind_of(db) == "postgresql":
            name = f".s.PGSQL.{url.query['port']}"
            server, path = Path(url.query["host"]) / name, Path(folder) / name
            there = url.update_query_dict({"host": folder})
        else:
            server, path = Path(url.query["unix_socket"]), Path(folder) / "s"
            there = url.update_query_dict({"unix_socket": str(path)})
        with Relay(path, server) as relay:
            other = Database(there.render_as_string(hide_password=False), **options)
            yield relay, other
            other.close()


@pytest.mark.databases(*databases.SERVERS)
def test_a_create_whose_commit_got_no_answer_is_found_and_not_done_twice(
    db: Database, folder: Path, fakes: Fakes
) -> None:
    with relayed(db) as (relay, other):
        databases.put_elsewhere(folder, other.url)
        rig = make(folder, fakes)
        relay.lose_commit()
        made = rig.create(Draft(image="busybox", name="once"))
        assert relay.lost == 1
        assert rig.row(made.uuid) is not None
        with db.read() as conn:
            assert [c.uuid for c in containers.find(conn, "once", None, most=9)] == [made.uuid]
            assert quotas.used(conn, made.project_id).containers == 1
        rig.db.close()


class At:
    """A watcher that does something after the commit of this number."""

    def __init__(self, number: int, do: Callable[[], None]) -> None:
        self._left, self._do = number, do

    def wrote(self, seconds: float) -> None:
        self._left -= 1
        if self._left == 0:
            self._do()

    def again(self, why: str) -> None:
        pass


@pytest.mark.databases(*databases.SERVERS)
@pytest.mark.parametrize("number", range(1, 8))
def test_a_step_whose_record_got_no_answer_is_done_once(
    db: Database, folder: Path, fakes: Fakes, number: int
) -> None:
    """Each of the journal's commits is lost once, and the container comes to run all the same."""
    with relayed(db) as (relay, other):
        databases.put_elsewhere(folder, other.url)
        rig = make(folder, fakes)
        made = rig.create()
        rig.db.watch(At(number, relay.lose_commit))
        rig.house.start()

        def ended() -> list[EventKind] | None:
            with db.read() as conn:
                one = operations.of_container(conn, made.uuid)[0]
                return (
                    [e.kind for e in operations.events_of(conn, one.uuid)]
                    if one.state in CLOSED
                    else None
                )

        told = eventually(ended, "the create ends")
        eventually(lambda: relay.lost, "a commit is lost")
        assert rig.house.stop(30)
    with db.read() as conn:
        [claim] = claims.claims_on(conn, "host-1")
        row = containers.get(conn, made.uuid)
        steps = operations.of_container(conn, made.uuid)[0].steps
    assert row is not None and row.status == "Running"
    assert claim.container_uuid == made.uuid
    assert [f.uuid for f in fakes.runtime.list(rig.house.agent._means.host_id, Deadline(10))] == [
        made.uuid
    ]
    assert told.count(EventKind.DONE) == 1 and told.count(EventKind.STEP_DONE) == len(steps)


@pytest.mark.databases(*databases.SERVERS)
def test_a_lost_commit_of_which_nothing_is_known_is_never_tried_again(db: Database) -> None:
    with relayed(db, patience=Patience(seconds=0.1)) as (relay, other):
        times = 0

        def write(conn: sa.Connection) -> None:
            nonlocal times
            times += 1
            containers.insert(conn, container(name="x"))

        relay.lose_commit()
        with pytest.raises(CommitUnknown):
            other.run(write)
        relay.lose_commit()
        with pytest.raises(CommitUnknown):
            other.run(write, committed=lambda conn: None)
        assert times == 2
    with db.read() as conn:
        assert len(containers.find(conn, "x", None, most=9)) == 2


@pytest.mark.databases(*databases.SERVERS)
def test_who_waits_too_long_is_told_so(db: Database) -> None:
    """A lock that nobody gives back: whoever wants it is refused in time, and nothing is written."""
    one = container()
    with db.write() as conn:
        containers.insert(conn, one)
    other = Database(db.url, patience=Patience(tries=1))
    set_ = {
        "postgresql": "SET lock_timeout = '100ms'",
        "mysql": "SET SESSION innodb_lock_wait_timeout = 1",
    }[kind_of(db)]
    with db.write() as holder:
        containers.hold(holder, one.uuid)

        def write(conn: sa.Connection) -> None:
            conn.exec_driver_sql(set_)
            containers.update(conn, one.uuid, NOW, exit_code=1)

        with pytest.raises(Contended):
            other.run(write)
    other.close()


@pytest.mark.databases(*databases.SERVERS)
def test_a_transaction_that_took_too_long_is_taken_back(db: Database) -> None:
    hasty = Database(db.url, longest_write=0)
    with pytest.raises(TooSlow), hasty.write() as conn:
        containers.insert(conn, container(name="x"))
    hasty.close()
    with db.read() as conn:
        assert containers.find(conn, "x", None) == []


def test_an_operation_is_held_by_one(db: Database) -> None:
    """A delete that makes way, and the runner that claims at the same moment: the version tells who was first."""
    one = operation(state=OperationState.PENDING)
    with db.write() as conn:
        operations.open_(conn, one)
        known = operations.get(conn, one.uuid)
    assert known is not None
    start = threading.Barrier(2)

    def supersede() -> str:
        start.wait(10)

        def write(conn: sa.Connection) -> str:
            busy = operations.open_of(conn, one.container_uuid, hold=True)
            assert busy is not None
            operations.supersede(conn, busy)
            return str(busy.state)

        return db.run(write)

    def claim() -> bool:
        start.wait(10)
        return db.run(lambda conn: operations.claim(conn, known, "me", 1, NOW, True)) is not None

    with ThreadPoolExecutor(2) as pool:
        seen, claimed = pool.submit(supersede), pool.submit(claim)
        assert (seen.result(20), claimed.result(20)) in [("pending", False), ("running", True)]
    assert replace(known, version=0).uuid == one.uuid
