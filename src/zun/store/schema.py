"""The tables. Portable over SQLite, MariaDB and PostgreSQL; every query has its index here.

JSON columns are text in orjson's spelling: lists hand them to the API without taking them apart.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson
import sqlalchemy as sa
from sqlalchemy.dialects import mysql

from zun.model.lifecycle import Status
from zun.model.operation import OperationState

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "pk": "pk_%(table_name)s",
    }
)

_BIG = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
#: Of double precision everywhere, as MariaDB's FLOAT alone is not; SQLite's first revision called it so.
_CPU: sa.types.TypeEngine[float] = sa.Double().with_variant(sa.Float(), "sqlite")
_TIME = sa.DateTime().with_variant(mysql.DATETIME(fsp=6), "mysql")


class Json(sa.types.TypeDecorator[Any]):
    """A value as JSON text; SQL NULL is None."""

    impl = sa.Text
    cache_ok = True

    def load_dialect_impl(self, dialect: sa.Dialect) -> sa.types.TypeEngine[Any]:
        """LONGTEXT where TEXT ends at 64 KiB."""
        return mysql.LONGTEXT() if dialect.name == "mysql" else sa.Text()

    def process_bind_param(self, value: Any, dialect: sa.Dialect) -> str | None:
        """A Python value to text."""
        return None if value is None else orjson.dumps(value, default=_plain).decode()

    def process_result_value(self, value: str | None, dialect: sa.Dialect) -> Any:
        """Text to a Python value."""
        return None if value is None else orjson.loads(value)


class JsonAsIs(sa.types.TypeDecorator[Any]):
    """JSON text on its way into an answer: nobody takes it apart. Never of SQL NULL."""

    impl = sa.Text
    cache_ok = True

    def result_processor(self, dialect: sa.Dialect, coltype: object) -> Any:
        """What orjson writes out as it is."""
        return orjson.Fragment


class Words(sa.types.TypeDecorator[Any]):
    """Text on its way into a value, by a table of what it means; what is not in the table is a defect."""

    impl = sa.Text
    cache_ok = True

    def __init__(self, meaning: Mapping[Any, Any]) -> None:
        super().__init__()
        self._meaning = meaning
        self.words = tuple(meaning)  # by which statements are told apart

    def result_processor(self, dialect: sa.Dialect, coltype: object) -> Any:
        """What the word means."""
        return self._meaning.__getitem__


class TimeAsShown(sa.types.TypeDecorator[Any]):
    """A time on its way into an answer: as text, which SQLite has already."""

    impl = sa.Text
    cache_ok = True

    def result_processor(self, dialect: sa.Dialect, coltype: object) -> Any:
        """As `str` of a time: without a fraction that is nought."""
        if dialect.name != "sqlite":
            return lambda moment: None if moment is None else str(moment)
        return lambda text: text[:-7] if text is not None and text.endswith(".000000") else text


def _plain(value: Any) -> Any:
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    return dict(value)


def _in(column: str, values: list[str]) -> str:
    return f"{column} IN ({', '.join(repr(str(v)) for v in values)})"


def _lists(*columns: str, everybody: bool = True) -> list[sa.Index]:
    """For lists by each of `columns`, or in its order: of one project and, with `everybody`, of all."""
    scopes: list[tuple[str, ...]] = [("project_id",), ()] if everybody else [("project_id",)]
    return [sa.Index(None, *scope, column, "id") for column in columns for scope in scopes]


registries = sa.Table(
    "registries",
    metadata,
    sa.Column("id", _BIG, primary_key=True, autoincrement=True),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("name", sa.String(255)),
    sa.Column("domain", sa.String(255), nullable=False),
    sa.Column("username", sa.String(255)),
    sa.Column("password", sa.Text),  # sealed: zun.work.secrets
    sa.Column("project_id", sa.String(255), nullable=False),
    sa.Column("user_id", sa.String(255), nullable=False),
    sa.Column("created_at", _TIME, nullable=False),
    sa.Column("updated_at", _TIME),
    sa.Index(None, "project_id", "id"),
    sa.Index(None, "project_id", "uuid"),
    *_lists("name", "domain", "username", "user_id", "created_at", "updated_at"),
)

containers = sa.Table(
    "containers",
    metadata,
    sa.Column("id", _BIG, primary_key=True, autoincrement=True),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("project_id", sa.String(255), nullable=False),
    sa.Column("user_id", sa.String(255), nullable=False),
    sa.Column("image", sa.String(255), nullable=False),
    sa.Column("image_driver", sa.String(64), nullable=False),
    sa.Column("status", sa.String(20), nullable=False),
    sa.Column("status_reason", sa.Text),
    sa.Column("command", Json),
    sa.Column("entrypoint", Json),
    sa.Column("image_command", Json),
    sa.Column("image_entrypoint", Json),
    sa.Column("image_digest", sa.String(255)),
    # Double: MariaDB's FLOAT would round, and what a container counted must be what it gives back.
    sa.Column("cpu", sa.Double, nullable=False),
    sa.Column("cpu_policy", sa.String(16), nullable=False),
    sa.Column("memory", sa.Integer, nullable=False),
    sa.Column("disk", sa.Integer, nullable=False),
    sa.Column("environment", Json, nullable=False),
    sa.Column("labels", Json, nullable=False),
    sa.Column("workdir", sa.Text),
    sa.Column("hostname", sa.String(255)),
    sa.Column("interactive", sa.Boolean(create_constraint=False), nullable=False),
    sa.Column("tty", sa.Boolean(create_constraint=False), nullable=False),
    sa.Column("image_pull_policy", sa.String(16)),
    sa.Column("restart_policy", Json),
    sa.Column("auto_remove", sa.Boolean(create_constraint=False), nullable=False),
    sa.Column("auto_heal", sa.Boolean(create_constraint=False), nullable=False),
    sa.Column("runtime", sa.String(255)),
    sa.Column("privileged", sa.Boolean(create_constraint=False), nullable=False),
    sa.Column("security_groups", Json),
    sa.Column("exposed_ports", Json),
    sa.Column("ports", Json),
    sa.Column("addresses", Json),
    sa.Column("mounts", Json),
    sa.Column("healthcheck", Json),
    sa.Column("registry_id", sa.String(36), sa.ForeignKey("registries.uuid")),
    sa.Column("availability_zone", sa.String(255)),
    sa.Column("host", sa.String(255)),
    sa.Column("container_id", sa.String(255)),
    sa.Column("exit_code", sa.Integer),
    sa.Column("oom_killed", sa.Boolean(create_constraint=False), nullable=False),
    sa.Column("health", sa.String(16)),
    sa.Column("started_at", _TIME),
    sa.Column("finished_at", _TIME),
    sa.Column("created_at", _TIME, nullable=False),
    sa.Column("updated_at", _TIME),
    sa.Column("max_run_time", sa.Integer),
    sa.Column("capsule_uuid", sa.String(36)),
    sa.Column("capsule_order", sa.Integer),
    sa.Column(
        "init", sa.Boolean(create_constraint=False), nullable=False, server_default=sa.false()
    ),
    # What placing it anew elsewhere needs of its request.
    sa.Column("placement", Json),
    sa.Column("movable", sa.Boolean(create_constraint=False)),
    sa.Column("lost_status", sa.String(20)),  # what it was when its host fell silent
    sa.CheckConstraint(_in("status", list(Status)), name="status"),
    sa.Index(None, "registry_id"),
    sa.Index(None, "host", "max_run_time"),
    sa.Index(None, "capsule_uuid"),
    sa.Index(None, "project_id", "id"),
    sa.Index(None, "project_id", "uuid"),
    *_lists("name", "image", "user_id", "status", "memory", "host", "auto_remove"),
    *_lists("cpu", "disk", "hostname", "runtime", "image_driver"),
    *_lists("created_at", "updated_at", "started_at"),
)

# Several containers in one sandbox; `containers.capsule_uuid` says which.
capsules = sa.Table(
    "capsules",
    metadata,
    sa.Column("id", _BIG, primary_key=True, autoincrement=True),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("name", sa.String(255)),
    sa.Column("project_id", sa.String(255), nullable=False),
    sa.Column("user_id", sa.String(255), nullable=False),
    sa.Column("status", sa.String(20), nullable=False),
    sa.Column("status_reason", sa.Text),
    sa.Column("labels", Json, nullable=False),
    sa.Column("annotations", Json, nullable=False),
    sa.Column("restart_policy", Json, nullable=False),
    sa.Column("cpu", sa.Double, nullable=False),
    sa.Column("memory", sa.Integer, nullable=False),
    sa.Column("disk", sa.Integer, nullable=False),
    sa.Column("addresses", Json),
    sa.Column("availability_zone", sa.String(255)),
    sa.Column("host", sa.String(255)),
    sa.Column("sandbox_id", sa.String(255)),
    sa.Column("created_at", _TIME, nullable=False),
    sa.Column("updated_at", _TIME),
    sa.CheckConstraint(_in("status", list(Status)), name="status"),
    sa.Index(None, "project_id", "id"),
    sa.Index(None, "project_id", "uuid"),
    *_lists("name", "user_id", "status", "cpu", "memory", "host", "created_at", "updated_at"),
)

operations = sa.Table(
    "operations",
    metadata,
    sa.Column("id", _BIG, primary_key=True, autoincrement=True),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("resource", sa.String(16), nullable=False),
    sa.Column("action", sa.String(32), nullable=False),
    sa.Column("container_uuid", sa.String(36), nullable=False),  # of the resource, whatever it is
    # The container's uuid while open, NULL when closed: at most one open operation a container.
    sa.Column("open_key", sa.String(36), unique=True),
    sa.Column("project_id", sa.String(255), nullable=False),
    sa.Column("user_id", sa.String(255), nullable=False),
    sa.Column("request_id", sa.String(64), nullable=False),
    sa.Column("queue", sa.String(255), nullable=False),
    sa.Column("state", sa.String(16), nullable=False),
    sa.Column("steps", Json, nullable=False),
    sa.Column("position", sa.Integer, nullable=False),
    sa.Column("params", Json, nullable=False),
    sa.Column("outputs", Json, nullable=False),
    sa.Column("prior_status", sa.String(20)),
    sa.Column("version", sa.Integer, nullable=False),
    sa.Column("claimed_by", sa.String(255)),
    sa.Column("claimed_epoch", sa.BigInteger),
    sa.Column("claimed_until", _TIME),
    sa.Column("attempts", sa.Integer, nullable=False),
    sa.Column("not_before", _TIME),
    sa.Column("deadline", _TIME, nullable=False),
    sa.Column("cancelling", sa.Boolean(create_constraint=False), nullable=False),
    sa.Column("supersedes", sa.String(36)),
    sa.Column("begun", sa.Boolean(create_constraint=False), nullable=False),
    sa.Column("error", sa.Text),
    sa.Column("created_at", _TIME, nullable=False),
    sa.Column("finished_at", _TIME),
    sa.CheckConstraint(_in("state", list(OperationState)), name="state"),
    sa.Index(None, "queue", "state", "not_before"),
    sa.Index(None, "state", "claimed_until"),
    sa.Index(None, "container_uuid", "id"),
    sa.Index(None, "supersedes"),
    sa.Index(None, "finished_at"),
)

events = sa.Table(
    "events",
    metadata,
    sa.Column("id", _BIG, primary_key=True, autoincrement=True),
    sa.Column("operation_uuid", sa.String(36)),
    sa.Column("container_uuid", sa.String(36), nullable=False),
    sa.Column("project_id", sa.String(255), nullable=False),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("step", sa.String(64)),
    sa.Column("detail", Json),
    sa.Column("created_at", _TIME, nullable=False),
    sa.Index(None, "operation_uuid", "id"),
    sa.Index(None, "container_uuid", "id"),
    sa.Index(None, "project_id", "id"),
    sa.Index(None, "created_at"),
    sqlite_autoincrement=True,  # an id, once given, never comes again: it is a cursor
)

hosts = sa.Table(
    "hosts",
    metadata,
    sa.Column("id", _BIG, primary_key=True, autoincrement=True),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("hostname", sa.String(255), nullable=False, unique=True),
    sa.Column("inventory", Json, nullable=False),
    sa.Column("cpus", _CPU, nullable=False),  # what may be claimed: total x ratio - reserve
    sa.Column("memory", sa.Integer, nullable=False),
    sa.Column("disk", sa.Integer, nullable=False),
    sa.Column("cpu_used", _CPU, nullable=False),
    sa.Column("mem_used", sa.Integer, nullable=False),
    sa.Column("disk_used", sa.Integer, nullable=False),
    sa.Column("total_containers", sa.Integer, nullable=False),
    sa.Column("enable_cpu_pinning", sa.Boolean(create_constraint=False), nullable=False),
    sa.Column("limits_disk", sa.Boolean(create_constraint=False), nullable=False),
    sa.Column("epoch", sa.Integer, nullable=False),
    sa.Column("created_at", _TIME, nullable=False),
    sa.Column("updated_at", _TIME),
    # "host:port" of the agent's byte streams; NULL = it serves none.
    sa.Column("stream_address", sa.String(255)),
    sa.Column("mode", sa.String(16)),  # NULL, or one of model.host.Mode
    sa.Column("mode_reason", sa.String(255)),
    sa.Column("lost_at", _TIME),  # since when it is taken for down
    sa.Column("fenced_at", _TIME),  # since when it may do nothing before it has cleaned up
    sa.Column("removed_at", _TIME),
    sa.Column("fence_after", sa.Float),  # seconds; NULL = its agent has no watchdog
    sa.Column("pinnable", Json),  # CPUs that may be given to one container each
    sa.Column("pinned", Json),  # those that are
    sa.Column("cpus_pinned", sa.Integer, nullable=False, server_default="0"),
    # Grows with every change but beats: who holds a copy sees which rows to read again.
    sa.Column("revision", sa.BigInteger, nullable=False, server_default="0"),
)

services = sa.Table(
    "services",
    metadata,
    sa.Column("id", _BIG, primary_key=True, autoincrement=True),
    sa.Column("host", sa.String(255), nullable=False),
    sa.Column("binary", sa.String(64), nullable=False),
    sa.Column("disabled", sa.Boolean(create_constraint=False), nullable=False),
    sa.Column("disabled_reason", sa.String(255)),
    sa.Column("forced_down", sa.Boolean(create_constraint=False), nullable=False),
    sa.Column("last_seen_up", _TIME),
    sa.Column("lease_until", _TIME),  # without another beat it is down from then on
    # When its agent last reached the database, whether or not its engine answered it.
    sa.Column("contact_at", _TIME),
    sa.Column("io_load", sa.Float),
    sa.Column("epoch", sa.Integer),  # of the agent that may beat; NULL = look at the host first
    sa.Column("report_count", sa.Integer, nullable=False),
    sa.Column("availability_zone", sa.String(255), nullable=False),
    sa.Column("created_at", _TIME, nullable=False),
    sa.Column("updated_at", _TIME),
    sa.UniqueConstraint("host", "binary"),
    sa.Index(None, "lease_until"),
)

claims = sa.Table(
    "claims",
    metadata,
    sa.Column("container_uuid", sa.String(36), primary_key=True),
    sa.Column("host", sa.String(255), nullable=False),
    sa.Column("cpu", _CPU, nullable=False),
    sa.Column("memory", sa.Integer, nullable=False),
    sa.Column("disk", sa.Integer, nullable=False),
    sa.Column("cpuset", Json),  # the CPUs that are its own
    sa.Index(None, "host"),
)

# One a group that containers were asked to be placed by. Whoever places a member holds its row meanwhile.
placement_groups = sa.Table(
    "placement_groups",
    metadata,
    sa.Column("project_id", sa.String(255), primary_key=True),
    sa.Column("name", sa.String(255), primary_key=True),
    sa.Column("policy", sa.String(24), nullable=False),
)

# What a container's place depends on: a group, or another container. `kind`: model.placement.Tie.
placement_ties = sa.Table(
    "placement_ties",
    metadata,
    sa.Column("container_uuid", sa.String(36), primary_key=True),
    sa.Column("kind", sa.String(16), primary_key=True),
    sa.Column("target", sa.String(255), primary_key=True),  # a group's name, or a uuid
    sa.Column("project_id", sa.String(255), nullable=False),
    sa.Index(None, "target", "kind"),
)

# Which images were fetched on which host, to prefer it: a hint, for an image may have been removed since.
host_images = sa.Table(
    "host_images",
    metadata,
    sa.Column("image", sa.String(255), primary_key=True),
    sa.Column("host", sa.String(255), primary_key=True),
)

# What a host that was given up may still have.
left_behind = sa.Table(
    "left_behind",
    metadata,
    sa.Column("host", sa.String(255), primary_key=True),
    sa.Column("uuid", sa.String(36), primary_key=True),
)

networks = sa.Table(
    "networks",
    metadata,
    sa.Column("uuid", sa.String(36), primary_key=True),
    sa.Column("project_id", sa.String(255), nullable=False),
    sa.Column("name", sa.String(255), nullable=False),
    sa.Column("subnet", sa.String(43), nullable=False, unique=True),
    sa.Column("created_at", _TIME, nullable=False),
    sa.UniqueConstraint("project_id", "name"),
)

ports = sa.Table(
    "ports",
    metadata,
    sa.Column("uuid", sa.String(36), primary_key=True),
    sa.Column("network_uuid", sa.String(36), sa.ForeignKey("networks.uuid"), nullable=False),
    sa.Column("container_uuid", sa.String(36), nullable=False),
    sa.Column("address", sa.String(45), nullable=False),
    sa.UniqueConstraint("network_uuid", "address"),
    sa.UniqueConstraint("container_uuid", "network_uuid"),
)

quotas = sa.Table(
    "quotas",
    metadata,
    sa.Column("project_id", sa.String(255), primary_key=True),
    sa.Column("resource", sa.String(16), primary_key=True),
    sa.Column("hard_limit", sa.Integer, nullable=False),
)

quota_classes = sa.Table(
    "quota_classes",
    metadata,
    sa.Column("class_name", sa.String(255), primary_key=True),
    sa.Column("resource", sa.String(16), primary_key=True),
    sa.Column("hard_limit", sa.Integer, nullable=False),
)

#: What a project's containers count: changed in the very transaction that adds, changes or removes one.
project_usage = sa.Table(
    "project_usage",
    metadata,
    sa.Column("project_id", sa.String(255), primary_key=True),
    sa.Column("containers", sa.BigInteger, nullable=False),
    sa.Column("cpu", sa.BigInteger, nullable=False),  # thousandths of a vCPU
    sa.Column("memory", sa.BigInteger, nullable=False),
    sa.Column("disk", sa.BigInteger, nullable=False),
)

images = sa.Table(
    "images",
    metadata,
    sa.Column("id", _BIG, primary_key=True, autoincrement=True),
    sa.Column("uuid", sa.String(36), nullable=False, unique=True),
    sa.Column("project_id", sa.String(255), nullable=False),
    sa.Column("user_id", sa.String(255), nullable=False),
    sa.Column("host", sa.String(255), nullable=False),
    sa.Column("repo", sa.String(255), nullable=False),
    sa.Column("tag", sa.String(144), nullable=False),  # as long as the longest digest
    sa.Column("image_id", sa.String(144)),
    sa.Column("size", sa.BigInteger),
    sa.Column("digest", sa.String(255)),
    sa.Column("registry", sa.String(255)),  # the domain in the name of an image made of a container
    sa.Column("created_at", _TIME, nullable=False),
    sa.Column("updated_at", _TIME),
    sa.UniqueConstraint("repo", "tag", "host"),
    sa.Index(None, "project_id", "id"),
    sa.Index(None, "project_id", "uuid"),
    *_lists("repo", "tag", "host", "image_id", "size", "created_at", "updated_at", everybody=False),
)

# What label selectors are looked up by: a digest of a label's key, and one of key and value.
container_labels = sa.Table(
    "container_labels",
    metadata,
    sa.Column("selector", sa.String(64), primary_key=True),
    sa.Column("container_uuid", sa.String(36), primary_key=True),
    sa.Index(None, "container_uuid"),
)

idempotency_keys = sa.Table(
    "idempotency_keys",
    metadata,
    sa.Column("project_id", sa.String(255), primary_key=True),
    sa.Column("key_digest", sa.String(64), primary_key=True),
    sa.Column("body_digest", sa.String(64), nullable=False),
    sa.Column("container_uuid", sa.String(36), nullable=False),
    sa.Column("created_at", _TIME, nullable=False),
    sa.Index(None, "created_at"),
)

# Rights to one long-lived answer each; the ticket itself is never stored.
tickets = sa.Table(
    "tickets",
    metadata,
    sa.Column("digest", sa.String(64), primary_key=True),
    sa.Column("path", sa.String(255), nullable=False),
    sa.Column("project_id", sa.String(255), nullable=False),
    sa.Column("content", Json, nullable=False),
    sa.Column("expires_at", _TIME, nullable=False),
    sa.Index(None, "expires_at"),
)

# Rights to one interactive session each; the token itself is never stored.
sessions = sa.Table(
    "sessions",
    metadata,
    sa.Column("digest", sa.String(64), primary_key=True),
    sa.Column("kind", sa.String(16), nullable=False),
    sa.Column("container_uuid", sa.String(36), nullable=False),
    sa.Column("exec_id", sa.String(64)),
    sa.Column("project_id", sa.String(255), nullable=False),
    sa.Column("user_id", sa.String(255), nullable=False),
    sa.Column("host", sa.String(255), nullable=False),
    sa.Column("tty", sa.Boolean(create_constraint=False), nullable=False),
    sa.Column("issued_at", _TIME, nullable=False),
    sa.Column("expires_at", _TIME, nullable=False),
    sa.Column("used_at", _TIME),
    sa.Column("session_limit", sa.Integer),  # seconds
    sa.Column("idle_limit", sa.Integer),  # seconds
    sa.Index(None, "container_uuid"),
    sa.Index(None, "exec_id"),
    sa.Index(None, "expires_at"),
)

# Commands that are killed when their client leaves, or their time is over: whoever comes after a killed agent does it.
bound_execs = sa.Table(
    "bound_execs",
    metadata,
    sa.Column("exec_id", sa.String(64), primary_key=True),
    sa.Column("container_uuid", sa.String(36), nullable=False),
    sa.Column("host", sa.String(255), nullable=False),
    sa.Column("created_at", _TIME, nullable=False),
    sa.Column("opened_at", _TIME),
    sa.Index(None, "host"),
    sa.Index(None, "created_at"),
)

# Names of decisions; see `zun.store.locks`.
locks = sa.Table("locks", metadata, sa.Column("name", sa.String(255), primary_key=True))

# Who runs which release: written by each process now and then, for upgrades.
processes = sa.Table(
    "processes",
    metadata,
    sa.Column("name", sa.String(255), primary_key=True),
    sa.Column("binary", sa.String(64), nullable=False),
    sa.Column("host", sa.String(255), nullable=False),
    sa.Column("version", sa.String(64), nullable=False),
    sa.Column("rpc", sa.String(16), nullable=False),
    sa.Column("started_at", _TIME, nullable=False),
    sa.Column("seen_at", _TIME, nullable=False),
    sa.Index(None, "seen_at"),
)
