"""A private registry, as the database holds it."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Registry:
    """One row of `registries`. `password` is sealed (see `work.secrets`), never plain. Times are naive UTC."""

    id: int = 0
    uuid: str
    name: str | None
    domain: str
    username: str | None
    password: str | None = field(repr=False)
    project_id: str
    user_id: str
    created_at: datetime | None = None
    updated_at: datetime | None = None


#: Columns a user may sort a list by: never the password (defect 13.2-46).
SORT_KEYS: tuple[str, ...] = (
    "id", "uuid", "name", "domain", "username", "project_id", "user_id", "created_at", "updated_at",
)  # fmt: skip

#: Columns a list may be filtered by (contract 2.5).
FILTERS: tuple[str, ...] = ("name", "domain", "username", "project_id", "user_id")
