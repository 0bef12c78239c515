"""Who asks: the identity a request was authenticated as."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Caller:
    """The authenticated user of one request. `is_admin` is the verdict of rule `context_is_admin`."""

    user_id: str
    project_id: str
    roles: frozenset[str]
    request_id: str  # req-<uuid>: the header of the answer, and the key of container_actions
    is_admin: bool = False
    service_roles: frozenset[str] = frozenset()  # of the service that asks on the user's behalf
