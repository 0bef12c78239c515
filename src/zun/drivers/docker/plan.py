"""From a `Plan` to the body of the engine's create call: pure, one line a setting."""

from __future__ import annotations

from typing import Any

from zun.drivers.errors import Rejected
from zun.drivers.runtime import Attachment, HealthCheck, Plan
from zun.model import names

MIB = 1024 * 1024
SECOND = 1_000_000_000  # the engine counts times in nanoseconds
OUR_LABELS = "org.openstack.zun."


def labels(plan: Plan) -> dict[str, str]:
    """The user's labels and ours. Rejected: one of the user's could pass for one of ours."""
    for key in plan.labels:
        if key.startswith(OUR_LABELS):
            raise Rejected(f"labels that begin with {OUR_LABELS} are the service's own")
    return {
        **plan.labels,
        names.LABEL_UUID: plan.uuid,
        names.LABEL_PROJECT: plan.project_id,
        names.LABEL_GENERATION: plan.generation,
        names.LABEL_HOST: plan.host,
        names.LABEL_MOVABLE: "1" if plan.movable else "",  # an image may bring one of its own
    }


def endpoint(attachment: Attachment) -> dict[str, Any]:
    """The endpoint settings of one network."""
    asked = {"IPv4Address": attachment.address_v4, "IPv6Address": attachment.address_v6}
    return {"IPAMConfig": {key: value for key, value in asked.items() if value}}


def _health(check: HealthCheck) -> dict[str, Any]:
    return {
        "Test": ["CMD-SHELL", check.test],
        "Interval": (check.interval or 0) * SECOND,
        "Timeout": (check.timeout or 0) * SECOND,
        "Retries": check.retries or 0,
    }


def _restart(plan: Plan) -> dict[str, Any]:
    retries = plan.restart_retries if plan.restart_policy == "on-failure" else 0
    return {"Name": plan.restart_policy, "MaximumRetryCount": retries}


def cpu_limit(cpu: float, shares: bool) -> dict[str, int]:
    """The setting of a number of CPUs: a hard cap, or a weight."""
    return {"CpuShares": max(2, int(1024 * cpu))} if shares else {"NanoCpus": int(cpu * 1e9)}


def memory_limit(memory: int) -> dict[str, int]:
    """The settings of a limit in MiB. Equal limits for memory and memory + swap: no swap at all."""
    return {"Memory": memory * MIB, "MemorySwap": memory * MIB}


def _limits(plan: Plan) -> dict[str, Any]:
    limits: dict[str, Any] = {}
    if plan.cpu is not None:
        limits |= cpu_limit(plan.cpu, plan.cpu_shares)
    if plan.memory:
        limits |= memory_limit(plan.memory)
    if plan.cpuset:
        limits["CpusetCpus"] = ",".join(str(cpu) for cpu in plan.cpuset)
    if plan.pids_limit:
        limits["PidsLimit"] = plan.pids_limit
    if plan.disk:
        limits["StorageOpt"] = {"size": f"{plan.disk}G"}
    return limits


def _namespaces(plan: Plan) -> dict[str, Any]:
    """Whose network and IPC it has."""
    if plan.sandbox is not None:
        joined = f"container:{names.runtime_name(plan.sandbox)}"
        return {"NetworkMode": joined, "IpcMode": joined}
    own = {"NetworkMode": plan.attachments[0].network if plan.attachments else "none"}
    return {**own, "IpcMode": "shareable"} if plan.is_sandbox else own


def _host_config(plan: Plan) -> dict[str, Any]:
    config: dict[str, Any] = {
        **_namespaces(plan),
        "RestartPolicy": _restart(plan),
        "Init": False,
        "Privileged": plan.privileged,
        **_limits(plan),
    }
    if plan.no_new_privileges and not plan.privileged:
        config["SecurityOpt"] = ["no-new-privileges"]
    if plan.runtime:
        config["Runtime"] = plan.runtime
    if plan.mounts:
        config["Mounts"] = [
            {"Type": "bind", "Source": m.source, "Target": m.destination, "ReadOnly": m.read_only}
            for m in plan.mounts
        ]
    return config


def body(plan: Plan) -> dict[str, Any]:
    """The JSON of `POST /containers/create`; only the first network is in it (older engines take no more)."""
    config: dict[str, Any] = {
        "Image": plan.image,
        "Labels": labels(plan),
        "Env": [f"{key}={value}" for key, value in plan.environment.items()],
        "OpenStdin": plan.interactive,
        "Tty": plan.tty,
        "HostConfig": _host_config(plan),
    }
    if plan.command:
        config["Cmd"] = list(plan.command)
    if plan.entrypoint:
        config["Entrypoint"] = list(plan.entrypoint)
    if plan.workdir:
        config["WorkingDir"] = plan.workdir
    if plan.hostname:
        config["Hostname"] = plan.hostname
    if plan.exposed_ports:
        config["ExposedPorts"] = {port: {} for port in plan.exposed_ports}
    if plan.healthcheck:
        config["Healthcheck"] = _health(plan.healthcheck)
    if plan.attachments:
        first = plan.attachments[0]
        config["NetworkingConfig"] = {"EndpointsConfig": {first.network: endpoint(first)}}
    return config
