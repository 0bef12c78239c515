"""Puts the objects together: the one place where layers that never import each other meet."""

from __future__ import annotations

import ipaddress
import logging
import os
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import timedelta
from itertools import islice

import sqlalchemy as sa
from oslo_config import cfg
from prometheus_client import CollectorRegistry

from zun.api.settings import ApiSettings
from zun.bus import Bus
from zun.bus.local import LocalBus
from zun.cmd.ports import wsproxy_port
from zun.cmd.tls import agent_context
from zun.compute.agent import Agent, AgentSettings
from zun.compute.endpoint import Endpoint, EndpointSettings
from zun.compute.observer import ObserverSettings
from zun.compute.reaper import ReaperSettings
from zun.compute.sources import HostSources
from zun.conductor.conductor import Conductor, ConductorSettings
from zun.conductor.watch import WatchSettings
from zun.conf import cpus_of
from zun.drivers.image import ImageSource
from zun.drivers.network import NetworkDriver
from zun.drivers.runtime import Runtime
from zun.drivers.volume import VolumeDriver
from zun.model.names import new_uuid
from zun.service.agents import AgentStreams
from zun.service.archives import Archives
from zun.service.capsules import Capsules
from zun.service.containers import Containers
from zun.service.health import Health, Probe
from zun.service.hosts import Hosts
from zun.service.house import Services
from zun.service.images import Images
from zun.service.inside import Inside
from zun.service.intents import Intents
from zun.service.later import Later
from zun.service.networks import Networks
from zun.service.questions import Questions
from zun.service.quotas import Quotas
from zun.service.registries import Registries
from zun.service.sessions import Sessions
from zun.service.settings import QuotaSettings, ServiceSettings
from zun.store import hosts, migrate
from zun.store.database import Database
from zun.work.clock import Clock, utcnow
from zun.work.context import Env, Means, WorkSettings
from zun.work.metrics import WorkMetrics
from zun.work.placement import Placement
from zun.work.runner import Checkpoint, Claimant, RunnerSettings
from zun.work.scheduler import SchedulerSettings
from zun.work.secrets import Secrets

LOG = logging.getLogger(__name__)

#: Subnets offered at most: more networks than this no host carries.
_SUBNETS = 4096

#: Heartbeats a host may miss (decision 0019).
_MISSED = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything the layers want to know, each in its own words."""

    service: ServiceSettings = field(default_factory=ServiceSettings)
    work: WorkSettings = field(default_factory=WorkSettings)
    agent: AgentSettings = field(default_factory=AgentSettings)
    conductor: ConductorSettings = field(default_factory=ConductorSettings)
    api: ApiSettings = field(default_factory=ApiSettings)
    endpoint: EndpointSettings = field(default_factory=EndpointSettings)
    ticket_seconds: float = 30.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Drivers:
    """The drivers of this host."""

    runtime: Runtime
    images: Mapping[str, ImageSource]
    network: NetworkDriver
    volumes: VolumeDriver


@dataclass(frozen=True, slots=True, kw_only=True)
class Ground:
    """What every process stands on, whichever parts of the service it has. The database is migrated."""

    db: Database
    bus: Bus
    settings: Settings
    clock: Clock = utcnow
    checkpoint: Checkpoint = lambda name: None


@dataclass(frozen=True, slots=True, kw_only=True)
class Compute:
    """The agent of one host, and what it gives to whoever serves long-lived answers."""

    agent: Agent
    sources: HostSources
    probes: Mapping[str, Probe]


@dataclass(frozen=True, slots=True, kw_only=True)
class House:
    """All of the service in one process. `start` it, use `services`, `stop` it."""

    ground: Ground
    services: Services
    agent: Agent
    conductor: Conductor
    metrics: WorkMetrics
    sources: HostSources

    @property
    def db(self) -> Database:
        """The database of all of it."""
        return self.ground.db

    def start(self) -> None:
        """Registers the host, takes back what an older life left open, and begins to work."""
        self.agent.start()
        self.conductor.start()

    def stop(self, seconds: float) -> bool:
        """Stops taking work and waits up to `seconds` for the steps in flight; whether all ended."""
        began = time.monotonic()
        ended = self.conductor.stop(seconds)
        left = max(seconds - (time.monotonic() - began), 0.1)
        ended = self.agent.stop(left) and ended
        if ended:
            self.db.close()
        return ended


def host_id(db: Database, hostname: str) -> str:
    """The uuid of this host in the records; a new one if it has never registered."""
    with db.read() as conn:
        return hosts.uuid_of(conn, hostname) or new_uuid()


def build_compute(
    ground: Ground,
    hostname: str,
    drivers: Callable[[str], Drivers],
    *,
    secrets: Secrets,
    metrics: WorkMetrics,
) -> Compute:
    """The agent of `hostname`. `drivers` is given the host's uuid, which marks what is ours on an engine."""
    settings = ground.settings
    ident = host_id(ground.db, hostname)
    made = drivers(ident)
    means = Means(
        host=hostname, host_id=ident, runtime=made.runtime, images=made.images,
        network=made.network, volumes=made.volumes,
    )  # fmt: skip
    env = Env(
        db=ground.db, clock=ground.clock, settings=settings.work, means=means, secrets=secrets
    )
    endpoint = Endpoint(means, ground.db, ground.clock, settings.endpoint, metrics.registry)
    agent = Agent(
        env, ground.bus, _intents(ground), settings.agent, metrics, endpoint, ground.checkpoint
    )
    probes = {
        "compute": agent.probe,
        "engine": lambda: _probe_engine(made.runtime),
        "networks": agent.checkup.probe,
    }
    return Compute(agent=agent, sources=HostSources(means), probes=probes)


