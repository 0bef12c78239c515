"""Interactive sessions and byte streams: what somebody may open, and how it ended.

Two kinds of secret lead to one. A *token* is in a user's URL, and zun-wsproxy redeems it. A *ticket* is for the agent
of one host: whoever may write the database makes one right before connecting. Of both only digests are stored.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Any


class StreamKind(StrEnum):
    """What a byte stream of an agent carries."""

    ATTACH = "attach"  # the container's main process
    EXEC = "exec"  # a command made before, through the API
    RUN = "run"  # a command without a terminal, made for this stream
    LOGS = "logs"
    GET_ARCHIVE = "get_archive"
    PUT_ARCHIVE = "put_archive"


class Why(StrEnum):
    """Why a stream ended; crosses the wire, and counts in the metrics."""

    EXITED = "exited"  # the process ended; of logs and archives: all is told
    STOPPED = "stopped"  # the container ended
    REMOVED = "removed"  # the container is gone
    ENGINE = "engine"  # the container engine broke off
    IDLE = "idle"
    LIMIT = "limit"  # the longest a session may take
    KILLED = "killed"  # a command's time was over
    ERROR = "error"
    SHUTDOWN = "shutdown"  # the service stops


class Denied(StrEnum):
    """Why a token does not open a session."""

    UNKNOWN = "unknown"
    OTHER_CONTAINER = "other container"
    OTHER_EXEC = "other exec"
    EXPIRED = "expired"
    USED = "used"
    NOT_RUNNING = "not running"


@dataclass(frozen=True, slots=True, kw_only=True)
class Session:
    """What one token is good for, once. Limits in seconds, None = no limit; times are naive UTC."""

    kind: StreamKind  # ATTACH or EXEC
    container_uuid: str
    exec_id: str | None
    project_id: str
    user_id: str
    host: str  # its hostname
    tty: bool
    issued_at: datetime
    expires_at: datetime  # unused until then, it is void
    used_at: datetime | None = None
    session_limit: int | None = None
    idle_limit: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamRequest:
    """What is asked of an agent; the content of its ticket. Limits in seconds, None = no limit.

    arguments, by kind: exec: `exec_id`. run: `command` (words), `stdin` (bool), `timeout` (seconds or None),
        `kill_on_close` (bool). logs: `stdout`, `stderr`, `timestamps`, `tail`, `since` (see `drivers.runtime`).
        get_archive, put_archive: `path`.
    """

    kind: StreamKind
    container_uuid: str
    arguments: Mapping[str, Any] = field(default_factory=dict)
    session_limit: int | None = None
    idle_limit: int | None = None

    def content(self) -> dict[str, Any]:
        """As JSON-like value."""
        return {
            "kind": str(self.kind),
            "uuid": self.container_uuid,
            "arguments": dict(self.arguments),
            "session_limit": self.session_limit,
            "idle_limit": self.idle_limit,
        }

    @classmethod
    def of(cls, content: Mapping[str, Any]) -> StreamRequest:
        """From what `content` gave. Raises KeyError, ValueError: it is of another version of the service."""
        return cls(
            kind=StreamKind(content["kind"]),
            container_uuid=content["uuid"],
            arguments=content["arguments"],
            session_limit=content["session_limit"],
            idle_limit=content["idle_limit"],
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamPlace:
    """Where a host's agent listens for byte streams."""

    host_uuid: str
    address: str  # "host:port"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentTicket:
    """A way into an agent's stream endpoint, once, for seconds. `proof` is what only the real agent can answer."""

    ticket: str = field(repr=False)
    proof: str = field(repr=False)


def agent_path(host_uuid: str) -> str:
    """What a ticket for the agent of a host is issued for."""
    return f"agent/{host_uuid}"


def digest_of(secret: str) -> str:
    """What the database has of a token or ticket."""
    return hashlib.sha256(secret.encode("utf-8", "surrogatepass")).hexdigest()
