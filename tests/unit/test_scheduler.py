"""Choosing a host: each filter with its word, the emptiest first, and why none fits in words."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.rows import NOW, host

from zun.model.host import Host
from zun.work.scheduler import PlaceRequest, choose

DOWN = timedelta(seconds=60)
SMALL = PlaceRequest(cpu=1.0, memory=100, disk=1)


def words(request: PlaceRequest, one: Host) -> list[str]:
    choice = choose(request, [one], NOW, DOWN)
    assert bool(choice.hosts) is not bool(choice.rejected)
    return list(choice.rejected)


@pytest.mark.parametrize(
    ("request_", "host_", "word"),
    [
        ({"host": "other"}, {}, "not the requested host"),
        ({"availability_zone": "mars"}, {}, "in another zone"),
        ({}, {"disabled": True}, "disabled"),
        ({}, {"forced_down": True}, "down"),
        ({}, {"last_seen_up": None}, "down"),
        ({}, {"last_seen_up": NOW - DOWN}, "down"),
        ({"runtime": "kata"}, {}, "without the runtime"),
        ({"cpu_policy": "dedicated"}, {}, "without CPU pinning"),
        ({"wants_disk_quota": True}, {}, "unable to limit disk"),
        ({"cpu": 10.1}, {}, "short of CPU"),
        ({"cpu": 0.2}, {"cpu_used": 9.9}, "short of CPU"),
        ({"memory": 1001}, {}, "short of memory"),
        # Of a host whose operator promises more than there is, one container still gets what there is at most.
        ({"cpu": 10.1}, {"cpus": 160.0}, "short of CPU"),
        ({"memory": 1001}, {"memory": 5000}, "short of memory"),
        ({"disk": 101}, {}, "short of disk"),
    ],
)
def test_each_filter_has_its_word(
    request_: dict[str, Any], host_: dict[str, Any], word: str
) -> None:
    one = host(**host_)
    assert words(replace(SMALL, **request_), one) == [word]
    assert choose(replace(SMALL, **request_), [one], NOW, DOWN).explain() == f"1 host: 1 {word}"


@pytest.mark.parametrize(
    ("request_", "host_"),
    [
        ({}, {}),
        ({"host": "host-1", "availability_zone": "nova", "runtime": "runc"}, {}),
        ({"cpu": 10.0, "memory": 1000, "disk": 100}, {}),
        ({"cpu": 0.1}, {"cpu_used": 0.1 * 3 + 9.6}),
        ({"cpu_policy": "dedicated"}, {"enable_cpu_pinning": True}),
        ({}, {"last_seen_up": NOW - DOWN + timedelta(milliseconds=1)}),
    ],
)
def test_what_fits_fits(request_: dict[str, Any], host_: dict[str, Any]) -> None:
    assert words(replace(SMALL, **request_), host(**host_)) == []


def test_disk_is_limited_where_it_can_be() -> None:
    able = host()
    able = replace(able, inventory=replace(able.inventory, disk_quota_supported=True))
    assert words(replace(SMALL, wants_disk_quota=True), able) == []


def test_the_emptiest_is_first_by_its_fullest_resource() -> None:
    hosts = [
        host("memory-full", mem_used=900),
        host("half", cpu_used=5.0, mem_used=100),
        host("empty-b"),
        host("cpu-full", cpu_used=8.0),
        host("empty-a"),
    ]
    order = [h.hostname for h in choose(SMALL, hosts, NOW, DOWN).hosts]
    assert order == ["empty-a", "empty-b", "half", "cpu-full", "memory-full"]


def test_why_none_fits() -> None:
    hosts = [host("a", mem_used=950), host("b", mem_used=999), host("c", disabled=True)]
    assert choose(SMALL, hosts, NOW, DOWN).explain() == "3 hosts: 1 disabled, 2 short of memory"
    assert choose(SMALL, [], NOW, DOWN).explain() == "no host has registered"


def test_a_host_of_no_size_takes_nothing() -> None:
    nothing = host("x", cpus=0.0, memory=0, disk=0)
    assert words(SMALL, nothing) == ["short of CPU"]
    assert choose(replace(SMALL, cpu=0, memory=0, disk=0), [nothing], NOW, DOWN).hosts


@given(
    st.lists(
        st.tuples(st.floats(0, 10), st.integers(0, 1000), st.booleans(), st.booleans()), max_size=8
    )
)
def test_every_host_is_chosen_or_counted_once(
    states: list[tuple[float, int, bool, bool]],
) -> None:
    hosts = [
        host(f"h{n}", cpu_used=cpu, mem_used=memory, disabled=off, forced_down=down)
        for n, (cpu, memory, off, down) in enumerate(states)
    ]
    choice = choose(SMALL, hosts, NOW, DOWN)
    assert len(choice.hosts) + sum(choice.rejected.values()) == choice.considered == len(hosts)
    for chosen in choice.hosts:
        assert not chosen.disabled
        assert chosen.cpu_used + SMALL.cpu <= chosen.cpus + 1e-9