def build_conductor(ground: Ground, name: str, *, metrics: WorkMetrics) -> Conductor:
    """A conductor. No other that runs may have its `name`, which stays the same after a restart."""
    work = ground.settings.work
    placement = Placement(work.scheduler, work.down_after, metrics)
    return Conductor(
        Env(db=ground.db, clock=ground.clock, settings=work, placement=placement),
        ground.bus,
        # Milliseconds of the clock: grows from one life to the next, which is all an epoch must do.
        Claimant(name=f"conductor:{name}", epoch=int(ground.clock().timestamp() * 1000)),
        ground.settings.conductor,
        metrics,
        ground.checkpoint,
        intents=_intents(ground),
    )


def build_api(
    ground: Ground,
    *,
    secrets: Secrets,
    probes: Mapping[str, Probe],
    tls: ssl.SSLContext | None = None,
) -> Services:
    """The use cases that an API serves. `probes`: what its health report asks beside the database.

    `tls`: for its connections to agents.
    """
    db, bus, clock, settings = ground.db, ground.bus, ground.clock, ground.settings
    intents = _intents(ground)
    questions = Questions(db, bus, settings.service, clock)
    archives = Archives(AgentStreams(db, clock, tls), questions, settings.service)
    return Services(
        containers=Containers(db, bus, intents, settings.service, clock),
        capsules=Capsules(db, intents, settings.service, clock),
        inside=Inside(questions, archives),
        sessions=Sessions(db, bus, settings.service, clock),
        networks=Networks(db, intents, settings.service, clock),
        images=Images(db, bus, intents, settings.service, clock),
        hosts=Hosts(db, clock, settings.service),
        quotas=Quotas(db, settings.service.quota),
        registries=Registries(db, secrets, clock),
        health=Health({"database": lambda: probe_database(db), **probes}),
        later=Later(db, clock, settings.ticket_seconds),
    )


def _intents(ground: Ground) -> Intents:
    seconds = ground.settings.service.operation_seconds
    return Intents(ground.db, ground.bus, ground.clock, seconds, ground.checkpoint)


