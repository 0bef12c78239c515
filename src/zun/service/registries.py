"""The use cases of private registries. Passwords go in and never come out: a host alone opens them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy.engine import Connection

from zun.drivers.references import HUB, domain_of
from zun.model.container import Container
from zun.model.names import new_uuid, uuid_or_none
from zun.model.registry import Registry
from zun.service.caller import Caller
from zun.service.errors import Conflict, NotFound
from zun.service.queries import ListQuery
from zun.store import registries
from zun.store.database import Database
from zun.work.clock import Clock
from zun.work.secrets import Secrets

_SLUG = "registry-not-found"


@dataclass(frozen=True, slots=True, kw_only=True)
class RegistryDraft:
    """A validated wish for a registry."""

    domain: str
    name: str | None = None
    username: str | None = None
    password: str | None = field(default=None, repr=False)


def find(conn: Connection, caller: Caller, ident: str, field: str = "") -> Registry:
    """The registry of this uuid, else of exactly this name, that the caller may know of (contract 2.0).

    `field`: where the caller named it, for the error. Raises NotFound, also for one of another project; Conflict
    where several have the name.
    """
    scope = None if caller.is_admin else caller.project_id
    uuid = uuid_or_none(ident)
    if uuid is not None:
        one = registries.get(conn, uuid)
        found = [one] if one is not None and scope in (None, one.project_id) else []
    else:
        found = registries.find(conn, ident, scope)
    if not found:
        raise NotFound(f"{field}Registry {ident[:255]!r} could not be found.", slug=_SLUG)
    if len(found) > 1:
        raise Conflict(f"{field}Several registries are named {ident!r}; use a uuid.")
    return found[0]


def registry_for(
    conn: Connection, container: Container, repository: str
) -> tuple[str, Registry | None]:
    """The repository an image of a container is sent to, and the registry as whose user; None = as nobody.

    `repository` begins with the uuid of a registry of the container's project, or with a domain. Of a domain it is the
    container's own registry, else the one of its project that has a user and says most of the name. Raises Conflict
    where that is not one.
    """
    first, _, path = repository.partition("/")
    if path and uuid_or_none(first) == first:
        one = registries.get(conn, first)
        if one is not None and one.project_id == container.project_id:
            return f"{one.domain.rstrip('/')}/{path}", one
    domain = domain_of(repository)
    if domain is None:
        return repository, None
    fitting: dict[int, list[Registry]] = {}
    for registry in registries.at(
        conn, container.project_id, HUB if domain in HUB else frozenset({domain})
    ):
        place = registry.domain.partition("/")[2].rstrip("/")
        if not registry.username or (place and not path.startswith(f"{place}/")):
            continue
        if registry.uuid == container.registry_id:
            return repository, registry
        fitting.setdefault(len(place), []).append(registry)
    best = fitting[max(fitting)] if fitting else []
    if len(best) > 1:
        raise Conflict(
            f"repository: your project has several registries for {best[0].domain}; name the one to use by its uuid "
            f"instead of its domain ({best[0].uuid}/...)."
        )
    return repository, best[0] if best else None


class Registries:
    """What a user may do with registries. All raise `service.errors`; authorisation is the caller's business."""

    def __init__(self, db: Database, secrets: Secrets, clock: Clock) -> None:
        self._db = db
        self._secrets = secrets
        self._clock = clock

    def find(self, caller: Caller, ident: str) -> Registry:
        """See `find` of the module."""
        with self._db.read() as conn:
            return find(conn, caller, ident)

    def list(self, caller: Caller, query: ListQuery) -> Sequence[Registry]:
        """One page. Raises NotFound for a marker that the caller can't see."""
        scope = None if query.all_projects else caller.project_id
        with self._db.read() as conn:
            after = None
            if query.marker is not None:
                after = registries.get(conn, query.marker)
                if after is None or scope not in (None, after.project_id):
                    raise NotFound(
                        f"marker: registry {query.marker[:64]} could not be found.", slug=_SLUG
                    )
            return registries.page(
                conn,
                project_id=scope,
                filters=query.filters,
                limit=query.limit,
                after=after,
                sort_key=query.sort_key,
                descending=query.descending,
            )

    def create(self, caller: Caller, draft: RegistryDraft) -> Registry:
        """Adds a registry to the caller's project."""
        registry = Registry(
            uuid=new_uuid(),
            name=draft.name,
            domain=draft.domain,
            username=draft.username,
            password=self._sealed(draft.password),
            project_id=caller.project_id,
            user_id=caller.user_id,
            created_at=self._clock(),
        )
        self._db.run(lambda conn: registries.insert(conn, registry))
        return registry

    def update(self, registry: Registry, changes: Mapping[str, Any]) -> Registry:
        """Sets name, domain, username or password; containers use it from their next pull on."""
        if not changes:
            return registry
        columns = dict(changes)
        if "password" in columns:
            columns["password"] = self._sealed(columns["password"])

        def write(conn: Connection) -> Registry | None:
            registries.update(conn, registry.uuid, self._clock(), **columns)
            return registries.get(conn, registry.uuid)

        after = self._db.run(write)
        if after is None:
            raise NotFound(f"Registry {registry.uuid} could not be found.", slug=_SLUG)
        return after

    def delete(self, registry: Registry) -> None:
        """Removes a registry. Raises Conflict while a container refers to it."""
        try:
            self._db.run(lambda conn: registries.delete(conn, registry.uuid))
        except registries.InUse:
            raise Conflict(
                f"Registry {registry.uuid} is in use by a container; delete that first."
            ) from None

    def _sealed(self, password: str | None) -> str | None:
        return None if password is None else self._secrets.seal(password)
