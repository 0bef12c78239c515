"""Sockets of our servers: bound, and listening, before the loop runs that serves them."""

from __future__ import annotations

import socket

#: Connections that may wait to be accepted.
BACKLOG = 1024


def bound(host: str, port: int) -> socket.socket:
    """A socket that listens at an IPv4 or IPv6 address. Raises OSError.

    Who comes before the loop runs waits instead of being refused.
    """
    six = ":" in host
    return socket.create_server(
        (host, port),
        family=socket.AF_INET6 if six else socket.AF_INET,
        backlog=BACKLOG,
        dualstack_ipv6=six,
    )
