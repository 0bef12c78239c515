"""A list takes a shorter way from the row to the answer than a show; both must answer the same."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import orjson
import pytest
from tests.support.house import PROJECT

from zun.api.views import containers as views
from zun.api.views.links import Urls
from zun.model.container import Container
from zun.model.lifecycle import Action, Status
from zun.model.names import new_uuid
from zun.model.operation import Operation, OperationState
from zun.store import containers, operations
from zun.store.database import Database
from zun.work.clock import utcnow

pytestmark = pytest.mark.databases

_PLAIN = Container(
    uuid=new_uuid(), name="plain", project_id=PROJECT, user_id="u", image="busybox", image_driver="docker",
    status=Status.CREATING, cpu=1.0, memory=64, created_at=utcnow(),
)  # fmt: skip
_FULL = replace(
    _PLAIN, uuid=new_uuid(), name="full", status=Status.RUNNING, command=["sh", "-c", 'echo "ä\\n"'],
    entrypoint=["/init"], image_command=["never shown"], environment={"A": "1", "": "é"}, labels={"x": "y"},
    ports=[80, 443], addresses={"net": [{"addr": "10.0.0.2", "version": 4}]}, started_at=utcnow(),
    restart_policy={"Name": "always", "MaximumRetryCount": "0"}, healthcheck={"test": "true", "retries": 3},
    security_groups=["a"], updated_at=utcnow(), health="healthy", runtime="runc", host="host-1",
)  # fmt: skip
_IMAGES = replace(
    _PLAIN, uuid=new_uuid(), name="image's", status=Status.STOPPED, image_command=["nginx"],
    image_entrypoint=["/entry"], exit_code=3, started_at=utcnow(), finished_at=utcnow(),
)  # fmt: skip


@pytest.mark.parametrize("row", [_PLAIN, _FULL, _IMAGES], ids=lambda row: row.name)
def test_a_list_shows_what_a_show_shows(db: Database, row: Container) -> None:
    with db.write() as conn:
        containers.insert(conn, row)
    now = utcnow()
    with db.read() as conn:
        listed = containers.page(
            conn,
            project_id=PROJECT,
            filters={},
            limit=10,
            after=None,
            sort_key="id",
            descending=False,
        )
        alone = containers.get(conn, row.uuid)
    assert alone is not None

    def hidden(project_id: str, user_id: str) -> frozenset[str]:
        return frozenset()

    shown: dict[str, Any] = views.one(alone, urls=Urls("http://h", ""), hidden=hidden, now=now)
    del shown["links"]
    answer = orjson.loads(orjson.dumps(views.many(listed, hidden=hidden, now=now)))
    assert answer == [orjson.loads(orjson.dumps(shown))]
    assert list(answer[0]) == list(shown)


def test_a_list_tells_of_an_open_operation(db: Database) -> None:
    operation = Operation(
        uuid=new_uuid(), action=Action.CREATE, container_uuid=_PLAIN.uuid, project_id=PROJECT, user_id="u",
        request_id="req-1", queue="@conductor", state=OperationState.PENDING, steps=(), begun=True,
        prior_status=Status.CREATING, deadline=utcnow(), created_at=utcnow(),
    )  # fmt: skip
    with db.write() as conn:
        containers.insert(conn, _PLAIN)
        operations.open_(conn, operation)
    with db.read() as conn:
        (one,) = containers.page(
            conn,
            project_id=None,
            filters={},
            limit=10,
            after=None,
            sort_key="name",
            descending=True,
        )
    assert (one.open_action, one.open_begun) == (Action.CREATE, True)
