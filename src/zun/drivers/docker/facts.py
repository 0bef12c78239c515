"""From what the engine says of a container to `Facts`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from zun.drivers.docker.starts import why
from zun.drivers.runtime import Facts
from zun.model import names
from zun.model.lifecycle import Observed

#: Words of Podman's compatible socket beside Docker's own, which are Observed's values.
_ALSO: Mapping[str, Observed] = {
    "configured": Observed.CREATED,
    "initialized": Observed.CREATED,
    "stopping": Observed.RUNNING,
    "stopped": Observed.EXITED,
}
_FINISHED = frozenset({Observed.EXITED, Observed.DEAD})


def observed(word: str) -> Observed:
    """The state the engine's word stands for."""
    return _ALSO.get(word) or Observed(word)


def when(text: str | None) -> datetime | None:
    """A time of the engine (RFC 3339, nanoseconds) as naive UTC; its zero time is None."""
    if not text or text.startswith("0001-01-01"):
        return None
    moment = datetime.fromisoformat(text)
    return moment.astimezone(UTC).replace(tzinfo=None) if moment.tzinfo else moment


def _ports(exposed: Mapping[str, Any] | None) -> Sequence[int]:
    found: set[int] = set()
    for key in exposed or ():
        first, _, last = key.partition("/")[0].partition("-")
        if first.isdigit():
            found.update(range(int(first), int(last or first) + 1))
    return tuple(sorted(found))


def _addresses(networks: Mapping[str, Any] | None) -> Mapping[str, Sequence[str]]:
    """By the engine's network name. A stopped container has only the addresses it asked for."""
    result: dict[str, Sequence[str]] = {}
    for name, endpoint in (networks or {}).items():
        asked = endpoint.get("IPAMConfig") or {}
        both = (
            endpoint.get("IPAddress") or asked.get("IPv4Address"),
            endpoint.get("GlobalIPv6Address") or asked.get("IPv6Address"),
        )
        if any(both):
            result[name] = tuple(a for a in both if a)
    return result


def _words(value: Any) -> Sequence[str] | None:
    if value is None:
        return None
    return (value,) if isinstance(value, str) else tuple(value)


def from_inspect(uuid: str, raw: Mapping[str, Any]) -> Facts:
    """The facts of an inspect's answer."""
    state, config = raw["State"], raw["Config"]
    labels = config.get("Labels") or {}
    seen = observed(state["Status"])
    return Facts(
        uuid=uuid,
        observed=seen,
        runtime_id=raw["Id"],
        generation=labels.get(names.LABEL_GENERATION),
        movable=bool(labels.get(names.LABEL_MOVABLE)),
        exit_code=state.get("ExitCode") if seen in _FINISHED else None,
        oom_killed=bool(state.get("OOMKilled")),
        error=why(state["Error"]) if state.get("Error") else None,
        health=_health(state.get("Health")),
        started_at=when(state.get("StartedAt")),
        finished_at=when(state.get("FinishedAt")),
        hostname=config.get("Hostname") or None,
        command=_words(config.get("Cmd")),
        entrypoint=_words(config.get("Entrypoint")),
        ports=_ports(config.get("ExposedPorts")),
        addresses=_addresses(raw.get("NetworkSettings", {}).get("Networks")),
    )


def _health(health: Mapping[str, Any] | None) -> str | None:
    word = (health or {}).get("Status")
    return None if word in (None, "", "none") else str(word)


def from_list(row: Mapping[str, Any]) -> Facts:
    """The few facts of one row of a list."""
    labels = row.get("Labels") or {}
    return Facts(
        uuid=labels[names.LABEL_UUID],
        observed=observed(row["State"]),
        runtime_id=row["Id"],
        generation=labels.get(names.LABEL_GENERATION),
        movable=bool(labels.get(names.LABEL_MOVABLE)),
        addresses=_addresses(row.get("NetworkSettings", {}).get("Networks")),
    )
