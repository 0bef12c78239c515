"""Claims can't take more than there is, whoever asks at once; registration keeps what was claimed."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.support.rows import NOW, host

from zun.model.host import Claim, Host
from zun.store import claims, hosts
from zun.store.database import Database

pytestmark = pytest.mark.databases

FITS = 10


def _register(db: Database, one: Host) -> int:
    with db.write() as conn:
        return hosts.register(conn, one, NOW)


def _host(db: Database, name: str = "host-1") -> Host:
    with db.read() as conn:
        found = hosts.find(conn, name)
    assert found is not None
    return found


def _sums_are_right(db: Database, name: str = "host-1") -> None:
    with db.read() as conn:
        mine = claims.claims_on(conn, name)
    now = _host(db, name)
    assert now.cpu_used == pytest.approx(sum(c.cpu for c in mine), abs=1e-9)
    assert now.mem_used == sum(c.memory for c in mine)
    assert now.disk_used == sum(c.disk for c in mine)
    assert now.total_containers == len(mine)


def _claim(uuid: str, **changes: object) -> Claim:
    values: dict[str, object] = {"host": "host-1", "cpu": 1.0, "memory": 100, "disk": 10}
    return Claim(container_uuid=uuid, **{**values, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("scarce", ["cpu", "memory", "disk"])
def test_two_hundred_threads_take_exactly_what_there_is(db: Database, scarce: str) -> None:
    plenty = {"cpu": 0.0, "memory": 0, "disk": 0}
    wanted = {"cpu": 1.0, "memory": 100, "disk": 10}
    _register(db, host())

    def take(n: int) -> bool:
        with db.write() as conn:
            return claims.claim(conn, _claim(f"c{n}", **{**plenty, scarce: wanted[scarce]}))

    with ThreadPoolExecutor(200) as pool:
        assert sum(pool.map(take, range(200))) == FITS
    assert _host(db).total_containers == FITS
    _sums_are_right(db)


def test_a_claim_is_one_a_container_and_its_release_too(db: Database) -> None:
    _register(db, host())
    _register(db, host("host-2"))
    with db.write() as conn:
        assert claims.claim(conn, _claim("a"))
        assert claims.claim(conn, _claim("a")), "the same again takes nothing more"
    assert _host(db).total_containers == 1
    with db.write() as conn:
        assert claims.claim(conn, _claim("a", host="host-2", cpu=2.0))
    assert (_host(db).cpu_used, _host(db, "host-2").cpu_used) == (0.0, 2.0)
    for _ in range(2):
        with db.write() as conn:
            claims.release(conn, "a")
            claims.release(conn, "never")
        assert _host(db, "host-2").cpu_used == 0.0
    with db.read() as conn:
        assert claims.held_by(conn, "a") is None


def test_a_refused_claim_takes_nothing(db: Database) -> None:
    _register(db, host())
    with db.write() as conn:
        assert not claims.claim(conn, _claim("a", memory=1001))
        assert not claims.claim(conn, _claim("b", host="nowhere"))
        assert claims.held_by(conn, "a") is None
    assert _host(db).mem_used == 0


def test_tenths_of_a_cpu_add_up_to_whole_ones(db: Database) -> None:
    _register(db, host(cpus=1.0))
    with db.write() as conn:
        taken = [claims.claim(conn, _claim(f"c{n}", cpu=0.1, memory=1, disk=0)) for n in range(11)]
    assert taken == [True] * 10 + [False]


_MOVES = st.lists(
    st.tuples(
        st.sampled_from(["a", "b", "c", "d"]),
        st.sampled_from(["host-1", "host-2", None]),
        st.sampled_from([0.1, 0.3, 4.0]),
        st.integers(1, 600),
    ),
    max_size=25,
)


def test_whatever_is_claimed_and_released_the_sums_are_those_of_the_claims(db: Database) -> None:
    _register(db, host())
    _register(db, host("host-2"))

    @settings(max_examples=25, deadline=None)
    @given(_MOVES)
    def holds(moves: list[tuple[str, str | None, float, int]]) -> None:
        for uuid, target, cpu, memory in moves:
            with db.write() as conn:
                if target is None:
                    claims.release(conn, uuid)
                else:
                    claims.claim(conn, _claim(uuid, host=target, cpu=cpu, memory=memory))
        for name in ("host-1", "host-2"):
            _sums_are_right(db, name)
            now = _host(db, name)
            assert now.cpu_used <= now.cpus + 1e-6
            assert now.mem_used <= now.memory

    holds()


def test_registering_again_is_a_new_epoch_with_the_same_claims(db: Database) -> None:
    one = host()
    assert _register(db, one) == 1
    with db.write() as conn:
        claims.claim(conn, _claim("a"))
    assert _register(db, replace(one, uuid="another", memory=500)) == 2
    now = _host(db)
    assert (now.uuid, now.memory, now.mem_used, now.epoch) == (one.uuid, 500, 100, 2)
    with db.read() as conn:
        assert [s.report_count for s in hosts.all_services(conn)] == [2]


def test_beats_and_refresh(db: Database) -> None:
    one = host()
    with db.write() as conn:
        assert not hosts.beat(conn, "host-1", NOW)
    _register(db, one)
    later = NOW + timedelta(seconds=9)
    with db.write() as conn:
        assert hosts.beat(conn, "host-1", later)
        hosts.refresh(conn, replace(one, cpus=3.0, inventory=replace(one.inventory, cpus=3)), NOW)
    now = _host(db)
    assert (now.last_seen_up, now.cpus, now.inventory.cpus) == (later, 3.0, 3)


@pytest.mark.parametrize("descending", [False, True])
@pytest.mark.parametrize("size", [1, 2, 5])
def test_pages_of_hosts(db: Database, size: int, descending: bool) -> None:
    names = [f"host-{n}" for n in range(5)]
    for name in names:
        _register(db, host(name))
    seen: list[str] = []
    after = None
    with db.read() as conn:
        while page := hosts.page(conn, size, after, descending=descending):
            seen += [h.hostname for h in page]
            after = page[-1]
        assert [h.hostname for h in hosts.every(conn)] == names
        assert hosts.find(conn, "no such") is None
        by_uuid = hosts.find(conn, page[-1].uuid if page else _host(db, "host-3").uuid)
    assert seen == (names[::-1] if descending else names)
    assert by_uuid is not None
