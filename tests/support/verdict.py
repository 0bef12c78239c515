"""Whether a cluster at rest is as it promised to be: values in, complaints out. Pure, so that it can be seen to fail.

What is compared: what clients were promised, what the API says, what the database holds, and what stands on every
engine. A quiet cluster about which nothing is complained has lost nothing, doubled nothing and left nothing behind.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from zun.model.lifecycle import TRANSITIONS, Action, Status
from zun.model.operation import CLOSED, EventKind, OperationState
from zun.model.quota import Amounts, milli

#: Statuses a container may rest in, and what its engine then shows.
AT_REST: Mapping[str, frozenset[str]] = {
    Status.RUNNING: frozenset({"running"}),
    Status.STOPPED: frozenset({"exited"}),
    Status.PAUSED: frozenset({"paused"}),
    Status.CREATED: frozenset({"created"}),
    # It may stand or be gone, whatever could not be done to it.
    Status.ERROR: frozenset({"running", "exited", "paused", "created", "dead", ""}),
}
_ENDS = frozenset({EventKind.DONE, EventKind.FAILED, EventKind.CANCELLED})
_ROUNDING = 1e-6


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """A container or a capsule in the database. `inside`: the capsule whose member it is. `counts`: for how many
    containers its project has it, which of a capsule is its members."""

    uuid: str
    name: str
    project_id: str
    host: str | None
    status: str
    status_reason: str | None = None
    cpu: float = 0.1
    memory: int = 32
    disk: int = 0
    inside: str | None = None
    counts: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Op:
    """An operation in the database, in the order of acceptance."""

    uuid: str
    container_uuid: str
    action: str
    state: str
    request_id: str
    error: str | None = None
    run: bool = False  # it has a step that starts it


@dataclass(frozen=True, slots=True, kw_only=True)
class Claimed:
    """A claim on a host, or with `number` what a host's record says is claimed of it."""

    host: str
    container_uuid: str = ""
    cpu: float = 0.1
    memory: int = 32
    disk: int = 0
    number: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A container on an engine that carries our label."""

    host: str
    uuid: str
    state: str
    addresses: frozenset[str] = frozenset()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plug:
    """A port in the database."""

    container_uuid: str
    network_uuid: str
    address: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Promise:
    """A request of a client. `status`: the HTTP status, None = no answer came, so nobody knows."""

    action: str
    status: int | None
    uuid: str = ""
    request_id: str = ""  # "" of a create that was only told again what an earlier one made
    name: str = ""  # of a create, by which one without an answer is found

    @property
    def accepted(self) -> bool:
        """Whether it was accepted for certain."""
        return self.status == 202 or self.status == 204


@dataclass(frozen=True, kw_only=True)
class Snapshot:
    """Everything at one quiet moment. `disturbed`: hosts whose containers something else may have ended."""

    rows: Sequence[Row] = ()
    operations: Sequence[Op] = ()
    claims: Sequence[Claimed] = ()
    hosts: Sequence[Claimed] = ()
    ports: Sequence[Plug] = ()
    networks: frozenset[str] = frozenset()
    usage: Mapping[str, Amounts] = field(default_factory=dict)
    boxes: Sequence[Box] = ()
    engine_networks: Sequence[tuple[str, str]] = ()  # host, uuid
    files: Sequence[tuple[str, str]] = ()  # host, uuid of the container
    api: Mapping[str, str] = field(default_factory=dict)  # uuid -> status
    ended: Mapping[str, str] = field(default_factory=dict)  # uuid -> its last event of an operation
    disturbed: frozenset[str] = frozenset()

    @property
    def owners(self) -> Sequence[Row]:
        """Those that have claims, ports and a place in the API for themselves: all but members."""
        return [row for row in self.rows if row.inside is None]


def complaints(seen: Snapshot, promises: Sequence[Promise] = ()) -> list[str]:
    """What is not as it should be, a line each; [] when all is well."""
    return [
        *_open(seen),
        *_reasons(seen),
        *_promises(seen, promises),
        *_statuses(seen),
        *_boxes(seen),
        *_members(seen),
        *_claims(seen),
        *_networks(seen),
        *_files(seen),
        *_usage(seen),
        *_api(seen),
    ]


def _open(seen: Snapshot) -> Iterator[str]:
    for op in seen.operations:
        if op.state not in CLOSED:
            yield f"open: {op.action} of {op.container_uuid} is still {op.state}"


def _reasons(seen: Snapshot) -> Iterator[str]:
    for op in seen.operations:
        if op.state == OperationState.FAILED and not op.error:
            yield f"no reason: {op.action} of {op.container_uuid} failed and nobody says why"
    for row in seen.owners:
        if row.status == Status.ERROR and not row.status_reason:
            yield f"no reason: {row.uuid} is in Error and nobody says why"


def _promises(seen: Snapshot, promises: Sequence[Promise]) -> Iterator[str]:
    by_request = {op.request_id for op in seen.operations}
    rows = {row.uuid for row in seen.rows}
    deletes = {
        p.uuid for p in promises if p.action == Action.DELETE and (p.accepted or p.status is None)
    }
    for promise in promises:
        what = f"{promise.action} of {promise.uuid}"
        if not promise.accepted:
            continue
        if promise.uuid in rows:
            if promise.request_id and promise.request_id not in by_request:
                yield f"lost: {what} was accepted and nobody knows of it"
        elif promise.uuid not in deletes:
            yield f"lost: {what} was accepted, it is not there and nobody deleted it"
        # One that no host had anything of goes at once, without an operation: what it was made by has failed then.
        elif (end := seen.ended.get(promise.uuid)) not in _ENDS:
            yield f"lost: {what} was accepted, it went and its history ends with {end}"
    names = Counter(row.name for row in seen.owners)
    for name in {promise.name for promise in promises if promise.name}:
        if names[name] > 1:
            yield f"doubled: {names[name]} containers of the one request for {name}"
    twice = Counter(p.request_id for p in promises if p.accepted and p.request_id)
    yield from (
        f"doubled: request id {ident} was given twice" for ident, n in twice.items() if n > 1
    )


def _removes(op: Op) -> bool:
    return op.action == Action.DELETE and op.state == OperationState.DONE


def _statuses(seen: Snapshot) -> Iterator[str]:
    last: dict[str, Op] = {}
    for op in seen.operations:
        if op.state == OperationState.DONE:
            last[op.container_uuid] = op
    for row in seen.rows:
        if row.status not in AT_REST:
            yield f"restless: {row.uuid} is {row.status}, and nothing happens any more"
            continue
        op = last.get(row.uuid)
        if op is None or row.status == Status.ERROR or row.host in seen.disturbed:
            continue
        promised = _promised(op)
        if promised is not None and row.status != promised and not _changed_since(seen, op):
            yield f"broken promise: {row.uuid} is {row.status} after a {op.action} that was done"
    for uuid, op in last.items():
        if _removes(op) and uuid in {row.uuid for row in seen.rows}:
            yield f"broken promise: {uuid} is there after a delete that was done"


def _changed_since(seen: Snapshot, done: Op) -> bool:
    """Whether an operation that came later failed half way: the status is what it left then."""
    mine = [op for op in seen.operations if op.container_uuid == done.container_uuid]
    return any(op.state == OperationState.FAILED for op in mine[mine.index(done) + 1 :])


def _promised(op: Op) -> str | None:
    """The status a container has after the operation; None = any."""
    if op.action == Action.CREATE:
        return Status.RUNNING if op.run else Status.CREATED
    transition = TRANSITIONS.get(Action(op.action))
    return None if transition is None or op.action == Action.REBUILD else transition.settled


def _boxes(seen: Snapshot) -> Iterator[str]:
    rows = {row.uuid: row for row in seen.rows}
    standing: dict[str, list[Box]] = defaultdict(list)
    for box in seen.boxes:
        standing[box.uuid].append(box)
        row = rows.get(box.uuid)
        if row is None:
            yield f"orphan: {box.uuid} stands on {box.host} and no record knows of it"
        elif row.host != box.host:
            yield f"orphan: {box.uuid} stands on {box.host} and belongs to {row.host}"
    for uuid, boxes in standing.items():
        if len(boxes) > 1:
            yield f"doubled: {uuid} stands on {', '.join(sorted(box.host for box in boxes))}"
    ports: dict[str, set[str]] = defaultdict(set)
    for port in seen.ports:
        ports[port.container_uuid].add(port.address)
    for row in seen.rows:
        here = [box for box in standing.get(row.uuid, ()) if box.host == row.host]
        shown = here[0].state if here else ""
        if not here and row.status in AT_REST and "" not in AT_REST[row.status]:
            yield f"lost: {row.uuid} is {row.status} and stands on no engine"
        elif row.status in AT_REST and shown not in AT_REST[row.status]:
            yield f"untrue: {row.uuid} is {row.status} and its engine shows {shown or 'nothing'}"
        if here and here[0].addresses != ports[row.uuid]:
            yield f"untrue: {row.uuid} has {sorted(here[0].addresses)}, recorded are {sorted(ports[row.uuid])}"


def _members(seen: Snapshot) -> Iterator[str]:
    owners = {row.uuid: row for row in seen.owners}
    for row in seen.rows:
        capsule = None if row.inside is None else owners.get(row.inside)
        if row.inside is not None and capsule is None:
            yield f"orphan: {row.uuid} is a member of {row.inside}, which is not there"
        elif capsule is not None and capsule.host != row.host:
            yield f"torn: {row.uuid} is on {row.host} and its capsule on {capsule.host}"


def _claims(seen: Snapshot) -> Iterator[str]:
    rows = {row.uuid: row for row in seen.owners}
    claims = {claim.container_uuid: claim for claim in seen.claims}
    for uuid, claim in claims.items():
        row = rows.get(uuid)
        if row is None or row.host != claim.host:
            yield f"claim of nobody: {uuid} on {claim.host}"
        elif (claim.memory, claim.disk) != (row.memory, row.disk) or abs(
            claim.cpu - row.cpu
        ) > _ROUNDING:
            yield f"wrong claim: {uuid} claims {claim}, and is {row}"
    for row in seen.owners:
        if row.host is not None and row.uuid not in claims:
            yield f"no claim: {row.uuid} is on {row.host} and claims nothing"
    for host in seen.hosts:
        mine = [claim for claim in seen.claims if claim.host == host.host]
        sums = (sum(c.memory for c in mine), sum(c.disk for c in mine), len(mine))
        cpu = sum(c.cpu for c in mine)
        if (host.memory, host.disk, host.number) != sums or abs(host.cpu - cpu) > _ROUNDING:
            yield f"wrong sums: {host}, its claims sum up to {cpu} CPUs and {sums}"


def _networks(seen: Snapshot) -> Iterator[str]:
    rows = {row.uuid: row for row in seen.rows}
    needed = set()
    for port in seen.ports:
        row = rows.get(port.container_uuid)
        if row is None:
            yield f"port of nobody: {port.address} of {port.container_uuid}"
        elif row.host is not None:
            needed.add((row.host, port.network_uuid))
        if port.network_uuid not in seen.networks:
            yield f"port of no network: {port.address} of {port.container_uuid}"
    taken = Counter((port.network_uuid, port.address) for port in seen.ports)
    yield from (
        f"doubled: address {address}" for (_, address), number in taken.items() if number > 1
    )
    for host, network in seen.engine_networks:
        if network not in seen.networks:
            yield f"orphan: network {network} on {host} and no record knows of it"
        elif (host, network) not in needed:
            yield f"orphan: network {network} on {host}, where nobody needs it"


def _files(seen: Snapshot) -> Iterator[str]:
    at = {row.uuid: row.host for row in seen.rows}
    for host, uuid in seen.files:
        if at.get(uuid) != host:
            yield f"orphan: files of {uuid} on {host}"


def _usage(seen: Snapshot) -> Iterator[str]:
    counted: dict[str, Amounts] = defaultdict(Amounts)
    for row in seen.owners:
        before = counted[row.project_id]
        counted[row.project_id] = Amounts(
            containers=before.containers + row.counts,
            cpu=before.cpu + milli(row.cpu),
            memory=before.memory + row.memory,
            disk=before.disk + row.disk,
        )
    for project in seen.usage.keys() | counted.keys():
        recorded = seen.usage.get(project, Amounts())
        if recorded != counted[project]:
            yield f"wrong usage: {project} is said to use {recorded}, and uses {counted[project]}"


def _api(seen: Snapshot) -> Iterator[str]:
    rows = {row.uuid: row.status for row in seen.owners}
    for uuid in seen.api.keys() | rows.keys():
        if seen.api.get(uuid) != rows.get(uuid):
            yield f"untrue: the API says {uuid} is {seen.api.get(uuid)}, the database {rows.get(uuid)}"
