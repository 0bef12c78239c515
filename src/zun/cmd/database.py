"""The database that the configuration names."""

from __future__ import annotations

from oslo_config import cfg

from zun.cmd.arguments import CannotServe
from zun.store.database import Database, Patience, Pool
from zun.store.errors import Unavailable


def connect(conf: cfg.ConfigOpts) -> Database:
    """The database of [database], once it answers. Raises CannotServe."""
    options = conf.database
    pool = Pool(
        size=options.max_pool_size,
        overflow=options.max_overflow,
        recycle=options.connection_recycle_time,
        timeout=options.pool_timeout,
        sync_wait=options.mysql_wsrep_sync_wait,
    )
    try:
        database = Database(
            options.connection, pool=pool, patience=Patience(tries=options.db_max_retries + 1)
        )
    except ModuleNotFoundError as exc:
        raise CannotServe(
            f"[database] connection: the driver {exc.name} is not installed; pip install 'zun-successor[mysql]' or "
            "'zun-successor[postgresql]', as the database is"
        ) from exc
    except Exception as exc:  # of many kinds; their texts may quote the password
        raise CannotServe(
            f"[database] connection is no URL that can be used ({type(exc).__name__}): it begins with sqlite://, "
            "mysql+mysqldb:// or postgresql+psycopg://, and in a password @ is %40, : is %3A, / is %2F"
        ) from exc
    try:
        # A file that can't be opened will not be there by waiting.
        database.wait(1 if database.is_sqlite else options.max_retries, options.retry_interval)
    except Unavailable as exc:
        database.close()
        raise CannotServe(
            f"the database of [database] connection does not answer: {exc}; see whether the server runs, and whether "
            "user, password and address are right"
        ) from exc
    return database
