"""Hosts that fail, that are drained, and what containers want of their place.

Revision: 0007
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0007"
down_revision = "0006"

_TIME = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql")
_JSON = sa.Text().with_variant(mysql.LONGTEXT(), "mysql")


def upgrade() -> None:
    """Adds columns that may be NULL or have a default, and three tables."""
    for table, columns in _columns().items():
        for column in columns:
            op.add_column(table, column)
    op.create_index(op.f("ix_services_lease_until"), "services", ["lease_until"])
    op.create_table(
        "placement_groups",
        sa.Column("project_id", sa.String(length=255), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.Column("policy", sa.String(length=24), nullable=False),
        sa.PrimaryKeyConstraint("project_id", "name", name=op.f("pk_placement_groups")),
    )
    op.create_table(
        "placement_ties",
        sa.Column("container_uuid", sa.String(length=36), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("target", sa.String(length=255), nullable=False),
        sa.Column("project_id", sa.String(length=255), nullable=False),
        sa.PrimaryKeyConstraint("container_uuid", "kind", "target", name=op.f("pk_placement_ties")),
    )
    op.create_index(op.f("ix_placement_ties_target_kind"), "placement_ties", ["target", "kind"])
    op.create_table(
        "host_images",
        sa.Column("image", sa.String(length=255), nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.PrimaryKeyConstraint("image", "host", name=op.f("pk_host_images")),
    )


def _columns() -> dict[str, list[sa.Column[Any]]]:
    return {
        "containers": [
            sa.Column("placement", _JSON, nullable=True),
            sa.Column("movable", sa.Boolean(create_constraint=False), nullable=True),
            sa.Column("lost_status", sa.String(length=20), nullable=True),
        ],
        "hosts": [
            sa.Column("mode", sa.String(length=16), nullable=True),
            sa.Column("mode_reason", sa.String(length=255), nullable=True),
            *(
                sa.Column(name, _TIME, nullable=True)
                for name in ("lost_at", "fenced_at", "removed_at")
            ),
            sa.Column("fence_after", sa.Float(), nullable=True),
            sa.Column("pinnable", _JSON, nullable=True),
            sa.Column("pinned", _JSON, nullable=True),
            sa.Column("cpus_pinned", sa.Integer(), server_default="0", nullable=False),
            sa.Column("revision", sa.BigInteger(), server_default="0", nullable=False),
        ],
        "services": [
            sa.Column("lease_until", _TIME, nullable=True),
            sa.Column("contact_at", _TIME, nullable=True),
            sa.Column("io_load", sa.Float(), nullable=True),
            sa.Column("epoch", sa.Integer(), nullable=True),
        ],
        "claims": [sa.Column("cpuset", _JSON, nullable=True)],
    }
