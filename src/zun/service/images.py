"""The use cases of images: pulled onto a host, made of a container, searched for."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from fnmatch import fnmatchcase
from typing import Any

from sqlalchemy.engine import Connection

from zun.bus import Bus
from zun.drivers.errors import DriverError
from zun.drivers.image import Reference
from zun.drivers.references import domain_of, parse
from zun.model.container import Container
from zun.model.image import HostImage, committed, is_committed
from zun.model.lifecycle import Action
from zun.model.names import new_uuid, uuid_or_none
from zun.service.caller import Caller
from zun.service.containers import asker
from zun.service.errors import Conflict, Forbidden, Invalid, NotFound, Unavailable
from zun.service.intents import Intents, guard
from zun.service.queries import ListQuery
from zun.service.questions import Questions
from zun.service.registries import registry_for
from zun.service.settings import ServiceSettings
from zun.store import hosts, images
from zun.store.database import Database
from zun.work.clock import Clock

_NOT_FOUND = "image-not-found"
_REPO_LIMIT = 255
_SEARCH_LIMIT = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class PullRequest:
    """An image that a host is to have. `tag` is used where `repo` names none."""

    repo: str
    host: str
    tag: str | None = None
    policy: str | None = None


class Images:
    """All raise `service.errors`; authorisation is the caller's business."""

    def __init__(
        self, db: Database, bus: Bus, intents: Intents, settings: ServiceSettings, clock: Clock
    ) -> None:
        self._db = db
        self._questions = Questions(db, bus, settings, clock)
        self._intents = intents
        self._down_after: timedelta = settings.down_after
        self._push_registries = settings.push_registries
        self._clock = clock

    # ---- reading

    def list(self, caller: Caller, query: ListQuery) -> Sequence[HostImage]:
        """One page of the project's images. Raises NotFound for a marker that is none of them."""
        with self._db.read() as conn:
            after = None
            if query.marker is not None:
                after = images.get(conn, query.marker)
                if after is None or after.project_id != caller.project_id:
                    raise NotFound(f"marker: there is no image {query.marker}.", slug=_NOT_FOUND)
            return images.page(
                conn, project_id=caller.project_id, limit=query.limit, after=after,
                sort_key=query.sort_key, descending=query.descending,
            )  # fmt: skip

    def find(self, caller: Caller, ident: str) -> HostImage:
        """The image of this uuid. Raises NotFound."""
        uuid = uuid_or_none(ident)
        with self._db.read() as conn:
            image = images.get(conn, uuid) if uuid else None
        if image is None or not (caller.is_admin or image.project_id == caller.project_id):
            raise NotFound(f"There is no image {ident[:255]}.", slug=_NOT_FOUND)
        return image

    # ---- intentions

    def pull(self, caller: Caller, request: PullRequest) -> HostImage:
        """Accepts that a host gets an image. Raises Invalid: no such host; Conflict: it has it, or gets it already."""
        reference = _reference("repo", request.repo)
        tag = reference.digest or reference.tag
        if request.tag and not reference.digest and not _names_tag(request.repo):
            tag = _reference("tag", f"{request.repo}:{request.tag}").tag
        repo = f"{reference.domain}/{reference.path}" if reference.domain else reference.path
        params = {"policy": request.policy} if request.policy else {}

        def prepare(conn: Connection) -> HostImage:
            host = hosts.find(conn, request.host)
            if host is None:
                raise Invalid(f"host: no host {request.host!r} is known.")
            if images.find(conn, repo, tag, host.hostname) is not None:
                raise Conflict(
                    f"Host {host.hostname} has the image {repo}:{tag}, or is getting it.",
                    slug="image-already-exists",
                )
            image = self._row(caller.project_id, caller.user_id, host.hostname, repo, tag)
            images.insert(conn, image)
            return image

        return self._intents.image(asker(caller), Action.IMAGE_PULL, params, prepare)

    def delete(self, caller: Caller, image: HostImage) -> None:
        """Accepts that an image goes, the record and the host's copy. Raises Conflict: something is under way."""

        def prepare(conn: Connection) -> HostImage:
            if image.image_id is None and is_committed("", image.repo):
                raise Conflict(f"Image {image.uuid} is just being made; delete it when it is.")
            return image

        self._intents.image(asker(caller), Action.IMAGE_DELETE, {}, prepare)

    def commit(self, caller: Caller, container: Container, repository: str, tag: str) -> HostImage:
        """Accepts that a container becomes an image on its host, for its own project only (decision 0007).

        A `repository` that names a registry, by its domain or by the uuid of one of the project's, is sent there, too
        (decision 0012). Raises Forbidden: not to that one; Conflict: nobody can say as whom.
        """
        guard(Action.COMMIT, container)
        if "/" in tag:
            raise Invalid(
                "tag: must be a tag. Some clients take the port of a registry for one: name a registry of your "
                "project by its uuid instead (`<uuid>/team/app:v1`)."
            )
        with self._db.read() as conn:
            repository, registry = registry_for(conn, container, repository)
        named = _reference("repository", f"{repository}:{tag}")
        repo = committed(container.project_id, named.domain, named.path)
        if named.digest or len(repo) > _REPO_LIMIT or "[" in named.domain:
            raise Invalid("repository: this name can't be given to an image made of a container.")
        host, domain = container.host or "", domain_of(repository)
        if domain:
            self._check_push(domain)
        with self._db.read() as conn:
            known = images.find(conn, repo, named.tag, host)
        image = known or replace(
            self._row(container.project_id, caller.user_id, host, repo, named.tag), registry=domain
        )

        def admit(conn: Connection, row: Container) -> None:
            there = images.find(conn, repo, named.tag, host)
            if there is None:
                images.insert(conn, image)
            elif there.uuid != image.uuid or there.image_id is None:
                raise Conflict(
                    f"An image {repository}:{tag} is just being made of another container."
                )

        params: dict[str, Any] = {"repo": repo, "tag": named.tag, "image": image.uuid}
        if domain:
            params |= {"push": f"{repository}:{named.tag}", "registry": registry and registry.uuid}
        self._intents.act(asker(caller), container.uuid, Action.COMMIT, params, admit=admit)
        return image

    def _check_push(self, domain: str) -> None:
        if any(fnmatchcase(domain.lower(), pattern.lower()) for pattern in self._push_registries):
            return
        allowed = ", ".join(self._push_registries) or "none"
        raise Forbidden(
            f"repository: images may not be sent to {domain} from here, only to: {allowed}. Without a domain "
            "the image is kept on the container's host; the operator's [docker] push_registries says more."
        )

    def _row(self, project_id: str, user_id: str, host: str, repo: str, tag: str) -> HostImage:
        return HostImage(
            uuid=new_uuid(), project_id=project_id, user_id=user_id, host=host, repo=repo, tag=tag,
            created_at=self._clock(),
        )  # fmt: skip

    # ---- a question to a host

    def search(self, term: str, *, exact: bool) -> Sequence[Mapping[str, Any]]:
        """What the registry offers under a name. Raises Unavailable: no host is up to ask it."""
        now = self._clock()
        with self._db.read() as conn:
            up = [
                host.hostname
                for host in hosts.every(conn)
                if not host.forced_down
                and host.last_seen_up is not None
                and now - host.last_seen_up < self._down_after
            ]
        if not up:
            raise Unavailable("No host is up that could ask the registry.")
        arguments = {"term": term, "limit": _SEARCH_LIMIT}
        found: Sequence[Mapping[str, Any]] = self._questions.ask_host(
            up[0], "image_search", arguments
        )
        return [item for item in found if not exact or item["name"] == term]


def _reference(field: str, text: str) -> Reference:
    try:
        reference = parse(text)
    except DriverError as exc:
        raise Invalid(f"{field}: {exc.public}.") from exc
    if is_committed(reference.domain, reference.path):
        raise Invalid(f"{field}: this place is kept for images made of containers.")
    return reference


def _names_tag(repo: str) -> bool:
    return ":" in repo.rpartition("/")[2]
