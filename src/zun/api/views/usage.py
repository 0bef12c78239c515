"""What a container uses, what a path in it is, and where it is on networks (contract 6)."""

from __future__ import annotations

from typing import Any

from zun.model.container import Container
from zun.service.queries import ArchiveStat, Usage

_MIB = 1024 * 1024


def stats(name: str, usage: Usage) -> dict[str, Any]:
    """The keys of the contract. 100 % is one CPU, kept busy."""
    share = 100 * usage.memory / usage.memory_limit if usage.memory_limit else 0.0
    return {
        "CONTAINER": name,
        "CPU %": round(100 * usage.cpu, 2),
        "MEM USAGE(MiB)": round(usage.memory / _MIB, 2),
        "MEM LIMIT(MiB)": round(usage.memory_limit / _MIB, 2),
        "MEM %": round(share, 2),
        "BLOCK I/O(B)": f"{usage.read}/{usage.written}",
        "NET I/O(B)": f"{usage.received}/{usage.sent}",
    }


def path_stat(stat: ArchiveStat) -> dict[str, Any]:
    """What a path is, in the keys of the contract."""
    return {
        "name": stat.name,
        "size": stat.size,
        "mode": stat.mode,
        "mtime": stat.mtime,
        "linkTarget": stat.link_target,
    }


def _fixed_ip(address: Any) -> dict[str, Any]:
    return {
        "subnet_id": address["subnet_id"],
        "version": address["version"],
        "ip_address": address["addr"],
    }


def by_port(row: Container) -> list[dict[str, Any]]:
    """network_list from 1.18 on: a port each."""
    return [
        {
            "net_id": network,
            "port_id": addresses[0]["port"],
            "fixed_ips": [_fixed_ip(address) for address in addresses],
        }
        for network, addresses in (row.addresses or {}).items()
        if addresses
    ]


def by_address(row: Container) -> list[dict[str, Any]]:
    """network_list up to 1.17: an address each."""
    return [
        {"net_id": network, "port_id": address["port"], **_fixed_ip(address)}
        for network, addresses in (row.addresses or {}).items()
        for address in addresses
    ]
