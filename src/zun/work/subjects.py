"""What an operation may be about: how its row is read, written and brought to an end, by the kind of resource."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy.engine import Connection

from zun.model.capsule import Capsule
from zun.model.container import Container
from zun.model.image import HostImage
from zun.model.lifecycle import Action, Status
from zun.model.operation import CAPSULE, CONTAINER, IMAGE
from zun.store import capsules as capsule_rows
from zun.store import containers, images, operations
from zun.work import capsules, settle
from zun.work.context import StepContext

Row = Container | HostImage | Capsule


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """One kind.

    load: the row of a uuid; None = it is gone. update: sets columns of it. look: what is seen of it when its
    operation ends, as `done` and `failed` of the same kind want it; raises DriverError. done, failed: write the end
    of an operation, in the transaction that closes it; the status it leaves.
    gone: gives back what the records hold for a row that is gone.
    """

    load: Callable[[Connection, str], Row | None]
    update: Callable[[Connection, str, datetime, Mapping[str, Any]], object]
    look: Callable[[StepContext], Any]
    done: Callable[[Connection, StepContext, Any], Status | None]
    failed: Callable[[Connection, StepContext, Any], Status | None]
    gone: Callable[[Connection, str], None]


def _image_done(conn: Connection, ctx: StepContext, _nothing: None) -> None:
    if ctx.operation.action is Action.IMAGE_DELETE:
        images.delete(conn, ctx.image.uuid)
        operations.forget_container(conn, ctx.image.uuid)


SUBJECTS: Mapping[str, Subject] = {
    CONTAINER: Subject(
        load=containers.get,
        update=lambda conn, uuid, now, columns: containers.update(conn, uuid, now, **columns),
        look=settle.look,
        done=settle.done,
        failed=settle.failed,
        gone=settle.forget,
    ),
    IMAGE: Subject(
        load=images.get,
        update=lambda conn, uuid, now, columns: images.update(conn, uuid, now, **columns),
        look=lambda ctx: None,
        done=_image_done,
        failed=lambda conn, ctx, facts: None,  # contract 8: the row stays as it is
        gone=lambda conn, uuid: None,
    ),
    CAPSULE: Subject(
        load=capsule_rows.get,
        update=capsule_rows.update,
        look=capsules.look,
        done=capsules.done,
        failed=capsules.failed,
        gone=capsules.forget,
    ),
}
