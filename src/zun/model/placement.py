"""What a container wants of its place besides room: whom it must, or must not, share a host with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum


class Tie(StrEnum):
    """What ties a container's place to others' places, in the words of its hints."""

    GROUP = "group"
    SAME_HOST = "same_host"
    DIFFERENT_HOST = "different_host"


class GroupPolicy(StrEnum):
    """How the members of a group are placed; the soft ones are wishes."""

    AFFINITY = "affinity"
    ANTI_AFFINITY = "anti-affinity"
    SOFT_AFFINITY = "soft-affinity"
    SOFT_ANTI_AFFINITY = "soft-anti-affinity"


@dataclass(frozen=True, slots=True, kw_only=True)
class Ties:
    """Whom a container is tied to: a group and its policy, and containers by uuid."""

    group: str | None = None
    policy: GroupPolicy | None = None
    same_host: Sequence[str] = ()
    different_host: Sequence[str] = ()


NO_TIES = Ties()


def ties_of(hints: Mapping[str, object]) -> Ties:
    """The ties in hints that were checked when they were accepted (`service.hints`)."""
    group, policy = hints.get("group"), hints.get("group_policy")
    return Ties(
        group=None if group is None else str(group),
        policy=None if policy is None else GroupPolicy(str(policy)),
        same_host=_uuids(hints.get("same_host")),
        different_host=_uuids(hints.get("different_host")),
    )


def _uuids(value: object) -> Sequence[str]:
    if value is None:
        return ()
    return tuple(str(v) for v in value) if isinstance(value, list | tuple) else (str(value),)


@dataclass(frozen=True, slots=True, kw_only=True)
class Neighbours:
    """The hosts of those a container is tied to.

    near: it must be on one of these; None = anywhere. away: on none of these. liked, disliked: how many are where.
    """

    near: frozenset[str] | None = None
    away: frozenset[str] = frozenset()
    liked: Mapping[str, int] = field(default_factory=dict)
    disliked: Mapping[str, int] = field(default_factory=dict)


ALONE = Neighbours()
