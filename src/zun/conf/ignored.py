"""Options of upstream Zun that this release does not read, and why: each is a warning at the start, never a failure."""

from __future__ import annotations

from collections.abc import Mapping

_ENGINE = "the engine is spoken to on its local socket alone"
_PASTE = "there is no paste pipeline; what stood in it is built in"
_MIGRATION = "the schema is the migrations' business"
_NEGOTIATED = "the version is negotiated with the engine"
_CNI = "there is no CNI daemon"
_PLACEMENT = "this release does not use Placement"
_CLIENT = "this release does not use that service"
_NEUTRON = "networks are the engine's in this release"
_CINDER = "volumes are local in this release"
_THREADS = "no process waits by polling in steps of this length"

#: Section -> option -> reason. The option `*` stands for all of the section that have no line of their own.
IGNORED: Mapping[str, Mapping[str, str]] = {
    "DEFAULT": {
        "my_ip": "addresses are said where they are used: [api] host_ip, [metrics] host_ip and their like",
        "my_block_storage_ip": _CINDER,
        "container_driver": "there is one: the engine named by [docker] api_url",
        "capsule_driver": "capsules run on the same engine as containers",
        "sandbox_image": "a sandbox needs no image of a registry",
        "sandbox_image_driver": "a sandbox needs no image of a registry",
        "sandbox_image_pull_policy": "a sandbox needs no image of a registry",
        "default_memory_swap": "a container's memory limit is its limit of swap, too",
        "default_timeout": "operations have one deadline: [compute] operation_deadline",
        "default_sleep_time": _THREADS,
        "periodic_interval_max": _THREADS,
        "rootwrap_config": "nothing is run through rootwrap",
        "mysql_engine": _MIGRATION,
        "pybasedir": "nothing is looked for beside the code",
        "bindir": "nothing is looked for beside the code",
    },
    "api": {
        "workers": "zun-api is one process; start as many as are wanted, or use a WSGI server",
        "enable_ssl_api": "TLS ends in the proxy or WSGI server before the API",
        "api_paste_config": _PASTE,
        "enable_image_validation": "an image that can't be had shows in the container's status_reason",
    },
    "compute": {
        "topic": "the name of the message queue is no business of the operator's",
        "resume_container_state": "containers run again as their restart policy says",
        "remount_container_volume": _CINDER,
        "host_shared_with_nova": _PLACEMENT,
        "initial_cpu_allocation_ratio": "set cpu_allocation_ratio",
        "initial_ram_allocation_ratio": "set ram_allocation_ratio",
        "initial_disk_allocation_ratio": "set disk_allocation_ratio",
        "resource_provider_association_refresh": _PLACEMENT,
    },
    "docker": {
        "docker_remote_api_version": _NEGOTIATED,
        "docker_remote_api_host": _ENGINE,
        "docker_remote_api_port": _ENGINE,
        "docker_remote_api_url": _ENGINE,
        "docker_data_root": "the engine is asked",
        "api_insecure": _ENGINE,
        "ca_file": _ENGINE,
        "cert_file": _ENGINE,
        "key_file": _ENGINE,
        "default_registry": "a name without a domain is what the engine takes it for",
        "default_registry_username": "passwords of registries are kept by the registries API",
        "default_registry_password": "passwords of registries are kept by the registries API",
    },
    "network": {"*": _NEUTRON},
    "neutron": {"*": _NEUTRON},
    "cni_daemon": {"*": _CNI},
    "volume": {"*": _CINDER},
    "glance": {"*": "images come through the engine in this release"},
    "pci": {"*": "devices are not passed through in this release"},
    "scheduler": {"*": "there is one scheduler, and its filters are built in"},
    "websocket_proxy": {"*": "interactive sessions are not served in this release"},
    "cinder_client": {"*": _CLIENT},
    "glance_client": {"*": _CLIENT},
    "neutron_client": {"*": _CLIENT},
    "placement_client": {"*": _PLACEMENT},
    "zun_client": {"*": "the service does not call itself"},
    "profiler": {"*": "osprofiler is not used; figures are at /metrics"},
    "privsep": {"*": "nothing is run through privsep"},
    "privsep_osbrick": {"*": _CINDER},
    "oslo_concurrency": {"lock_path": "lock files are in state_path"},
    "database": {"backend": "there is one", "sqlite_db": "say it in connection"},
    "keystone_auth": {
        "*": "read by `zun-status upgrade check` alone: this release calls no other service"
    },
}

#: Sections that libraries read; which options they have is theirs to know.
LIBRARIES = frozenset({
    "keystone_authtoken", "cors", "oslo_middleware", "cache", "oslo_messaging_rabbit",
    "oslo_messaging_notifications", "oslo_messaging_metrics", "oslo_messaging_tracing",
})  # fmt: skip
#: Options of [DEFAULT] that oslo.messaging reads.
MESSAGING = frozenset({
    "transport_url", "rpc_response_timeout", "control_exchange", "executor_thread_pool_size",
    "rpc_conn_pool_size", "conn_pool_min_size", "conn_pool_ttl", "rpc_ping_enabled",
    "rpc_poll_timeout",
})  # fmt: skip


def why(section: str, option: str) -> str | None:
    """Why upstream's option is not read; None where it is none of those."""
    known = {name.lower(): options for name, options in IGNORED.items()}.get(section.lower(), {})
    return known.get(option, known.get("*"))