def build(
    db: Database,
    hostname: str,
    drivers: Callable[[str], Drivers],
    settings: Settings,
    *,
    secrets: Secrets,
    clock: Clock = utcnow,
    bus: Bus | None = None,
    registry: CollectorRegistry | None = None,
    checkpoint: Checkpoint = lambda name: None,
    tls: ssl.SSLContext | None = None,
) -> House:
    """The house on a migrated database: all parts, on one ground."""
    ground = Ground(
        db=db, bus=bus or LocalBus(), settings=settings, clock=clock, checkpoint=checkpoint
    )
    metrics = WorkMetrics(registry or CollectorRegistry())
    compute = build_compute(ground, hostname, drivers, secrets=secrets, metrics=metrics)
    conductor = build_conductor(ground, hostname, metrics=metrics)
    probes = {"conductor": conductor.probe, **compute.probes}
    return House(
        ground=ground, services=build_api(ground, secrets=secrets, probes=probes, tls=tls),
        agent=compute.agent, conductor=conductor, metrics=metrics, sources=compute.sources,
    )  # fmt: skip


def probe_database(db: Database) -> str:
    """For a health report: raises where the database can't be read or its schema is not ours."""
    with db.read() as conn:
        conn.execute(sa.text("SELECT 1"))
    if wrong := migrate.missing(db):
        raise RuntimeError(f"{wrong}: run zun-db-manage upgrade")
    return f"schema {migrate.current(db)}"


def _probe_engine(runtime: Runtime) -> str:
    runtime.ping()
    return "answers"


def subnets(pool: str, prefix: int) -> Sequence[str]:
    """The subnets of a pool, in order, as CIDR."""
    parts = ipaddress.IPv4Network(pool).subnets(new_prefix=prefix)
    return [str(subnet) for subnet in islice(parts, _SUBNETS)]


def settings_of(conf: cfg.ConfigOpts) -> Settings:
    """The configuration as values."""
    down_after = timedelta(seconds=conf.service_down_time)
    in_flight = conf.compute.max_in_flight or 2 * (os.cpu_count() or 1)
    runner = RunnerSettings(workers=in_flight, poll=conf.compute.poll_interval)
    return Settings(
        service=_service_settings(conf, down_after),
        work=WorkSettings(
            down_after=down_after,
            pids_limit=conf.compute.pids_limit or None,
            no_new_privileges=conf.compute.no_new_privileges,
            cpu_shares=conf.compute.cpu_mode == "shares",
            default_pull_policy=conf.compute.default_image_pull_policy,
            default_runtime=conf.container_runtime,
            default_disk=conf.default_disk,
            subnet_pool=_subnet_pool(conf),
            scheduler=_scheduler_settings(conf),
            floating_cpus=sorted(_floating(conf)) if conf.compute.enable_cpu_pinning else None,
            sandbox_image=conf.sandbox_image,
            init_seconds=conf.compute.init_container_timeout,
        ),
        agent=_agent_settings(conf, runner),
        conductor=ConductorSettings(
            runner=replace(runner, workers=conf.conductor.max_in_flight),
            watch=WatchSettings(
                round=conf.conductor.host_watch_interval,
                recreate_after=conf.conductor.recreate_after or None,
            ),
        ),
        api=_api_settings(conf),
        endpoint=EndpointSettings(
            host=conf.agent_streams.host_ip,
            port=conf.agent_streams.port,
            advertised=conf.agent_streams.advertised_host,
            tls=agent_context(conf),
            max_sessions=conf.agent_streams.max_sessions,
        ),
        ticket_seconds=conf.streams.ticket_seconds,
    )


def _scheduler_settings(conf: cfg.ConfigOpts) -> SchedulerSettings:
    scheduler = conf.scheduler
    return SchedulerSettings(
        filters=tuple(scheduler.enabled_filters),
        spread=scheduler.placement_strategy == "spread",
        image_weight=scheduler.image_weight_multiplier,
        io_weight=scheduler.io_ops_weight_multiplier,
        soft_affinity_weight=scheduler.soft_affinity_weight_multiplier,
        sample=scheduler.host_sample,
        most_places=scheduler.max_attempts,
    )


