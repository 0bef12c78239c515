"""What the operator chooses for the proxy."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class ProxySettings:
    """secure: clients reach us by wss (`base_url`, or our own certificate). allowed_origins: host names whose pages
    may open sessions besides our own. frame_ancestors: the sources whose pages may show the console in a frame.
    max_sessions: at the same time; max_waiting: connections that are not yet sessions. stall: seconds a client may take
    to read, before it is given up.
    """

    secure: bool = False
    allowed_origins: frozenset[str] = frozenset()
    frame_ancestors: tuple[str, ...] = ()
    max_sessions: int = 1000
    max_waiting: int = 2000
    stall: float = 300.0
