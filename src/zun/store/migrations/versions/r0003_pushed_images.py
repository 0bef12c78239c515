"""Images made of containers say which registry they were sent to.

Revision: 0003
"""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"


def upgrade() -> None:
    """One column."""
    op.add_column("images", sa.Column("registry", sa.String(length=255), nullable=True))
