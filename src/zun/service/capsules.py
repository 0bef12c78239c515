"""The use cases of capsules (contract 4)."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

from sqlalchemy.engine import Connection

from zun.model.capsule import INIT_RETRIES, Capsule, CapsuleDraft, MemberDraft, amounts_of
from zun.model.container import Container
from zun.model.lifecycle import Action, Status
from zun.model.names import member_name, new_uuid, uuid_or_none
from zun.service import drafts, quotas
from zun.service.caller import Caller
from zun.service.errors import Conflict, Invalid, NotFound
from zun.service.intents import Asker, Intents
from zun.service.queries import ListQuery
from zun.service.settings import ServiceSettings
from zun.store import capsules, containers
from zun.store.database import Database
from zun.work.clock import Clock

SLUG = "capsule-not-found"

#: Names thought of for the containers of one capsule; there are far fewer containers than names.
_TRIES = 5000

#: A capsule and its containers, init containers first.
Whole = tuple[Capsule, Sequence[Container]]


class Capsules:
    """What a user may do with capsules. All raise `service.errors`; authorisation is the caller's business."""

    def __init__(
        self, db: Database, intents: Intents, settings: ServiceSettings, clock: Clock
    ) -> None:
        self._db = db
        self._intents = intents
        self._settings = settings
        self._clock = clock

    def find(self, caller: Caller, ident: str) -> Capsule:
        """The capsule of this uuid, else of exactly this name, that the caller may know of (contract 2.0).

        Raises NotFound, also for one of another project; Conflict where several have the name.
        """
        scope = None if caller.is_admin else caller.project_id
        uuid = uuid_or_none(ident)
        with self._db.read() as conn:
            if uuid is not None:
                one = capsules.get(conn, uuid)
                found = [one] if one is not None and scope in (None, one.project_id) else []
            else:
                found = capsules.find(conn, ident, scope)
        if not found:
            raise NotFound(f"There is no capsule {ident[:255]} in your project.", slug=SLUG)
        if len(found) > 1:
            raise Conflict(f"Several capsules are named {ident!r}; use a uuid.")
        return found[0]

    def members(self, found: Sequence[Capsule]) -> Mapping[str, Sequence[Container]]:
        """The containers of capsules, by the capsule's uuid."""
        with self._db.read() as conn:
            return containers.members_of(conn, [capsule.uuid for capsule in found])

    def list(self, caller: Caller, query: ListQuery) -> Sequence[Capsule]:
        """One page. Raises NotFound for a marker that the caller can't see."""
        scope = None if query.all_projects else caller.project_id
        with self._db.read() as conn:
            after = None
            if query.marker is not None:
                after = capsules.get(conn, query.marker)
                if after is None or scope not in (None, after.project_id):
                    raise NotFound(f"marker: there is no capsule {query.marker[:64]}.", slug=SLUG)
            return capsules.page(
                conn,
                project_id=scope,
                limit=query.limit,
                after=after,
                sort_key=query.sort_key,
                descending=query.descending,
            )

    def create(self, caller: Caller, draft: CapsuleDraft) -> Whole:
        """Accepts a capsule: the rows are there, the rest follows. Raises Invalid, Conflict, OverQuota."""
        _refuse_unconfigured(draft)
        for member in (*draft.init_containers, *draft.containers):
            drafts.check_image(member.image)
        capsule, members = self._intents.create_capsule(
            Asker(user_id=caller.user_id, request_id=caller.request_id),
            self._settings.init_seconds,
            lambda conn: self._prepare(conn, caller, draft),
        )
        return replace(capsule, open_action=Action.CREATE), members

    def delete(self, caller: Caller, capsule: Capsule) -> None:
        """Accepts a delete, whatever goes on with the capsule."""
        asker = Asker(user_id=caller.user_id, request_id=caller.request_id)
        self._intents.delete_capsule(asker, capsule.uuid)

    # ---- from a draft to rows

    def _prepare(self, conn: Connection, caller: Caller, draft: CapsuleDraft) -> Whole:
        settings, uuid = self._settings, new_uuid()
        drafts.check_unique(conn, caller.project_id, draft.name, settings)
        disk = drafts.default_disk(conn, settings)
        every = [(wanted, True) for wanted in draft.init_containers]
        every += [(wanted, False) for wanted in draft.containers]
        names = self._names(conn, caller.project_id, draft.name or uuid, len(every))
        members = [
            self._member(caller, draft, uuid, wanted, init=init, order=order, name=name, disk=disk)
            for order, ((wanted, init), name) in enumerate(zip(every, names, strict=True))
        ]
        cpu, memory = _sizes(members)
        capsule = Capsule(
            uuid=uuid,
            name=draft.name,
            project_id=caller.project_id,
            user_id=caller.user_id,
            status=Status.CREATING,
            labels=dict(draft.labels),
            annotations=dict(draft.annotations),
            restart_policy=_restarts(draft.restart_policy),
            cpu=cpu,
            memory=memory,
            disk=disk * len(members),
            availability_zone=draft.availability_zone or settings.default_schedule_zone,
            created_at=self._clock(),
        )
        wanted = amounts_of(capsule, len(members))
        quotas.reserve(conn, caller.project_id, wanted, settings.quota)
        return capsule, members

    def _member(
        self,
        caller: Caller,
        draft: CapsuleDraft,
        capsule_uuid: str,
        wanted: MemberDraft,
        *,
        init: bool,
        order: int,
        name: str,
        disk: int,
    ) -> Container:
        settings = self._settings
        return Container(
            uuid=new_uuid(),
            name=name,
            project_id=caller.project_id,
            user_id=caller.user_id,
            image=wanted.image,
            image_driver=settings.default_image_driver,
            status=Status.CREATING,
            command=list(wanted.command) if wanted.command else None,
            # Who names none gets what any container gets: nothing is used that no quota counts (defect 13.2-11).
            cpu=settings.default_cpu if wanted.cpu is None else wanted.cpu,
            memory=settings.default_memory if wanted.memory is None else wanted.memory,
            disk=disk,
            environment=dict(wanted.environment),
            workdir=wanted.workdir,
            interactive=wanted.interactive,
            tty=wanted.tty,
            image_pull_policy=wanted.image_pull_policy,
            restart_policy=_restarts(draft.restart_policy, init=init),
            exposed_ports=list(wanted.exposed_ports) or None,
            created_at=self._clock(),
            capsule_uuid=capsule_uuid,
            capsule_order=order,
            init=init,
        )

    def _names(self, conn: Connection, project_id: str, of: str, number: int) -> Sequence[str]:
        """Different names for so many containers; none that is taken where the operator wants unique ones."""
        found: dict[str, None] = {}
        for _ in range(_TRIES):
            name = member_name(of)
            with contextlib.suppress(Conflict):
                drafts.check_unique(conn, project_id, name, self._settings)
                found[name] = None
            if len(found) == number:
                return list(found)
        raise Conflict(f"name: the names of the containers of a capsule {of!r} are all taken.")


def _sizes(members: Sequence[Container]) -> tuple[float, int]:
    """What all need at once, or an init container alone if that is more (contract 4.2): CPUs and MiB."""
    inits = [member for member in members if member.init]
    alive = [member for member in members if not member.init]
    # Rounded, for 0.1 and 0.2 are not 0.3.
    cpu = round(max(sum(m.cpu for m in alive), *(m.cpu for m in inits), 0.0), 6)
    return cpu, max(sum(m.memory for m in alive), *(m.memory for m in inits), 0)


def _restarts(policy: str, *, init: bool = False) -> dict[str, str]:
    """The restart policy of a capsule and its containers. An init container has to end once (contract 4.2)."""
    if init and policy == "always":
        return {"Name": "on-failure", "MaximumRetryCount": str(INIT_RETRIES)}
    return {"Name": policy, "MaximumRetryCount": "0"}


def _refuse_unconfigured(draft: CapsuleDraft) -> None:
    for index, _ in enumerate(draft.volumes):
        raise Invalid(
            f"template.spec.volumes[{index}].cinder: no volume service (Cinder) is configured; leave the volume out."
        )
