"""Requests made up from the OpenAPI document: whatever comes, the answer is one that the document describes.

Two runs, both bounded in time: all corners of the parameters, over rows in every status, with a fixed seed; and
whatever comes to mind, in any order, over a house that works on fake drivers, with a seed of its own each time.
"""

from __future__ import annotations

import logging
import os
import random
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import pytest
import schemathesis
import sqlalchemy as sa
from schemathesis.config import FuzzConfig
from schemathesis.core.failures import ServerError
from schemathesis.engine import events, from_schema
from schemathesis.schemas import BaseSchema
from sqlalchemy.dialects import sqlite
from tests.support import house

from zun.api.app import build_app
from zun.api.middleware.noauth import NoAuth
from zun.api.openapi.document import build
from zun.api.routes import ROUTES
from zun.api.settings import ApiSettings
from zun.model.container import Container, Draft
from zun.model.lifecycle import Status
from zun.store import schema

#: Seconds: the corners end earlier, the other run never does.
CORNERS, RANDOM = 35, 20
SEED = 20260101
SEED_VARIABLE = "ZUN_TEST_SEED"
CHECKS = (
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
)
#: What makes an answer last until something happens is not for here: nothing ends a request from outside.
ENDLESS, WAITING = "text/event-stream", frozenset({"follow", "wait"})
#: Sessions and long answers are served somewhere: that they are not would be a 503, and right.
ELSEWHERE = ApiSettings(streams_url="http://127.0.0.1:9", wsproxy_url="ws://127.0.0.1:9/")
#: Names the service on the host of either house, so that what is done to services is done at least once.
SERVICE = {"binary": "zun-compute", "forced_down": "true"}
#: Where a request means something else; the made-up values beside them are wrong ones.
VERSIONS = ("1.1", "1.13", "1.19", "1.20", "1.35", "latest")


def _schema(app: Any, known: Mapping[str, list[str]], seed: int) -> BaseSchema:
    """The document as schemathesis sees it: `known` are values of path variables behind which there is something."""
    document = build(ROUTES, ApiSettings())
    for path, item in document["paths"].items():
        for method, operation in list(item.items()):
            if any(
                ENDLESS in answer.get("content", ()) for answer in operation["responses"].values()
            ):
                del item[method]
            parameters = operation.get("parameters", [])
            parameters[:] = [each for each in parameters if each.get("name") not in WAITING]
            for parameter in parameters:
                if parameter.get("in") == "path" and parameter["name"] in known:
                    parameter["schema"] = {"enum": known[parameter["name"]]}
                elif path.startswith("/v1/services") and parameter.get("in") == "query":
                    example = {**SERVICE, "host": known["host"][0]}.get(parameter["name"])
                    parameter |= {"example": example} if example else {}
    header = document["components"]["parameters"]["MicroVersion"]
    header["schema"] = {"enum": [f"container {version}" for version in VERSIONS]}
    config = schemathesis.Config.from_dict(
        {
            "seed": seed,
            "max-time": CORNERS,
            "continue-on-failure": True,
            "checks": {"enabled": False, **{name: {"enabled": True} for name in CHECKS}},
            "generation": {"database": "none", "no-shrink": True},
            "phases": {"fuzzing": {"enabled": False}, "stateful": {"enabled": False}},
        }
    )
    loaded = schemathesis.openapi.from_dict(document, config=config)
    loaded.app = app
    return loaded


def _told(stream: Iterable[Any]) -> tuple[list[str], Counter[tuple[str, int]]]:
    """What was wrong, and how often each operation answered each status."""
    wrong: list[str] = []
    seen: Counter[tuple[str, int]] = Counter()
    for event in stream:
        if isinstance(event, events.NonFatalError | events.FatalError):
            wrong.append(repr(vars(event) if hasattr(event, "__dict__") else event))
        if not isinstance(event, events.ScenarioFinished | events.FuzzScenarioFinished):
            continue
        record = event.recorder
        for key, interaction in record.interactions.items():
            if interaction.response is not None:
                label = record.cases[key].value.operation.label
                seen[label, interaction.response.status_code] += 1
        for key, checks in record.checks.items():
            wrong += [
                f"{record.cases[key].value.as_curl_command()}\n{check.failure_info.failure}"
                for check in checks
                if check.failure_info is not None
                and not (
                    isinstance(check.failure_info.failure, ServerError)
                    and _is_down(record.interactions[key].response)
                )
            ]
    return wrong, seen


