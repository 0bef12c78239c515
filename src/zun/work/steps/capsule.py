"""The steps of a capsule: a sandbox that holds the network, and containers that join it.

What is done to several containers looks at each of them first, so a step that was cut short goes on where it was.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta
from typing import Any

from sqlalchemy.engine import Connection

from zun.drivers.errors import Conflict, DriverError, NotFound, Rejected, Unsupported
from zun.drivers.image import PullPolicy
from zun.drivers.runtime import CanShare, Facts, Plan
from zun.model import lifecycle
from zun.model.container import Container
from zun.model.lifecycle import Observed
from zun.model.operation import host_queue
from zun.store import containers
from zun.work import facts as seen
from zun.work import kinds
from zun.work.context import NotYet, Recording, StepContext
from zun.work.scheduler import PlaceRequest
from zun.work.steps import image, ports
from zun.work.steps import images as image_steps
from zun.work.steps import place as places
from zun.work.steps import runtime as runtimes

_OVER = frozenset({Observed.EXITED, Observed.DEAD})
_HOSTNAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,62}")


def members(ctx: StepContext) -> Sequence[Container]:
    """The containers of the capsule, init containers first."""
    with ctx.env.db.read() as conn:
        return _members(conn, ctx)


def _members(conn: Connection, ctx: StepContext) -> Sequence[Container]:
    return containers.members_of(conn, [ctx.capsule.uuid])[ctx.capsule.uuid]


# ---- placing


def place(conn: Connection, ctx: StepContext) -> Recording:
    """Takes the best host that fits all of it, by one claim. Raises Rejected."""
    capsule, mine = ctx.capsule, _members(conn, ctx)
    request = PlaceRequest(
        cpu=capsule.cpu,
        memory=capsule.memory,
        disk=0,
        availability_zone=capsule.availability_zone,
        one_cpu=max(member.cpu for member in mine),
        one_memory=max(member.memory for member in mine),
        excluded=ctx.refused_by(),
    )
    default = ctx.env.settings.default_disk * len(mine)
    hostname, disk = places.take(conn, ctx, request, default)
    return Recording(
        outputs={"host": hostname},
        # Whatever it was on a host that it was to be on before, here it is nothing yet.
        container={"host": hostname, "disk": disk, "sandbox_id": None},
        members={
            m.uuid: {**_NOTHING_YET, "host": hostname, "disk": disk // len(mine)} for m in mine
        },
        queue=host_queue(hostname),
    )


_NOTHING_YET: Mapping[str, Any] = {
    "status": lifecycle.Status.CREATING,
    **dict.fromkeys(
        ("status_reason", "lost_status", "container_id", "exit_code", "started_at", "finished_at")
    ),
}


def give_back(conn: Connection, ctx: StepContext) -> Mapping[str, Any]:
    """Gives the claim back; the capsule and its containers have no host any more."""
    for member in _members(conn, ctx):
        containers.update(conn, member.uuid, ctx.env.clock(), host=None)
    return places.give_back(conn, ctx)


# ---- the sandbox


def sandbox(ctx: StepContext) -> Recording:
    """Makes and starts the sandbox."""
    runtime = ctx.env.on_host().runtime
    facts = runtime.create(_sandbox_plan(ctx), ctx.deadline)
    _start_sandbox(ctx)
    return Recording(container={"sandbox_id": facts.runtime_id})


def _sandbox_plan(ctx: StepContext) -> Plan:
    capsule, settings, means = ctx.capsule, ctx.env.settings, ctx.env.on_host()
    exposed = (port for member in members(ctx) for port in member.exposed_ports or ())
    named = capsule.name is not None and _HOSTNAME.fullmatch(capsule.name)
    return Plan(
        uuid=capsule.uuid,
        project_id=capsule.project_id,
        host=means.host_id,
        generation=ctx.operation.uuid,
        image=_sandbox_image(ctx),
        hostname=capsule.name if named else None,
        pids_limit=settings.pids_limit,
        no_new_privileges=settings.no_new_privileges,
        runtime=settings.default_runtime,
        exposed_ports=tuple(dict.fromkeys(exposed)),
        attachments=means.network.plan(ports.port_specs(ctx.env, capsule.uuid)),
        is_sandbox=True,
    )


def _sandbox_image(ctx: StepContext) -> str:
    """The operator's image, or the runtime's own, which needs no registry."""
    means, name = ctx.env.on_host(), ctx.env.settings.sandbox_image
    if not isinstance(means.runtime, CanShare):
        raise Unsupported("The runtime of this host can't run several containers in one sandbox.")
    if not name:
        return means.runtime.sandbox_image(ctx.deadline)
    source = means.images[image_steps.SOURCE]
    reference = source.resolve(name)
    wanted = source.ensure(reference, PullPolicy.IF_NOT_PRESENT, None, ctx.progress, ctx.deadline)
    return wanted.runtime_ref


def _start_sandbox(ctx: StepContext) -> None:
    """Starts it; where the engine has lost its network, makes that again first."""
    runtime, uuid = ctx.env.on_host().runtime, ctx.capsule.uuid
    try:
        runtime.start(uuid, ctx.deadline)
    except NotFound:
        ports.stand_again(ctx)
        runtime.start(uuid, ctx.deadline)


def destroy_sandbox(ctx: StepContext) -> None:
    """Removes the sandbox, running or not."""
    ctx.env.on_host().runtime.remove(ctx.capsule.uuid, ctx.deadline, force=True)


def remove_sandbox(ctx: StepContext) -> Recording:
    """The same, as a step of a delete."""
    destroy_sandbox(ctx)
    return Recording(container={"sandbox_id": None})


# ---- the containers


@contextmanager
def _naming(member: Container) -> Iterator[None]:
    """What goes wrong in the block is told of this container."""
    try:
        yield
    except DriverError as exc:
        kind = "Init container" if member.init else "Container"
        raise type(exc)(f"{kind} {member.name}: {exc.public}") from exc


def images(ctx: StepContext) -> Recording:
    """Fetches the image of each container as its pull policy says."""
    refs: dict[str, str] = {}
    changes: dict[str, Mapping[str, Any]] = {}
    for member in members(ctx):
        with _naming(member):
            found = image.ensure(replace(ctx, subject=member))
        refs[member.uuid] = found.outputs["ref"]
        changes[member.uuid] = found.container
    return Recording(outputs={"refs": refs}, members=changes)


def create(ctx: StepContext) -> Recording:
    """Makes the containers in the engine, not started: each in the namespaces of the sandbox."""
    runtime, refs = ctx.env.on_host().runtime, ctx.output(kinds.CAPSULE_IMAGES)["refs"]
    changes: dict[str, Mapping[str, Any]] = {}
    for member in members(ctx):
        plan = runtimes.plan_of(replace(ctx, subject=member), refs[member.uuid])
        # The ports are the sandbox's, as the network is.
        plan = replace(plan, sandbox=ctx.capsule.uuid, exposed_ports=())
        with _naming(member):
            facts = runtime.create(plan, ctx.deadline)
        exposed = {int(port.partition("/")[0]) for port in member.exposed_ports or ()}
        changes[member.uuid] = {
            "container_id": facts.runtime_id,
            "ports": sorted(exposed),
            "hostname": facts.hostname,
        }
    return Recording(members=changes)


def destroy(ctx: StepContext) -> None:
    """Removes the containers, the last one first, running or not."""
    means = ctx.env.on_host()
    for member in reversed(members(ctx)):
        means.runtime.remove(member.uuid, ctx.deadline, force=True)
        means.volumes.release(member.uuid, ctx.deadline)


def remove(ctx: StepContext) -> Recording:
    """The same, as a step of a delete."""
    destroy(ctx)
    return Recording(members={m.uuid: {"container_id": None} for m in members(ctx)})


def initialise(ctx: StepContext) -> Recording:
    """Runs the init containers one after another, each to its end.

    The engine starts one that fails again as its restart policy says. Raises NotYet while one runs; Rejected: one has
    failed for good, or takes too long.
    """
    changes: dict[str, Mapping[str, Any]] = {}
    for member in members(ctx):
        if not member.init:
            continue
        facts = _started(ctx, member)
        # When it began for the first time: the engine says when it did last.
        began = member.started_at or facts.started_at
        changes[member.uuid] = {**_columns(member, facts), "started_at": began}
        if facts.observed not in _OVER:
            most = ctx.env.settings.init_seconds
            if began is not None and ctx.env.clock() - began > timedelta(seconds=most):
                raise Rejected(f"Init container {member.name} did not end within {most:g} seconds.")
            raise NotYet(changes)
        if facts.exit_code != 0:
            raise Rejected(f"Init container {member.name} ended with exit code {facts.exit_code}.")
    return Recording(members=changes)


def start(ctx: StepContext) -> Recording:
    """Starts all containers that are no init containers, in the order of the template."""
    alive = [member for member in members(ctx) if not member.init]
    return Recording(members={m.uuid: _columns(m, _started(ctx, m)) for m in alive})


def restart(ctx: StepContext) -> Recording:
    """Starts the sandbox again where it has ended, and then whatever is to be started again and is not in its new
    life: also what ran on, in a network that is no more. Init containers have done their work and stay as they are."""
    runtime, mine = ctx.env.on_host().runtime, members(ctx)
    _start_sandbox(ctx)
    sandbox = runtime.inspect(ctx.capsule.uuid, ctx.deadline)
    for member in mine:
        facts = runtime.inspect(member.uuid, ctx.deadline)
        if member.init or in_its_life(facts, sandbox) or not _comes_back(ctx, facts):
            continue
        with _naming(member):
            runtime.stop(member.uuid, 0, ctx.deadline)
            runtime.start(member.uuid, ctx.deadline)
    return Recording()


def in_its_life(member: Facts, sandbox: Facts) -> bool:
    """Whether a container was started in the life that its sandbox has now; both times are of one clock."""
    if member.started_at is None or sandbox.started_at is None:
        return False
    return member.started_at >= sandbox.started_at


def _comes_back(ctx: StepContext, facts: Facts) -> bool:
    """Whether the restart policy has it started again; one that ran until the network went counts as failed."""
    policy = ctx.capsule.restart_policy.get("Name")
    return policy == "always" or (policy == "on-failure" and facts.exit_code != 0)


def _started(ctx: StepContext, member: Container) -> Facts:
    """The facts of a container that was started, by this attempt or an earlier one: its command must not run twice."""
    runtime = ctx.env.on_host().runtime
    facts = runtime.inspect(member.uuid, ctx.deadline)
    if facts.started_at is not None:
        return facts
    with _naming(member):
        try:
            runtime.start(member.uuid, ctx.deadline)
        except Conflict:
            # With an engine that was killed its sandbox has ended.
            _start_sandbox(ctx)
            runtime.start(member.uuid, ctx.deadline)
    return runtime.inspect(member.uuid, ctx.deadline)


def _columns(member: Container, facts: Facts) -> Mapping[str, Any]:
    status = lifecycle.settle(lifecycle.Action.START, member.status, facts.observed)
    return seen.columns(member, status or member.status, facts)
