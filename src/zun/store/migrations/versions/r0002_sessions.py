"""Interactive sessions, and where each host's agent listens for byte streams.

Revision: 0002
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0002"
down_revision = "0001"

_TIME = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql")


def upgrade() -> None:
    """Adds the tables and the column."""
    op.create_table(
        "sessions",
        sa.Column("digest", sa.String(length=64), nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("container_uuid", sa.String(length=36), nullable=False),
        sa.Column("exec_id", sa.String(length=64), nullable=True),
        sa.Column("project_id", sa.String(length=255), nullable=False),
        sa.Column("user_id", sa.String(length=255), nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("tty", sa.Boolean(create_constraint=False), nullable=False),
        sa.Column("issued_at", _TIME, nullable=False),
        sa.Column("expires_at", _TIME, nullable=False),
        sa.Column("used_at", _TIME, nullable=True),
        sa.Column("session_limit", sa.Integer(), nullable=True),
        sa.Column("idle_limit", sa.Integer(), nullable=True),
        sa.PrimaryKeyConstraint("digest", name=op.f("pk_sessions")),
    )
    for column in ("container_uuid", "exec_id", "expires_at"):
        op.create_index(op.f(f"ix_sessions_{column}"), "sessions", [column])
    op.create_table(
        "bound_execs",
        sa.Column("exec_id", sa.String(length=64), nullable=False),
        sa.Column("container_uuid", sa.String(length=36), nullable=False),
        sa.Column("host", sa.String(length=255), nullable=False),
        sa.Column("created_at", _TIME, nullable=False),
        sa.Column("opened_at", _TIME, nullable=True),
        sa.PrimaryKeyConstraint("exec_id", name=op.f("pk_bound_execs")),
    )
    op.create_index(op.f("ix_bound_execs_host"), "bound_execs", ["host"])
    op.create_index(op.f("ix_bound_execs_created_at"), "bound_execs", ["created_at"])
    op.add_column("hosts", sa.Column("stream_address", sa.String(length=255), nullable=True))