def _floating(conf: cfg.ConfigOpts) -> frozenset[int]:
    """The CPUs of all containers without CPUs of their own, where there are such."""
    return cpus_of(conf.floating_cpu_set) or frozenset({0})


def _subnet_pool(conf: cfg.ConfigOpts) -> Sequence[str]:
    return subnets(str(conf.docker_network.subnet_pool), conf.docker_network.subnet_prefix)


def _service_settings(conf: cfg.ConfigOpts, down_after: timedelta) -> ServiceSettings:
    return ServiceSettings(
        default_cpu=conf.default_cpu,
        default_memory=conf.default_memory,
        default_disk=conf.default_disk,
        default_image_driver=conf.default_image_driver,
        image_drivers=tuple(conf.image_driver_list),
        unique_names=conf.compute.unique_container_name_scope,
        operation_seconds=conf.compute.operation_deadline,
        ask_seconds=conf.docker.default_timeout,
        execute_seconds=conf.docker.execute_timeout,
        execute_bytes=conf.docker.execute_output_limit,
        log_bytes=conf.docker.log_limit,
        down_after=down_after,
        default_schedule_zone=conf.default_schedule_zone,
        recreate_projects=tuple(conf.conductor.recreate_projects),
        quota=QuotaSettings(
            containers=conf.quota.containers,
            cpu=conf.quota.cpu,
            memory=conf.quota.memory,
            disk=conf.quota.disk,
            enforced=conf.quota.driver != "NoopQuotaDriver",
        ),
        archive_bytes=conf.api.max_archive_size,
        subnet_pool=_subnet_pool(conf),
        token_seconds=conf.websocket_proxy.token_seconds,
        session_limit=conf.websocket_proxy.session_limit or None,
        idle_limit=conf.websocket_proxy.idle_limit or None,
        push_registries=tuple(conf.docker.push_registries),
        init_seconds=conf.compute.init_container_timeout,
    )


def _agent_settings(conf: cfg.ConfigOpts, runner: RunnerSettings) -> AgentSettings:
    compute = conf.compute
    return AgentSettings(
        availability_zone=conf.default_availability_zone,
        heartbeat=compute.heartbeat_interval,
        lease=min(_MISSED * compute.heartbeat_interval, conf.service_down_time),
        fence_after=compute.fence_after or None,
        pinning=compute.enable_cpu_pinning,
        floating_cpus=_floating(conf),
        cpu_ratio=compute.cpu_allocation_ratio,
        memory_ratio=compute.ram_allocation_ratio,
        disk_ratio=compute.disk_allocation_ratio,
        reserved_cpus=compute.reserved_host_cpus,
        reserved_memory=compute.reserved_host_memory_mb,
        image_share=compute.reserve_disk_for_image,
        reserved_disk=-(-compute.reserved_host_disk_mb // 1024),
        runner=runner,
        observer=ObserverSettings(listing_interval=conf.sync_container_state_interval),
        reaper=ReaperSettings(grace=compute.leftover_grace, dry_run=compute.leftover_dry_run),
    )


def _api_settings(conf: cfg.ConfigOpts) -> ApiSettings:
    return ApiSettings(
        image_drivers=tuple(conf.image_driver_list),
        max_limit=conf.api.max_limit,
        max_body=conf.api.max_request_body_size,
        max_archive=conf.api.max_archive_size,
        minimum_cpus=conf.minimum_cpus,
        maximum_cpus=conf.maximum_cpus,
        minimum_memory=conf.minimum_memory,
        maximum_memory=conf.maximum_memory,
        minimum_disk=conf.minimum_disk,
        maximum_disk=conf.maximum_disk,
        default_availability_zone=conf.default_availability_zone,
        max_wait=conf.streams.max_wait,
        max_execute=conf.streams.max_execute,
        streams_url=conf.streams.base_url,
        wsproxy_url=conf.websocket_proxy.base_url,
        wsproxy_port=wsproxy_port(conf),
        wsproxy_secure=bool(conf.websocket_proxy.cert),
        console_url=conf.websocket_proxy.console_base_url,
    )
