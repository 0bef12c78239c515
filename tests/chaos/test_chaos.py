"""Chaos: everything that can break does, while clients work. Afterwards every promise must have been kept.

The seed is printed; ZUN_CHAOS_SEED gives one, ZUN_CHAOS_MINUTES how long (`./run-tests --chaos MINUTES`). The blows and
what clients wish for are the same for the same seed; when exactly each happens is the machine's.
"""

from __future__ import annotations

import os
import random
import re
from collections.abc import Sequence

import pytest
import sqlalchemy as sa
from tests.chaos.clients import Api
from tests.chaos.run import at_rest, chaos, look
from tests.chaos.site import site_of
from tests.support.cluster import Cluster
from tests.support.gather import as_text
from tests.support.house import eventually
from tests.support.verdict import complaints

from zun.model.names import LABEL_UUID, new_uuid

pytestmark = pytest.mark.engine

MINUTES = float(os.environ.get("ZUN_CHAOS_MINUTES") or 2)
#: Lines of a log behind one that is looked for, as a traceback has; and how many are shown in all.
_AFTER, _MOST = 40, 2000
_UUID = re.compile(r"[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")
SEED = int(os.environ.get("ZUN_CHAOS_SEED") or random.SystemRandom().randrange(1_000_000))


def test_every_promise_is_kept(cluster: Cluster) -> None:
    print(f"chaos: seed {SEED}, {MINUTES:g} minutes; again: ZUN_CHAOS_SEED={SEED}")
    site = site_of(cluster)
    report = chaos(site, SEED, 60 * MINUTES)
    print(report)
    told = said_of(cluster, report.wrong)
    assert report.wrong == [], f"{report}\n{as_text(report.seen)}\n{told}"
    # It was a storm, and something was done in it.
    assert len(report.blows) >= 3
    assert report.accepted >= 5

    # All of it can be removed, and then nothing at all is left.
    capsules = {row.inside for row in report.seen.rows}
    for uuid, status in report.seen.api.items():
        remove(Api(site.apis, site.admin), uuid, status, capsule=uuid in capsules)
    seen, found = at_rest(
        site, lambda now: [*complaints(now), *(f"there is {r}" for r in now.rows)]
    )
    assert found == []
    assert (seen.boxes, seen.claims, seen.engine_networks) == ([], [], [])


def said_of(cluster: Cluster, wrong: Sequence[str]) -> str:
    """What the logs have with the uuids that are complained of; they go with the cluster."""
    wanted = {found for line in wrong for found in _UUID.findall(line)}
    found: list[str] = []
    for log in sorted((cluster.state / "log").glob("*.log")):
        lines = log.read_text(errors="replace").splitlines()
        for number, line in enumerate(lines):
            if wanted.intersection(_UUID.findall(line)):
                found += [f"{log.name}: {text}" for text in lines[number : number + _AFTER]]
    return "\n".join(found[:_MOST])


def test_the_judge_sees_what_is_there(cluster: Cluster) -> None:
    """What it reads of a real cluster is not nothing: a container that belongs to nobody is complained of."""
    site, uuid = site_of(cluster), new_uuid()
    db = sa.create_engine(site.database)
    try:
        with cluster.engine(cluster.hosts[0]) as engine:
            made = engine.create_container("busybox", ["true"], labels={LABEL_UUID: uuid})
            seen = look(site, db)
            engine.remove_container(made["Id"])
    finally:
        db.dispose()
    assert f"orphan: {uuid} stands on {cluster.hosts[0]} and no record knows of it" in complaints(
        seen
    )
    assert {host.host for host in seen.hosts} == set(cluster.hosts)


def remove(api: Api, uuid: str, status: str, *, capsule: bool) -> None:
    """Has a container or a capsule removed, whatever it is."""
    if status == "Paused":
        assert api.ask("POST", f"/containers/{uuid}/unpause").status == 202
        eventually(
            lambda: api.ask("GET", f"/containers/{uuid}").body["status"] == "Running", "it goes on"
        )
    path = f"/capsules/{uuid}" if capsule else f"/containers/{uuid}?force=true&"
    answer = api.ask("DELETE", f"{path}{'?' if capsule else ''}all_projects=true")
    assert answer.status == 204, answer
