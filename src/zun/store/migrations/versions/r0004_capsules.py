"""Capsules, and which containers are members of one.

Revision: 0004
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0004"
down_revision = "0003"

_STATUSES = (
    "'Creating', 'Created', 'Running', 'Stopped', 'Paused', 'Error', 'Unknown', 'Deleted', 'Deleting', "
    "'Rebuilding', 'Dead', 'Restarting'"
)


def upgrade() -> None:
    """One table, and three columns that older code leaves as they are."""
    time = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql")
    json = sa.Text().with_variant(mysql.LONGTEXT(), "mysql")
    op.create_table(
        "capsules",
        sa.Column(
            "id",
            sa.BigInteger().with_variant(sa.Integer(), "sqlite"),
            autoincrement=True,
            nullable=False,
        ),
        sa.Column("uuid", sa.String(length=36), nullable=False),
        sa.Column("name", sa.String(length=255), nullable=True),
        sa.Column("project_id", sa.String(length=255), nullable=False),
        sa.Column("user_id", sa.String(length=255), nullable=False),
        sa.Column("status", sa.String(length=20), nullable=False),
        sa.Column("status_reason", sa.Text(), nullable=True),
        sa.Column("labels", json, nullable=False),
        sa.Column("annotations", json, nullable=False),
        sa.Column("restart_policy", json, nullable=False),
        sa.Column("cpu", sa.Double(), nullable=False),
        sa.Column("memory", sa.Integer(), nullable=False),
        sa.Column("disk", sa.Integer(), nullable=False),
        sa.Column("addresses", json, nullable=True),
        sa.Column("availability_zone", sa.String(length=255), nullable=True),
        sa.Column("host", sa.String(length=255), nullable=True),
        sa.Column("sandbox_id", sa.String(length=255), nullable=True),
        sa.Column("created_at", time, nullable=False),
        sa.Column("updated_at", time, nullable=True),
        sa.CheckConstraint(f"status IN ({_STATUSES})", name=op.f("ck_capsules_status")),
        sa.PrimaryKeyConstraint("id", name=op.f("pk_capsules")),
        sa.UniqueConstraint("uuid", name=op.f("uq_capsules_uuid")),
    )
    for columns in (["project_id", "id"], ["project_id", "name"], ["name"], ["host", "id"]):
        op.create_index(op.f(f"ix_capsules_{'_'.join(columns)}"), "capsules", columns)
    op.add_column("containers", sa.Column("capsule_uuid", sa.String(length=36), nullable=True))
    op.add_column("containers", sa.Column("capsule_order", sa.Integer(), nullable=True))
    op.add_column(
        "containers",
        sa.Column("init", sa.Boolean(), nullable=False, server_default=sa.false()),
    )
    op.create_index(op.f("ix_containers_capsule_uuid"), "containers", ["capsule_uuid"])
