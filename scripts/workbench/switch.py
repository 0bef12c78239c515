"""The network of a cluster on one machine: a bridge in a namespace of its own, hosts that are namespaces, and us.

    this machine ==veth== [<tag>-switch: bridge] ==veth== [<tag>-host-1: eth0]
                                                 ==veth== [<tag>-host-2: eth0]  ...

The bridge is not in the machine's own namespace: with br_netfilter what crosses it would pass the machine's
firewall, and a container engine's drops what it does not know. So nothing of that firewall is touched.
A link that is down on the bridge's side is a cable that was pulled.
"""

from __future__ import annotations

import contextlib
import ipaddress
import json
import os
import subprocess
from pathlib import Path

from workbench.console import Trouble, run

NETNS = Path("/run/netns")
#: Where a range is looked for that nothing on this machine reaches anything by.
_CANDIDATES = [f"172.29.{third}.0/24" for third in range(0, 256, 4)]
_FIRST_HOST = 11
MOST_HOSTS = 200


class Switch:
    """The network of the cluster `tag` on `subnet`; a host is known by its name, such as host-1."""

    def __init__(self, tag: str, subnet: str) -> None:
        self.tag = tag
        self.subnet = ipaddress.IPv4Network(subnet)

    @property
    def address(self) -> str:
        """This machine's address on it."""
        return str(self.subnet[1])

    def address_of(self, number: int) -> str:
        """The address of the host `number` (from 1)."""
        return str(self.subnet[_FIRST_HOST - 1 + number])

    def netns(self, host: str) -> str:
        """The name of a host's namespace."""
        return f"{self.tag}-{host}"

    # -- making -----------------------------------------------------------------------------------

    def ensure(self) -> None:
        """Make bridge and our own link where they are missing. Raises Trouble."""
        switch = self.netns("switch")
        self._ensure_namespace(switch)
        if not _has_link("br0", switch):
            _ip("link", "add", "br0", "type", "bridge", netns=switch)
        _ip("link", "set", "br0", "up", netns=switch)
        if not _has_link(self.tag):
            self._cable(self.tag, None, "uplink")
        prefix = self.subnet.prefixlen
        _ip("address", "replace", f"{self.address}/{prefix}", "dev", self.tag)
        _ip("link", "set", self.tag, "up")

    def ensure_host(self, host: str, number: int) -> None:
        """Make the namespace and link of a host where they are missing. Raises Trouble."""
        netns = self.netns(host)
        self._ensure_namespace(netns)
        if not _has_link("eth0", netns):
            self._cable("eth0", netns, host)
        prefix = self.subnet.prefixlen
        _ip("address", "replace", f"{self.address_of(number)}/{prefix}", "dev", "eth0", netns=netns)
        _ip("link", "set", "eth0", "up", netns=netns)
        # In this namespace only: the containers' bridges are here, the machine's own setting stays what it is.
        within = ["nsenter", f"--net={NETNS / netns}", "sh", "-c"]
        run([*within, "echo 1 > /proc/sys/net/ipv4/ip_forward"], what="setting up a host")

    def _ensure_namespace(self, name: str) -> None:
        # A name whose mount is gone (the machine has been started again, say) is an empty file.
        if not _answers(name):
            with contextlib.suppress(Trouble):
                run(["ip", "netns", "delete", name], what="removing a namespace that is no more")
            run(["ip", "netns", "add", name], what="making a network namespace", way_out=_NEEDS)
        _ip("link", "set", "lo", "up", netns=name)

    def _cable(self, here: str, netns: str | None, port: str) -> None:
        """A veth from `here` (in `netns`, or this machine's own) to the bridge."""
        switch = self.netns("switch")
        if _has_link(port, switch):
            _ip("link", "delete", port, netns=switch)
        # A process stands for the namespace it is in: this one for this machine's own.
        there = ["name", here, "netns", netns or str(os.getpid())]
        _ip("link", "add", port, "type", "veth", "peer", *there, netns=switch)
        _ip("link", "set", port, "master", "br0", "up", netns=switch)

    # -- cables -----------------------------------------------------------------------------------

    def cut(self, host: str) -> None:
        """Pull the cable of a host: nothing reaches it, and it reaches nothing."""
        _ip("link", "set", host, "down", netns=self.netns("switch"))

    def heal(self, host: str) -> None:
        """Plug it in again."""
        _ip("link", "set", host, "up", netns=self.netns("switch"))

    def is_cut(self, host: str) -> bool:
        """Whether its cable is pulled."""
        shown = _ip_json("link", "show", host, netns=self.netns("switch"))
        return bool(shown) and "UP" not in shown[0]["flags"]

    # -- removing ---------------------------------------------------------------------------------

    def namespaces(self) -> list[str]:
        """All namespaces of this cluster, the bridge's among them."""
        if not NETNS.is_dir():
            return []
        return sorted(e.name for e in NETNS.iterdir() if e.name.startswith(f"{self.tag}-"))

    def links(self) -> list[str]:
        """Our own end of its cables, where there is one."""
        return [self.tag] if _has_link(self.tag) else []

    def remove(self) -> int:
        """Remove all of it; how many namespaces there were. Their processes must have ended."""
        if _has_link(self.tag):
            _ip("link", "delete", self.tag)
        names = self.namespaces()
        for name in names:
            run(["ip", "netns", "delete", name], what="removing a network namespace")
        return len(names)


_NEEDS = "this needs root, iproute2, and a kernel with network namespaces, veth and bridges"


def free_subnet() -> str:
    """A range of addresses that this machine reaches nothing by. Raises Trouble."""
    routes = _ip_json("route", "show", "table", "all")
    taken = [
        ipaddress.IPv4Network(route["dst"], strict=False)
        for route in routes
        if _is_range(route.get("dst", "default"))
    ]
    for candidate in _CANDIDATES:
        if not any(ipaddress.IPv4Network(candidate).overlaps(each) for each in taken):
            return candidate
    raise Trouble(
        "every range in 172.29.0.0/16 is taken on this machine", "name one: --subnet 10.99.0.0/24"
    )


def _is_range(text: str) -> bool:
    try:
        return ipaddress.IPv4Network(text, strict=False).prefixlen > 0
    except ValueError:
        return False  # "default", or not IPv4


def _ip(*words: str, netns: str | None = None) -> str:
    within = ["-n", netns] if netns else []
    return run(["ip", *within, *words], what="setting up the network", way_out=_NEEDS)


def _ip_json(*words: str, netns: str | None = None) -> list[dict[str, object]]:
    within = ["-n", netns] if netns else []
    said = run(["ip", *within, "-j", *words], what="looking at the network", way_out=_NEEDS)
    return list(json.loads(said or "[]"))


def _has_link(name: str, netns: str | None = None) -> bool:
    within = ["-n", netns] if netns else []
    asked = ["ip", *within, "link", "show", "dev", name]
    return subprocess.run(asked, capture_output=True, check=False).returncode == 0


def _answers(netns: str) -> bool:
    asked = ["ip", "-n", netns, "link", "show", "dev", "lo"]
    return subprocess.run(asked, capture_output=True, check=False).returncode == 0
