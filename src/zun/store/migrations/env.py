"""Run by Alembic: applies revisions on the engine it was handed (see `zun.store.migrate`)."""

from __future__ import annotations

from alembic import context

from zun.store.schema import metadata

engine = context.config.attributes["engine"]
with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=metadata, render_as_batch=True)
    with context.begin_transaction():
        context.run_migrations()
    if engine.dialect.name != "sqlite":
        connection.commit()
