"""Scheduler hints: what they mean, checked when the container is accepted.

`group` and `group_policy`, `same_host`, `different_host`: whom it shares a host with, or not. `label:<key>`,
`architecture`: what its host must be. `on_host_failure`: `recreate` or `wait`. Any other is ignored, as upstream does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.engine import Connection

from zun.model.container import STARTED_AGAIN, Draft
from zun.model.names import uuid_or_none
from zun.model.placement import NO_TIES, GroupPolicy, Ties
from zun.service.caller import Caller
from zun.service.errors import Invalid
from zun.service.settings import ServiceSettings
from zun.store import containers, ties

_MOST_NAMED = 32  # containers in one hint
_NAME_LIMIT = 255
_RECREATE, _WAIT = "recreate", "wait"


def check(conn: Connection, caller: Caller, uuid: str, draft: Draft) -> None:
    """Records whom a new container is tied to. Raises Invalid, naming the hint."""
    _check_words(draft.hints)
    wanted = _ties(conn, caller, draft.hints)
    if wanted == NO_TIES:
        return
    policy = ties.insert(conn, uuid, caller.project_id, wanted)
    if policy is not wanted.policy:
        raise Invalid(
            f"hints.group_policy: the group {wanted.group!r} has the policy {policy!r}; name another group, "
            "or the same policy."
        )


def _check_words(hints: Mapping[str, Any]) -> None:
    for key, value in hints.items():
        if key == "architecture" and not isinstance(value, str):
            raise Invalid("hints.architecture: must be a string, such as 'x86_64'.")
        if key.startswith("label:") and not isinstance(value, str | int | float):
            raise Invalid(f"hints.{key[:64]}: must be a string.")


def _ties(conn: Connection, caller: Caller, hints: Mapping[str, Any]) -> Ties:
    group, policy = hints.get("group"), hints.get("group_policy")
    if (group is None) is not (policy is None):
        raise Invalid("hints: 'group' and 'group_policy' go together.")
    if group is not None:
        if not isinstance(group, str) or not 1 <= len(group) <= _NAME_LIMIT:
            raise Invalid(f"hints.group: must be a name of 1 to {_NAME_LIMIT} characters.")
        if policy not in list(GroupPolicy):
            raise Invalid(f"hints.group_policy: must be one of {', '.join(GroupPolicy)}.")
    return Ties(
        group=group,
        policy=None if policy is None else GroupPolicy(policy),
        same_host=_named(conn, caller, hints, "same_host"),
        different_host=_named(conn, caller, hints, "different_host"),
    )


def _named(conn: Connection, caller: Caller, hints: Mapping[str, Any], hint: str) -> Sequence[str]:
    value = hints.get(hint)
    if value is None:
        return ()
    words = value if isinstance(value, list) else [value]
    if len(words) > _MOST_NAMED:
        raise Invalid(f"hints.{hint}: names more than {_MOST_NAMED} containers.")
    uuids = [uuid_or_none(word) if isinstance(word, str) else None for word in words]
    if None in uuids:
        raise Invalid(f"hints.{hint}: must be the uuid of a container, or a list of such.")
    found = dict.fromkeys(uuid for uuid in uuids if uuid is not None)
    for uuid in found:
        row = containers.get(conn, uuid)
        if row is None or row.project_id != caller.project_id:
            raise Invalid(f"hints.{hint}: there is no container {uuid} in your project.")
    return tuple(found)


def movable(draft: Draft, project_id: str, settings: ServiceSettings) -> bool:
    """Whether a container may be made anew on another host when its own fails, or is drained. Raises Invalid.

    It is made of its image again: what it has written is lost, and so would be the files that were injected.
    """
    wish = draft.hints.get("on_host_failure")
    if wish not in (None, _RECREATE, _WAIT):
        raise Invalid(f"hints.on_host_failure: must be '{_RECREATE}' or '{_WAIT}'.")
    lasting = (draft.restart_policy or {}).get("Name") in STARTED_AGAIN
    able = lasting and not draft.mounts and not draft.auto_remove and draft.host is None
    if wish is None:
        wanted = "*" in settings.recreate_projects or project_id in settings.recreate_projects
        return wanted and able
    if wish == _RECREATE and not able:
        raise Invalid(
            "hints.on_host_failure: 'recreate' needs the restart_policy 'always' or 'unless-stopped', and is not for "
            "containers with mounts, with auto_remove, or on a requested host."
        )
    return bool(wish == _RECREATE)
