"""An index for every order of every list, within a project and over all.

Revision: 0010
"""

from __future__ import annotations

from collections.abc import Iterator

from alembic import op

revision = "0010"
down_revision = "0009"

#: Those that the lists of all may be ordered by, too.
_OF_ALL = {
    "containers": (
        "name", "cpu", "disk", "hostname", "runtime", "image_driver", "updated_at", "started_at",
    ),
    "capsules": ("name", "user_id", "status", "cpu", "memory", "created_at", "updated_at"),
    "registries": ("name", "domain", "username", "user_id", "created_at", "updated_at"),
}  # fmt: skip
_OF_A_PROJECT = {
    **_OF_ALL,
    "capsules": (*_OF_ALL["capsules"], "host"),
    "images": ("repo", "tag", "host", "image_id", "size", "created_at", "updated_at"),
}
#: What a wider one does as well. PostgreSQL would sort all rows of an equal value by their ids.
_NARROW = {
    "containers": (("name",), ("project_id", "name")),
    "capsules": (("name",), ("project_id", "name")),
    "registries": (("name",), ("project_id", "name"), ("domain",), ("username",), ("user_id",)),
}


def _wanted() -> Iterator[tuple[str, tuple[str, ...]]]:
    for table, columns in _OF_ALL.items():
        yield from ((table, (column, "id")) for column in columns)
    for table, columns in _OF_A_PROJECT.items():
        yield from ((table, ("project_id", column, "id")) for column in columns)
        yield table, ("project_id", "uuid")


def upgrade() -> None:
    """Indexes alone."""
    for table, columns in _wanted():
        op.create_index(op.f(f"ix_{table}_{'_'.join(columns)}"), table, list(columns))
    for table, narrow in _NARROW.items():
        for columns in narrow:
            op.drop_index(op.f(f"ix_{table}_{'_'.join(columns)}"), table)
