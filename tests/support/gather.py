"""A snapshot of a whole cluster: rows of its database, containers and networks of its engines, answers of its API."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from docker import APIClient
from docker.errors import NotFound
from tests.support.verdict import Box, Claimed, Op, Plug, Row, Snapshot

from zun.model.names import LABEL_UUID
from zun.model.quota import RESOURCES, Amounts
from zun.store import schema

_STARTS = frozenset({"runtime_start", "capsule_start"})


def snapshot(
    db: sa.Engine,
    engines: Mapping[str, str],
    files: Mapping[str, Path],
    api: Mapping[str, str],
    disturbed: frozenset[str] = frozenset(),
) -> Snapshot:
    """The moment. `engines`: host -> URL; `files`: host -> where its agent keeps files; `api`: uuid -> status.

    Raises DockerException, requests' exceptions, SQLAlchemyError: something does not answer.
    """
    boxes, nets = [], []
    for host, url in engines.items():
        with closing(APIClient(url, version="auto", timeout=30)) as client:
            boxes += list(_boxes(host, client))
            found = client.networks(filters={"label": LABEL_UUID})
            nets += [(host, net["Labels"][LABEL_UUID]) for net in found]
    with db.connect() as conn:
        return Snapshot(
            rows=list(_owners_and_members(conn)),
            operations=list(_operations(conn)),
            claims=[Claimed(**row) for row in _rows(conn, schema.claims, Claimed)],
            hosts=list(_hosts(conn)),
            ports=[Plug(**row) for row in _rows(conn, schema.ports, Plug)],
            networks=frozenset(conn.execute(sa.select(schema.networks.c.uuid)).scalars()),
            usage=_usage(conn),
            boxes=boxes,
            engine_networks=nets,
            files=[(host, p.name) for host, at in files.items() for p in _below(at)],
            api=dict(api),
            ended=_ended(conn),
            disturbed=disturbed,
        )


def _rows(conn: sa.Connection, table: sa.Table, of: type) -> Iterator[dict[str, Any]]:
    wanted = [table.c[name] for name in of.__slots__ if name in table.c]
    for row in conn.execute(sa.select(*wanted)):
        yield dict(row._mapping)


def _owners_and_members(conn: sa.Connection) -> Iterator[Row]:
    inside = conn.execute(sa.select(schema.containers.c.uuid, schema.containers.c.capsule_uuid))
    capsule_of = {uuid: capsule for uuid, capsule in inside if capsule is not None}
    for row in _rows(conn, schema.containers, Row):
        yield Row(**row, inside=capsule_of.get(row["uuid"]))
    members = Counter(capsule_of.values())
    for row in _rows(conn, schema.capsules, Row):
        yield Row(**row, counts=members[row["uuid"]])


def _operations(conn: sa.Connection) -> Iterator[Op]:
    table = schema.operations
    for row in conn.execute(sa.select(table).order_by(table.c.id)):
        yield Op(
            uuid=row.uuid, container_uuid=row.container_uuid, action=row.action, state=row.state,
            request_id=row.request_id, error=row.error, run=not _STARTS.isdisjoint(row.steps),
        )  # fmt: skip


def _hosts(conn: sa.Connection) -> Iterator[Claimed]:
    for row in conn.execute(sa.select(schema.hosts)):
        yield Claimed(
            host=row.hostname, cpu=row.cpu_used, memory=row.mem_used, disk=row.disk_used,
            number=row.total_containers,
        )  # fmt: skip


def _usage(conn: sa.Connection) -> dict[str, Amounts]:
    table = schema.project_usage
    columns = [table.c[resource] for resource in RESOURCES]
    return {
        row[0]: Amounts(**dict(zip(RESOURCES, row[1:], strict=True)))
        for row in conn.execute(sa.select(table.c.project_id, *columns))
    }


def _ended(conn: sa.Connection) -> dict[str, str]:
    """The last event of each container's operations; the records of one that is gone are gone, its events stay."""
    table = schema.events
    told = sa.select(table.c.container_uuid, table.c.kind).where(
        table.c.operation_uuid.is_not(None)
    )
    return {row.container_uuid: row.kind for row in conn.execute(told.order_by(table.c.id))}


def _boxes(host: str, client: APIClient) -> Iterator[Box]:
    for found in client.containers(all=True, filters={"label": LABEL_UUID}):
        try:
            raw = client.inspect_container(found["Id"])
        except NotFound:
            continue  # it went since
        nets = raw["NetworkSettings"]["Networks"].values()
        asked = [(net.get("IPAMConfig") or {}).get("IPv4Address") for net in nets]
        yield Box(
            host=host,
            uuid=found["Labels"][LABEL_UUID],
            state=raw["State"]["Status"],
            addresses=frozenset(address for address in asked if address),
        )


def _below(folder: Path) -> list[Path]:
    return list(folder.iterdir()) if folder.is_dir() else []


def as_text(seen: Snapshot) -> str:
    """For a report: everything, a JSON line each."""
    lines = []
    for name in ("rows", "operations", "claims", "hosts", "ports", "boxes", "engine_networks"):
        lines += [f"{name}: {json.dumps(str(each))}" for each in getattr(seen, name)]
    return "\n".join(lines)
