"""An index for every filter of the list of containers, within a project and over all.

Revision: 0008
"""

from __future__ import annotations

from alembic import op

revision = "0008"
down_revision = "0007"

_FILTERS = ("image", "user_id", "memory", "auto_remove")
_OF_A_PROJECT = (*_FILTERS, "status", "host", "created_at")


def upgrade() -> None:
    """Indexes alone."""
    for column in (*_FILTERS, "created_at"):
        op.create_index(f"ix_containers_{column}_id", "containers", [column, "id"])
    for column in _OF_A_PROJECT:
        name = f"ix_containers_project_id_{column}_id"
        op.create_index(name, "containers", ["project_id", column, "id"])
