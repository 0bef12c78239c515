"""The judge of the chaos tests sees each wrong, and none where all is well."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from tests.support.verdict import Box, Claimed, Op, Plug, Promise, Row, Snapshot, complaints

from zun.model.quota import Amounts

RUNNING = Row(uuid="u1", name="n1", project_id="p", host="h1", status="Running")
STOPPED = replace(RUNNING, uuid="u2", name="n2", host="h2", status="Stopped")
FAILED = replace(
    RUNNING, uuid="u3", name="n3", host=None, status="Error", status_reason="no host has room"
)
PAIR = replace(RUNNING, uuid="c1", name="n5", cpu=0.3, memory=48, counts=2)
MEMBERS = (
    replace(RUNNING, uuid="m1", name="n5-1", inside="c1"),
    replace(RUNNING, uuid="m2", name="n5-2", inside="c1", status="Stopped"),
)
CREATE = Op(
    uuid="o1", container_uuid="u1", action="create", state="done", request_id="r1", run=True
)
OPS = (
    CREATE,
    replace(CREATE, uuid="o2", container_uuid="u2", request_id="r2"),
    replace(CREATE, uuid="o3", container_uuid="u2", request_id="r3", action="stop"),
    replace(CREATE, uuid="o4", container_uuid="u3", request_id="r4", state="failed", error="full"),
    replace(CREATE, uuid="o5", container_uuid="c1", request_id="r8"),
)
GOOD = Snapshot(
    rows=(RUNNING, STOPPED, FAILED, *MEMBERS, PAIR),
    operations=OPS,
    claims=(
        Claimed(host="h1", container_uuid="u1"),
        Claimed(host="h2", container_uuid="u2"),
        Claimed(host="h1", container_uuid="c1", cpu=0.3, memory=48),
    ),
    hosts=(Claimed(host="h1", number=2, cpu=0.4, memory=80), Claimed(host="h2", number=1)),
    ports=(
        Plug(container_uuid="u1", network_uuid="net", address="10.0.0.2"),
        Plug(container_uuid="u2", network_uuid="net", address="10.0.0.3"),
        Plug(container_uuid="c1", network_uuid="net", address="10.0.0.4"),
    ),
    networks=frozenset({"net"}),
    usage={"p": Amounts(containers=5, cpu=600, memory=144)},
    boxes=(
        Box(host="h1", uuid="u1", state="running", addresses=frozenset({"10.0.0.2"})),
        Box(host="h2", uuid="u2", state="exited", addresses=frozenset({"10.0.0.3"})),
        Box(host="h1", uuid="c1", state="running", addresses=frozenset({"10.0.0.4"})),
        Box(host="h1", uuid="m1", state="running"),
        Box(host="h1", uuid="m2", state="exited"),
    ),
    engine_networks=(("h1", "net"), ("h2", "net")),
    files=(("h1", "u1"),),
    api={"u1": "Running", "u2": "Stopped", "u3": "Error", "c1": "Running"},
    ended={"u4": "done"},
)
ASKED = (
    Promise(action="create", status=202, uuid="u1", request_id="r1", name="n1"),
    Promise(action="create", status=202, uuid="u4", request_id="r5", name="n4"),
    Promise(action="delete", status=204, uuid="u4", request_id="r6"),
    Promise(action="create", status=None, name="n9"),
    Promise(action="stop", status=409, uuid="u1"),
    Promise(action="create", status=202, uuid="u2", name="n2"),
)


def test_all_is_well() -> None:
    assert complaints(GOOD, ASKED) == []


def _row(index: int, **changes: Any) -> dict[str, Any]:
    rows = list(GOOD.rows)
    rows[index] = replace(rows[index], **changes)
    return {"rows": rows}


def _op(index: int, **changes: Any) -> dict[str, Any]:
    ops = list(OPS)
    ops[index] = replace(ops[index], **changes)
    return {"operations": ops}


BOX = GOOD.boxes[0]
WRONG: list[tuple[str, dict[str, Any]]] = [
    ("torn: m1 is on h2 and its capsule on h1", _row(3, host="h2")),
    ("orphan: m2 is a member of c9", _row(4, inside="c9")),
    ("lost: m1 is Running and stands on no engine", {"boxes": [*GOOD.boxes[:3], GOOD.boxes[4]]}),
    ("lost: c1 is Running and stands on no engine", {"boxes": [*GOOD.boxes[:2], *GOOD.boxes[3:]]}),
    ("wrong usage: p", _row(5, counts=1)),
    ("no claim: c1", {"claims": GOOD.claims[:2]}),
    ("open: stop of u2", _op(2, state="running")),
    ("open: stop of u2", _op(2, state="undo_pending")),
    ("no reason: create of u3", _op(3, error="")),
    ("no reason: u3", _row(2, status_reason=None)),
    ("restless: u1 is Unknown", {**_row(0, status="Unknown"), "api": {**GOOD.api, "u1": "Unknown"}}),
    ("restless: u1 is Creating", _row(0, status="Creating")),
    ("broken promise: u2 is Running", _row(1, status="Running")),
    ("broken promise: u2 is there after a delete", _op(2, action="delete")),
    ("lost: create of u4 was accepted, it went", {"ended": {"u4": "step_failed"}}),
    ("lost: delete of u4 was accepted, it went", {"ended": {}}),
    ("lost: u1 is Running and stands on no engine", {"boxes": GOOD.boxes[1:]}),
    ("untrue: u1 is Running and its engine shows exited",
     {"boxes": [replace(BOX, state="exited"), *GOOD.boxes[1:]]}),
    ("untrue: u1 has ['10.0.0.9']",
     {"boxes": [replace(BOX, addresses=frozenset({"10.0.0.9"})), *GOOD.boxes[1:]]}),
    ("doubled: u1 stands on h1, h2", {"boxes": [*GOOD.boxes, replace(BOX, host="h2")]}),
    ("doubled: u1 stands on h1, h1", {"boxes": [*GOOD.boxes, BOX]}),
    ("orphan: u1 stands on h2 and belongs to h1", {"boxes": [*GOOD.boxes, replace(BOX, host="h2")]}),
    ("orphan: u9 stands on h1", {"boxes": [*GOOD.boxes, replace(BOX, uuid="u9")]}),
    ("claim of nobody: u9", {"claims": [*GOOD.claims, Claimed(host="h1", container_uuid="u9")]}),
    ("claim of nobody: u1", {"claims": [replace(GOOD.claims[0], host="h2"), *GOOD.claims[1:]]}),
    ("wrong claim: u1", {"claims": [replace(GOOD.claims[0], memory=64), *GOOD.claims[1:]]}),
    ("wrong claim: u1", {"claims": [replace(GOOD.claims[0], cpu=0.2), *GOOD.claims[1:]]}),
    ("no claim: u1", {"claims": GOOD.claims[1:]}),
    ("wrong sums", {"hosts": [replace(GOOD.hosts[0], memory=33), GOOD.hosts[1]]}),
    ("wrong sums", {"hosts": [replace(GOOD.hosts[0], cpu=0.41), GOOD.hosts[1]]}),
    ("wrong sums", {"hosts": [replace(GOOD.hosts[0], number=1), GOOD.hosts[1]]}),
    ("port of nobody", {"ports": [*GOOD.ports, replace(GOOD.ports[0], container_uuid="u9")]}),
    ("port of no network", {"ports": [replace(GOOD.ports[0], network_uuid="x"), *GOOD.ports[1:]]}),
    ("doubled: address 10.0.0.2",
     {"ports": [GOOD.ports[0], replace(GOOD.ports[1], address="10.0.0.2"), GOOD.ports[2]]}),
    ("orphan: network other on h1 and no record", {"engine_networks": [("h1", "other")]}),
    ("orphan: network net on h3, where nobody", {"engine_networks": [("h3", "net")]}),
    ("orphan: files of u1 on h2", {"files": [("h2", "u1")]}),
    ("orphan: files of u9 on h1", {"files": [("h1", "u9")]}),
    ("wrong usage: p", {"usage": {"p": Amounts(containers=2, cpu=300, memory=96)}}),
    ("wrong usage: q", {"usage": {**GOOD.usage, "q": Amounts(cpu=1)}}),
    ("untrue: the API says u1 is None", {"api": {k: v for k, v in GOOD.api.items() if k != "u1"}}),
    ("untrue: the API says u1 is Stopped", {"api": {**GOOD.api, "u1": "Stopped"}}),
    ("untrue: the API says u9 is Running", {"api": {**GOOD.api, "u9": "Running"}}),
]  # fmt: skip


@pytest.mark.parametrize(("said", "changes"), WRONG)
def test_each_wrong_is_seen(said: str, changes: dict[str, Any]) -> None:
    found = complaints(replace(GOOD, **changes), ASKED)
    assert [line for line in found if line.startswith(said)], found


@pytest.mark.parametrize(
    ("said", "promise"),
    [
        ("lost: stop of u1", Promise(action="stop", status=202, uuid="u1", request_id="r77")),
        (
            "lost: create of u8 was accepted",
            Promise(action="create", status=202, uuid="u8", request_id="r1"),
        ),
        ("doubled: request id r1", Promise(action="stop", status=202, uuid="u1", request_id="r1")),
    ],
)
def test_a_lost_request_is_seen(said: str, promise: Promise) -> None:
    found = complaints(GOOD, (*ASKED, promise))
    assert [line for line in found if line.startswith(said)], found


def test_two_containers_of_one_request_are_seen() -> None:
    twin = replace(FAILED, uuid="u5", name="n1")
    found = complaints(replace(GOOD, rows=(*GOOD.rows, twin)), ASKED)
    assert "doubled: 2 containers of the one request for n1" in found


def test_what_an_engine_ended_itself_is_no_broken_promise() -> None:
    stopped = {
        **_row(0, status="Stopped"),
        "boxes": (replace(BOX, state="exited"), *GOOD.boxes[1:]),
        "api": {**GOOD.api, "u1": "Stopped"},
    }
    assert complaints(replace(GOOD, **stopped), ASKED) == [
        "broken promise: u1 is Stopped after a create that was done"
    ]
    assert complaints(replace(GOOD, disturbed=frozenset({"h1"}), **stopped), ASKED) == []
