"""The use cases of quotas (contract 8)."""

from __future__ import annotations

from collections.abc import Mapping

from sqlalchemy.engine import Connection

from zun.model.quota import MILLI, RESOURCES, UNLIMITED, Amounts, Limits
from zun.service.errors import OverQuota
from zun.service.settings import QuotaSettings
from zun.store import quotas
from zun.store.database import Database

_UNITS = {"containers": "", "cpu": " vCPU", "memory": " MiB", "disk": " GiB"}


def reserve(conn: Connection, project_id: str, wanted: Amounts, settings: QuotaSettings) -> None:
    """Counts `wanted` in the project, within the caller's transaction. Raises OverQuota, naming what is short.

    For a change of size, `wanted` is the difference; what is negative is given back.
    """
    limits = quotas.take(conn, project_id, wanted, settings.limits, enforced=settings.enforced)
    if limits is None:
        return
    used = quotas.used(conn, project_id)
    short = [_short(name, wanted, used, limits) for name in RESOURCES]
    raise OverQuota(f"Quota exceeded: {'; '.join(text for text in short if text)}.")


def _short(name: str, wanted: Amounts, used: Amounts, limits: Limits) -> str:
    limit, more = limits[name], getattr(wanted, name)
    most = limit * MILLI if name == "cpu" else limit
    if limit == UNLIMITED or more <= 0 or getattr(used, name) + more <= most:
        return ""
    unit = _UNITS[name]
    return (
        f"{name}: requested {wanted.shown(name)}{unit}, "
        f"used {used.shown(name)}{unit}, limit {limit}{unit}"
    )


def check(conn: Connection, project_id: str, wanted: Amounts, settings: QuotaSettings) -> None:
    """As `reserve`, but counts nothing: for what will be counted by a step of an operation."""
    reserve(conn, project_id, wanted, settings)
    quotas.count(conn, project_id, -wanted)


def _effective(conn: Connection, project_id: str, settings: QuotaSettings) -> Limits:
    """What holds for a project."""
    if not settings.enforced:
        return settings.limits
    return quotas.effective(conn, project_id, settings.limits)


class Quotas:
    """Limits of projects and classes, and what is used of them; authorisation is the caller's business."""

    def __init__(self, db: Database, settings: QuotaSettings) -> None:
        self._db = db
        self._settings = settings

    def limits(self, project_id: str) -> Limits:
        """What holds for a project."""
        with self._db.read() as conn:
            return _effective(conn, project_id, self._settings)

    def usages(self, project_id: str) -> Mapping[str, tuple[int, int | float]]:
        """(limit, in use) of each resource."""
        with self._db.read() as conn:
            limits = _effective(conn, project_id, self._settings)
            used = quotas.used(conn, project_id)
        return {name: (limits[name], used.shown(name)) for name in RESOURCES}

    def defaults(self) -> Limits:
        """What holds for a project without limits of its own."""
        return self.of_class(quotas.DEFAULT_CLASS)

    def update(self, project_id: str, limits: Limits) -> Limits:
        """Sets limits of a project; what holds for it then."""

        def write(conn: Connection) -> Limits:
            quotas.set_project(conn, project_id, limits)
            return _effective(conn, project_id, self._settings)

        return self._db.run(write, twice=True)

    def delete(self, project_id: str) -> None:
        """Removes the limits of a project; the defaults hold for it again."""
        self._db.run(lambda conn: quotas.forget_project(conn, project_id), twice=True)

    def of_class(self, name: str) -> Limits:
        """The limits of a class, the configured ones where it has none. Only the class `default` limits anybody."""
        with self._db.read() as conn:
            return self._of_class(conn, name)

    def update_class(self, name: str, limits: Limits) -> Limits:
        """Sets limits of a class; all of them then."""

        def write(conn: Connection) -> Limits:
            quotas.set_class(conn, name, limits)
            return self._of_class(conn, name)

        return self._db.run(write, twice=True)

    def _of_class(self, conn: Connection, name: str) -> Limits:
        configured = self._settings.limits
        if not self._settings.enforced:
            return configured
        return {**configured, **quotas.of_class(conn, name)}
