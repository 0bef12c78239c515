"""[database]: where the records are."""

from __future__ import annotations

from oslo_config import cfg

GROUP = cfg.OptGroup("database", help="The database of containers, hosts and operations.")

OPTS: list[cfg.Opt] = [
    cfg.StrOpt(
        "connection",
        default="sqlite:///$state_path/zun.sqlite",
        secret=True,
        help="SQLAlchemy URL of the database. SQLite is for the standalone service only; the file "
        "must be on a local disk.",
    ),
]
