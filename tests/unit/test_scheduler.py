"""Choosing a host: each filter with its word, the emptiest first, and why none fits in words."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.support.rows import NOW, host

from zun import conf
from zun.model.host import Host, Mode, NumaCell
from zun.model.placement import Neighbours
from zun.work.scheduler import PlaceRequest, SchedulerSettings, World, choose
from zun.work.scheduler.cpus import pick
from zun.work.scheduler.filters import NAMES

DOWN = timedelta(seconds=60)
WORLD = World(now=NOW, down_after=DOWN)
SMALL = PlaceRequest(cpu=1.0, memory=100, disk=1)


def words(request: PlaceRequest, one: Host) -> list[str]:
    choice = choose(request, [one], WORLD)
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
        (
            {"cpu_policy": "dedicated", "cpu": 2.0},
            {"enable_cpu_pinning": True, "pinnable": [2, 3], "pinned": [3]},
            "short of CPUs of its own",
        ),
        ({}, {"mode": Mode.DRAINING}, "draining"),
        ({}, {"mode": Mode.MAINTENANCE}, "in maintenance"),
        ({}, {"lost_at": NOW}, "down"),
        ({}, {"fenced_at": NOW}, "down"),
        ({}, {"lease_until": NOW}, "down"),
        ({"excluded": ["host-1"]}, {}, "tried already"),
        ({"hints": {"architecture": "aarch64"}}, {}, "of another architecture"),
        ({"hints": {"label:rack": "1"}}, {}, "without the label"),
        (
            {"neighbours": Neighbours(away=frozenset({"host-1"}))},
            {},
            "with one it must not be with",
        ),
        (
            {"neighbours": Neighbours(near=frozenset({"host-2"}))},
            {},
            "away from those it must be with",
        ),
        # CPUs that are one container's own are nothing to share, and do not count against what is shared.
        ({"cpu": 0.2}, {"cpu_used": 11.9, "cpus_pinned": 2}, "short of CPU"),
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
    assert choose(replace(SMALL, **request_), [one], WORLD).explain() == f"1 host: 1 {word}"


@pytest.mark.parametrize(
    ("request_", "host_"),
    [
        ({}, {}),
        ({"host": "host-1", "availability_zone": "nova", "runtime": "runc"}, {}),
        ({"cpu": 10.0, "memory": 1000, "disk": 100}, {}),
        ({"cpu": 0.1}, {"cpu_used": 0.1 * 3 + 9.6}),
        (
            {"cpu_policy": "dedicated"},
            {"enable_cpu_pinning": True, "pinnable": [2, 3], "pinned": [2]},
        ),
        ({"image_driver": "docker"}, {}),
        ({"hints": {"architecture": "amd64"}}, {}),
        ({"neighbours": Neighbours(near=frozenset({"host-1"}), away=frozenset({"x"}))}, {}),
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
    order = [h.hostname for h in choose(SMALL, hosts, WORLD).hosts]
    assert order == ["empty-a", "empty-b", "half", "cpu-full", "memory-full"]


def test_why_none_fits() -> None:
    hosts = [host("a", mem_used=950), host("b", mem_used=999), host("c", disabled=True)]
    assert choose(SMALL, hosts, WORLD).explain() == "3 hosts: 1 disabled, 2 short of memory"
    assert choose(SMALL, [], WORLD).explain() == "no host has registered"


def test_a_host_of_no_size_takes_nothing() -> None:
    nothing = host("x", cpus=0.0, memory=0, disk=0)
    assert words(SMALL, nothing) == ["short of CPU"]
    assert choose(replace(SMALL, cpu=0, memory=0, disk=0), [nothing], WORLD).hosts


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
    choice = choose(SMALL, hosts, WORLD)
    assert len(choice.hosts) + sum(choice.rejected.values()) == choice.considered == len(hosts)
    for chosen in choice.hosts:
        assert not chosen.disabled
        assert chosen.cpu_used + SMALL.cpu <= chosen.cpus + 1e-9


def order(request: PlaceRequest, hosts: list[Host], world: World = WORLD) -> list[str]:
    return [h.hostname for h in choose(request, hosts, world).hosts]


def weighing(**changes: Any) -> World:
    settings = SchedulerSettings(**changes)
    return replace(WORLD, settings=settings, having=frozenset({"b"}))


def test_pack_takes_the_fullest() -> None:
    hosts = [host("empty"), host("half", mem_used=500), host("full", mem_used=950)]
    assert order(SMALL, hosts, weighing(spread=False)) == ["half", "empty"]


def test_an_image_that_is_there_and_a_disk_that_is_quiet_weigh_what_they_are_said_to() -> None:
    hosts = [host("a"), host("b", mem_used=50), host("c", io_load=0.9)]
    assert order(SMALL, hosts, weighing(image_weight=0.1, io_weight=0.5)) == ["b", "a", "c"]
    assert order(SMALL, hosts, weighing(image_weight=0.0, io_weight=0.0)) == ["a", "c", "b"]


def test_soft_wishes_weigh_and_do_not_forbid() -> None:
    hosts = [host("a"), host("b"), host("c")]
    apart = replace(SMALL, neighbours=Neighbours(disliked={"a": 2, "b": 1}))
    assert order(apart, hosts) == ["c", "b", "a"]
    together = replace(SMALL, neighbours=Neighbours(liked={"b": 1}))
    assert order(together, hosts)[0] == "b"


def test_filters_that_are_not_named_are_not_asked_but_promises_are_kept() -> None:
    world = replace(WORLD, settings=SchedulerSettings(filters=["AvailabilityZoneFilter"]))
    wish = replace(SMALL, runtime="kata")
    assert order(wish, [host("a")], world) == ["a"]
    for bad in ({"disabled": True}, {"forced_down": True}, {"mode": Mode.DRAINING}):
        assert order(wish, [host("a", **bad)], world) == []
    apart = replace(wish, neighbours=Neighbours(away=frozenset({"a"})))
    assert order(apart, [host("a")], world) == []
    assert order(replace(wish, availability_zone="mars"), [host("a")], world) == []
    assert set(conf.scheduler.FILTERS) == set(NAMES)


CELLS = [NumaCell(id=0, cpus=[0, 1, 2, 3], memory=1), NumaCell(id=1, cpus=[4, 5, 6, 7], memory=1)]


@pytest.mark.parametrize(
    ("wanted", "free", "chosen"),
    [
        (1, [0, 1, 4], [4]),  # where least is left
        (2, [0, 4, 5], [4, 5]),  # on one cell, if one has as many
        (3, [0, 1, 4, 5], [0, 1, 4]),
        (4, [0, 1, 2, 3, 4, 5, 6], [0, 1, 2, 3]),
        (2, [7], None),
        (2, [8, 9], [8, 9]),  # on no cell that is known
    ],
)
def test_cpus_of_its_own_are_near_to_one_another(
    wanted: int, free: list[int], chosen: list[int] | None
) -> None:
    assert pick(wanted, free, CELLS) == chosen
    if chosen is not None:
        assert len(pick(wanted, free, []) or ()) == wanted
