"""The steps that ask the container runtime of the host."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from zun.drivers.errors import Conflict, NotFound, Unavailable, Unsupported
from zun.drivers.runtime import CanPause, CanSignal, HealthCheck, Plan
from zun.model.container import STARTED_AGAIN, Container
from zun.model.lifecycle import Observed
from zun.store import claims
from zun.work import kinds
from zun.work.context import Recording, StepContext
from zun.work.steps import ports

#: Seconds a container is given to end by itself before a delete with `stop` kills it (contract 2.4).
_DELETE_GRACE = 10

_OVER = frozenset({Observed.EXITED, Observed.DEAD})


def create(ctx: StepContext) -> Recording:
    """Makes the container in the engine, not started."""
    means = ctx.env.on_host()
    facts = means.runtime.create(plan_of(ctx, ctx.output(kinds.IMAGE)["ref"]), ctx.deadline)
    changes: dict[str, Any] = {"container_id": facts.runtime_id, "ports": list(facts.ports)}
    if not ctx.container.hostname:
        changes["hostname"] = facts.hostname
    return Recording(container=changes)


def plan_of(ctx: StepContext, image: str) -> Plan:
    """What the row says, as the runtime wants it; `image` as the image driver returned it."""
    container, settings, means = ctx.container, ctx.env.settings, ctx.env.on_host()
    policy = container.restart_policy or {}
    return Plan(
        uuid=container.uuid,
        project_id=container.project_id,
        host=means.host_id,
        generation=ctx.operation.uuid,
        image=image,
        command=container.command or None,
        entrypoint=container.entrypoint or None,
        environment=container.environment,
        labels=container.labels,
        workdir=container.workdir,
        hostname=container.hostname,
        interactive=container.interactive,
        tty=container.tty,
        cpu=container.cpu,
        cpu_shares=settings.cpu_shares,
        cpuset=_cpuset(ctx),
        memory=container.memory,
        disk=container.disk or None,
        pids_limit=settings.pids_limit,
        no_new_privileges=settings.no_new_privileges,
        privileged=container.privileged,
        runtime=container.runtime or settings.default_runtime,
        restart_policy=_restart_policy(container),
        movable=bool(container.movable),
        restart_retries=int(policy.get("MaximumRetryCount") or 0),
        exposed_ports=container.exposed_ports or (),
        healthcheck=_healthcheck(container),
        mounts=[means.volumes.mount_spec(m) for m in container.mounts or ()],
        attachments=means.network.plan(ports.port_specs(ctx.env, container.uuid)),
    )


def _cpuset(ctx: StepContext) -> Sequence[int]:
    """The CPUs that are its own, else those that are nobody's."""
    with ctx.env.db.read() as conn:
        claim = claims.held_by(conn, ctx.container.uuid)
    if claim is not None and claim.cpuset:
        return claim.cpuset
    return ctx.env.settings.floating_cpus or ()


def _restart_policy(container: Container) -> str:
    """The engine's part of the policy.

    An engine starts "always" ones when its host starts, before anybody can tell it that they are another host's
    by now. So it gets the policy that it follows only while it runs; the rest the observer does.
    """
    wanted = str((container.restart_policy or {}).get("Name", "no"))
    return "on-failure" if container.movable and wanted in STARTED_AGAIN else wanted


def _healthcheck(container: Container) -> HealthCheck | None:
    check = container.healthcheck
    return HealthCheck(**check) if check else None


def destroy(ctx: StepContext) -> None:
    """Takes a create back: what this operation made goes, running or not."""
    runtime = ctx.env.on_host().runtime
    facts = runtime.inspect(ctx.container.uuid, ctx.deadline)
    if facts.generation in (None, ctx.operation.uuid):
        _remove(ctx, facts.runtime_id, force=True)


def _meant(ctx: StepContext) -> str | None:
    """The engine's id of the container this attempt is about; None if there is none.

    As recorded when the attempt began: were it asked for only now, an attempt that slept would mean what another has
    made since. Where nothing is recorded, an effect may have been lost on its way into the records: look.
    """
    if ctx.container.container_id is not None:
        return ctx.container.container_id
    return ctx.env.on_host().runtime.inspect(ctx.container.uuid, ctx.deadline).runtime_id


def _remove(ctx: StepContext, runtime_id: str | None, *, force: bool) -> None:
    if runtime_id is not None:
        ctx.env.on_host().runtime.remove(
            ctx.container.uuid, ctx.deadline, force=force, runtime_id=runtime_id
        )


def start(ctx: StepContext) -> Recording:
    """Starts the container; where the engine has lost its network, makes that again first."""
    runtime = ctx.env.on_host().runtime
    if ctx.operation.attempts and _was_started(ctx):
        return Recording()
    if ctx.container.movable and ctx.env.on_host().lapsed():
        raise Unavailable("The host is out of touch; others may take its containers for theirs.")
    meant = _meant(ctx)
    try:
        runtime.start(ctx.container.uuid, ctx.deadline, runtime_id=meant)
    except NotFound:
        ports.stand_again(ctx)
        runtime.start(ctx.container.uuid, ctx.deadline, runtime_id=meant)
    return Recording()


def _was_started(ctx: StepContext) -> bool:
    """Whether an earlier attempt at this step had its effect: a command that has ended since must not run twice."""
    facts = ctx.env.on_host().runtime.inspect(ctx.container.uuid, ctx.deadline)
    return facts.started_at is not None and facts.started_at != ctx.container.started_at


def stop(ctx: StepContext) -> Recording:
    """Stops the container; `timeout` (s) of the request is how long it may take to end by itself."""
    grace = ctx.operation.params.get("timeout")
    if grace is None and ctx.operation.params.get("stop"):
        grace = _DELETE_GRACE
    if (meant := _meant(ctx)) is not None:
        ctx.env.on_host().runtime.stop(ctx.container.uuid, grace, ctx.deadline, runtime_id=meant)
    return Recording()


def pause(ctx: StepContext) -> Recording:
    """Freezes the container's processes."""
    _pausing(ctx).pause(ctx.container.uuid, ctx.deadline)
    return Recording()


def unpause(ctx: StepContext) -> Recording:
    """Thaws the container's processes."""
    _pausing(ctx).unpause(ctx.container.uuid, ctx.deadline)
    return Recording()


def signal(ctx: StepContext) -> Recording:
    """Sends the request's signal. After a crash it may be sent twice: a signal leaves no trace to look for."""
    wanted = ctx.operation.params.get("signal")
    runtime = ctx.env.on_host().runtime
    if not isinstance(runtime, CanSignal):
        raise Unsupported("The runtime of this host can't signal.")
    try:
        runtime.signal(ctx.container.uuid, wanted, ctx.deadline)
    except Conflict:
        # After a crash, a container that the signal has ended refuses it the second time.
        if runtime.inspect(ctx.container.uuid, ctx.deadline).observed not in _OVER:
            raise
    return Recording()


def remove(ctx: StepContext) -> Recording:
    """Removes the container from the engine; a rebuild or a forced delete also removes a running one."""
    force = bool(ctx.operation.params.get("force", False))
    _remove(ctx, _meant(ctx), force=force)
    return Recording(container={"container_id": None})


def _pausing(ctx: StepContext) -> CanPause:
    runtime = ctx.env.on_host().runtime
    if not isinstance(runtime, CanPause):
        raise Unsupported("The runtime of this host can't pause.")
    return runtime
