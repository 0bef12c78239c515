"""Other limits for a container that exists.

While this goes on the claim on the host is the greater of the old and the new: it was raised when the wish was
accepted, and is set to what holds when it ends. So neither way back nor way forward can be refused for want of room.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sqlalchemy.engine import Connection

from zun.drivers.errors import Rejected, Unsupported
from zun.drivers.runtime import CanUpdate, Limits
from zun.model.quota import resized
from zun.store import claims, quotas
from zun.work.context import Recording, StepContext


def change(ctx: StepContext) -> Recording:
    """Sets the limits of the request."""
    params = ctx.operation.params
    _set(ctx, params["cpu"], params["memory"])
    return Recording()


def change_back(ctx: StepContext) -> None:
    """Sets the limits that the row has, which are the old ones until all is done."""
    _set(ctx, ctx.container.cpu, ctx.container.memory)


def _set(ctx: StepContext, cpu: float, memory: int) -> None:
    runtime = ctx.env.on_host().runtime
    if not isinstance(runtime, CanUpdate):
        raise Unsupported("The runtime of this host can't change a container's limits.")
    limits = Limits(cpu=cpu, memory=memory, cpu_shares=ctx.env.settings.cpu_shares)
    runtime.update(ctx.container.uuid, limits, ctx.deadline)


def record(conn: Connection, ctx: StepContext) -> Recording:
    """The claim, the row and what the project counts become what the engine has; with them whatever else the
    request changes. Raises Rejected: others have used up the quota since the request was accepted."""
    params = ctx.operation.params
    more = resized(ctx.container, params["cpu"], params["memory"])
    refused = quotas.take(
        conn, ctx.container.project_id, more, params["quota"], enforced=params["quota_enforced"]
    )
    if refused is not None:
        raise Rejected("The project's quota was used up by others meanwhile.")
    _claim(conn, ctx, params["cpu"], params["memory"])
    return Recording(
        container={"cpu": params["cpu"], "memory": params["memory"], **params.get("also", {})}
    )


def give_back(conn: Connection, ctx: StepContext) -> Mapping[str, Any]:
    """The claim becomes what the row has."""
    _claim(conn, ctx, ctx.container.cpu, ctx.container.memory)
    return {}


def _claim(conn: Connection, ctx: StepContext, cpu: float, memory: int) -> None:
    held = claims.held_by(conn, ctx.container.uuid)
    if held is not None:
        claims.reclaim(conn, replace(held, cpu=cpu, memory=memory))