def _is_down(answer: Any) -> bool:
    """Whether a request was refused for a host that another request, made up before it, has declared down.

    That is right, and the one 5xx that is; all else about the answer is still judged.
    """
    return answer is not None and answer.status_code == 503 and b"declared down" in answer.content


def _judged(
    stream: Iterable[Any], capsys: pytest.CaptureFixture[str], again: str = ""
) -> tuple[set[str], set[str]]:
    """Fails on anything wrong; the operations that were tried, and those that were done at least once."""
    wrong, seen = _told(stream)
    tried = {label for label, _ in seen}
    fine = {label for label, status in seen if status < 300}
    with capsys.disabled():
        print(f"\n{sum(seen.values())} requests, {len(tried)} operations, {len(fine)} of them 2xx")
    assert not wrong, f"{len(wrong)} answers are wrong; {again}:\n\n" + "\n\n".join(wrong[:5])
    return tried, fine


def _as_new(api: Any, rows: Iterable[Container]) -> Callable[..., Any]:
    """The application, with `rows` as they were before each request, and with all registries, services and capsules:
    what one did is not in the way of another."""
    kept = [{"key": row.uuid, "name": row.name, "status": row.status} for row in rows]
    table = schema.containers
    restore = (
        sa.update(table)
        .where(table.c.uuid == sa.bindparam("key"))
        .values(name=sa.bindparam("name"), status=sa.bindparam("status"))
    )

    with api.db.read() as conn:
        others = [
            (each, [dict(row) for row in conn.execute(sa.select(each)).mappings()])
            for each in (schema.registries, schema.services, schema.capsules)
        ]

    def app(environ: Any, start_response: Any) -> Any:
        with api.db.write() as conn:
            for each, there in others:
                conn.execute(sqlite.insert(each).on_conflict_do_nothing(), there)
            conn.execute(sa.delete(schema.events))
            conn.execute(sa.delete(schema.operations))
            conn.execute(restore, kept)
        return api.app(environ, start_response)

    return app


def test_corners(make_api: Callable[..., Any], capsys: pytest.CaptureFixture[str]) -> None:
    api = make_api(settings=ApiSettings())
    api.seed_host()
    statuses = sorted(Status, key=lambda status: status is not Status.RUNNING)
    rows = [
        api.seed(name=f"is-{status.lower()}", status=status, project_id="admin")
        for status in statuses
    ]
    body = {"registry": {"domain": "r.example.com", "name": "mine"}}
    registry = api.post("/v1/registries", json=body, project="admin").json["registry"]["uuid"]
    pull = {"repo": "alpine", "host": "host1.example.com"}
    image = api.post("/v1/images", json=pull, project="admin", roles="admin").json["uuid"]
    template = {
        "kind": "capsule",
        "metadata": {"name": "pod"},
        "spec": {"containers": [{"image": "busybox"}]},
    }
    capsule = api.post("/v1/capsules", json={"template": template}, project="admin").json["uuid"]
    api.seed_network("used", *rows, project_id="admin")
    api.seed_network("free", project_id="admin")
    known = {
        "ident": [row.name for row in rows], "host": ["host1.example.com"], "registry": [registry],
        "project": ["admin", "p1"], "name": ["default", "gold"],
        "image": [image], "capsule": [capsule], "network": ["used", "free"],
    }  # fmt: skip
    tried, fine = _judged(from_schema(_schema(_as_new(api, rows), known, SEED)).execute(), capsys)
    # Requests all of which are refused would prove nothing.
    assert len(fine) > len(tried) / 2, sorted(tried - fine)


def test_anything(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    seed = int(os.environ.get(SEED_VARIABLE) or random.SystemRandom().getrandbits(32))
    with capsys.disabled():
        print(f"\n{SEED_VARIABLE}={seed} makes up the same requests again", end="")
    caplog.set_level(logging.CRITICAL)
    with house.running(tmp_path) as rig:
        app = build_app(rig.house.services, ELSEWHERE, NoAuth)
        admin = house.caller("admin", "admin")
        names = [f"web-{number}" for number in range(30)]
        for name in names:
            rig.create(Draft(image="busybox", name=name, run=True, cpu=0.1, memory=4), admin)
        networks = ["red", "green", "blue"]
        for name in networks:
            rig.house.services.networks.create(admin, name)
        known = {"ident": names, "host": ["host-1"], "network": networks}
        loaded = _schema(app, known, seed)
        stream = from_schema(loaded).fuzz(FuzzConfig(max_time=RANDOM))
        _judged(stream, capsys, f"{SEED_VARIABLE}={seed} makes them up again")
