"""The allocator of subnets and addresses: what it gives is nobody else's."""

from __future__ import annotations

import ipaddress
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.support.house import OTHER_PROJECT, PROJECT
from tests.support.rows import NOW, container

from zun.model.network import Network, Port
from zun.store import containers, networks
from zun.store.database import Database

pytestmark = pytest.mark.databases

POOL = ["10.9.0.0/24", "10.9.1.0/24", "10.9.2.0/29"]


def _network(db: Database, project: str = PROJECT, pool: list[str] | None = None) -> Network:
    with db.write() as conn:
        return networks.ensure(conn, project, "default", pool or POOL, NOW)


def test_two_hundred_threads_get_two_hundred_addresses(db: Database) -> None:
    net = _network(db)

    def give(n: int) -> Port:
        return db.run(lambda conn: networks.ensure_port(conn, net, f"c{n}"))

    with ThreadPoolExecutor(200) as pool:
        ports = list(pool.map(give, range(200)))
    addresses = {ipaddress.ip_address(p.address) for p in ports}
    assert len(addresses) == len({p.uuid for p in ports}) == 200
    subnet = ipaddress.ip_network(net.subnet)
    reserved = {subnet[0], subnet[1], subnet[-1]}
    assert all(a in subnet for a in addresses)
    assert not addresses & reserved


def test_two_hundred_threads_make_one_network_a_project(db: Database) -> None:
    pool = [f"10.8.{n}.0/24" for n in range(50)]
    with ThreadPoolExecutor(200) as threads:
        made = list(threads.map(lambda n: _network(db, f"p{n % 50}", pool), range(200)))
    assert len({n.uuid for n in made}) == len({n.subnet for n in made}) == 50


def test_the_same_port_is_given_again(db: Database) -> None:
    net = _network(db)
    with db.write() as conn:
        first = networks.ensure_port(conn, net, "c")
        assert networks.ensure_port(conn, net, "c") == first
        assert networks.ensure_port(conn, net, "c", "10.9.0.77") == first
        assert networks.ports_of(conn, "c") == [first]


def test_wanted_addresses(db: Database) -> None:
    net = _network(db)
    with db.write() as conn:
        assert networks.ensure_port(conn, net, "a", "10.9.0.2").address == "10.9.0.2"
        assert networks.ensure_port(conn, net, "b").address == "10.9.0.3"
        assert networks.address_taken(conn, net.uuid, "10.9.0.3")
        assert not networks.address_taken(conn, net.uuid, "10.9.0.4")
        with pytest.raises(networks.Exhausted, match=r"10\.9\.0\.2 is in use"):
            networks.ensure_port(conn, net, "c", "10.9.0.2")


def test_a_full_subnet_and_an_empty_pool_say_so(db: Database) -> None:
    net = _network(db, pool=POOL[2:])
    with db.write() as conn:
        for n in range(5):  # of 8: network, gateway and broadcast are taken
            networks.ensure_port(conn, net, f"c{n}")
        with pytest.raises(networks.Exhausted):
            networks.ensure_port(conn, net, "one too many")
        networks.release_ports(conn, "c2")
        assert networks.ensure_port(conn, net, "next").address == "10.9.2.4"
        with pytest.raises(networks.Exhausted):
            networks.ensure(conn, OTHER_PROJECT, "default", POOL[2:], NOW)


def test_subnets_a_host_refused_are_avoided(db: Database) -> None:
    with db.write() as conn:
        made = networks.ensure(conn, PROJECT, "default", POOL, NOW, avoid={POOL[0]})
    assert made.subnet == POOL[1]


def test_a_network_goes_with_its_last_port(db: Database) -> None:
    net = _network(db)
    with db.write() as conn:
        port = networks.ensure_port(conn, net, "c")
        assert not networks.delete_if_unused(conn, net.uuid)
        networks.release_port(conn, port.uuid)
        networks.release_port(conn, port.uuid)
        assert networks.delete_if_unused(conn, net.uuid)
        assert networks.get(conn, net.uuid) is None
        assert networks.every(conn) == []


def test_releasing_all_ports_of_a_container_leaves_no_network_without_one(db: Database) -> None:
    net = _network(db)
    with db.write() as conn:
        networks.ensure_port(conn, net, "a")
        networks.ensure_port(conn, net, "b")
        networks.release_ports(conn, "a")
        assert networks.get(conn, net.uuid) == net
        networks.release_ports(conn, "b")
        assert networks.get(conn, net.uuid) is None


def test_others_on_this_host(db: Database) -> None:
    net = _network(db)
    here, there, mine = container(host="h1"), container(host="h2"), container(host="h1")
    with db.write() as conn:
        for one in (here, there, mine):
            containers.insert(conn, one)
        networks.ensure_port(conn, net, mine.uuid)
        networks.ensure_port(conn, net, there.uuid)
        assert not networks.others_on_host(conn, net.uuid, mine.uuid, "h1")
        networks.ensure_port(conn, net, here.uuid)
        assert networks.others_on_host(conn, net.uuid, mine.uuid, "h1")


def test_names_and_uuids_are_looked_up_within_the_project(db: Database) -> None:
    mine, theirs = _network(db), _network(db, OTHER_PROJECT)
    with db.read() as conn:
        assert networks.find(conn, PROJECT, "default") == [mine]
        assert networks.find(conn, PROJECT, mine.uuid) == [mine]
        assert networks.find(conn, PROJECT, theirs.uuid) == []
