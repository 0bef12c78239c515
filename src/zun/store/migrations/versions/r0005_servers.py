"""What a database server needs that one file with one writer does not.

Revision: 0005
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects import mysql

revision = "0005"
down_revision = "0004"

_ROUNDED = {
    "hosts": ("cpus", "cpu_used"),
    "claims": ("cpu",),
}


def upgrade() -> None:
    """Rows to hold while something is decided that no unique key can decide; CPUs that MariaDB does not round."""
    op.create_table(
        "locks",
        sa.Column("name", sa.String(length=255), nullable=False),
        sa.PrimaryKeyConstraint("name", name=op.f("pk_locks")),
    )
    if op.get_bind().dialect.name not in ("mysql", "mariadb"):
        return  # FLOAT is of double precision there
    for table, columns in _ROUNDED.items():
        for column in columns:
            op.alter_column(table, column, type_=mysql.DOUBLE(), existing_nullable=False)
