"""[database]: where the records are."""

from __future__ import annotations

from oslo_config import cfg

GROUP = cfg.OptGroup(
    "database",
    help="The database of containers, hosts and operations. Names and meanings are those of oslo.db.",
)

OPTS: list[cfg.Opt] = [
    cfg.StrOpt(
        "connection",
        default="sqlite:///$state_path/zun.sqlite",
        secret=True,
        help="SQLAlchemy URL of the database. SQLite is for the standalone service only; the file must be on a local "
        "disk. Else mysql+mysqldb://USER:PASSWORD@HOST/zun for MariaDB, or "
        "postgresql+psycopg://USER:PASSWORD@HOST/zun for PostgreSQL.",
    ),
    cfg.IntOpt(
        "max_pool_size",
        default=20,
        min=1,
        help="Connections that a process keeps open. Each process - an API worker, a conductor, an agent - has a pool "
        "of its own; the server must allow the sum.",
    ),
    cfg.IntOpt(
        "max_overflow",
        default=20,
        min=0,
        help="Connections that a process opens beyond max_pool_size at need, and closes again.",
    ),
    cfg.FloatOpt(
        "pool_timeout",
        default=30.0,
        min=1.0,
        help="Seconds to wait for a connection when all are in use, before a request is refused with 503.",
    ),
    cfg.IntOpt(
        "connection_recycle_time",
        default=3600,
        min=-1,
        help="Seconds after which a connection is made anew; less than what the server or a firewall between allows a "
        "silent one (MariaDB: wait_timeout). -1 = never.",
    ),
    cfg.IntOpt(
        "max_retries",
        default=10,
        min=-1,
        help="How often a process that starts asks for a database that does not answer, before it gives up. -1 = for "
        "ever. One that runs waits as long as it takes.",
    ),
    cfg.FloatOpt(
        "retry_interval",
        default=10.0,
        min=0.1,
        help="Seconds between these tries.",
    ),
    cfg.IntOpt(
        "db_max_retries",
        default=20,
        min=0,
        help="How often a transaction is begun anew that the database took back for another (a deadlock, a Galera "
        "conflict), before the request is refused with 503.",
    ),
    cfg.IntOpt(
        "mysql_wsrep_sync_wait",
        min=0,
        max=15,
        help="MariaDB with Galera, behind a proxy that fails over: wsrep_sync_wait of each connection, so that all "
        "that the one before had answered is seen on the next (7: by reads and writes). Unset: as the server has it.",
    ),
]
