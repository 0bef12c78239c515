"""Creating a container at most once: the same key of the same project gives the same container for a day."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

from sqlalchemy.engine import Connection

from zun.model.container import Container, Draft
from zun.service import drafts
from zun.service.caller import Caller
from zun.service.errors import Conflict
from zun.service.intents import Asker, Intents
from zun.service.settings import ServiceSettings
from zun.store import containers, idempotency
from zun.store.database import Database
from zun.store.idempotency import KeyTaken, Use
from zun.work.clock import Clock

#: For how long a key gives the container it made.
KEPT = timedelta(hours=24)

_USED = "idempotency-key-used"


@dataclass(frozen=True, slots=True)
class Once:
    """A client's key, and the request's body in a canonical form: the same key means the same request."""

    key: str
    body: bytes

    @property
    def key_digest(self) -> str:
        """By which the key is stored."""
        return hashlib.sha256(self.key.encode()).hexdigest()

    @property
    def body_digest(self) -> str:
        """By which the body is."""
        return hashlib.sha256(self.body).hexdigest()


class Creating:
    """The two ways to accept a container."""

    def __init__(
        self, db: Database, intents: Intents, settings: ServiceSettings, clock: Clock
    ) -> None:
        self._db = db
        self._intents = intents
        self._settings = settings
        self._clock = clock

    def anew(self, caller: Caller, draft: Draft) -> Container:
        """Accepts a container."""
        return self._intents.create(
            _asker(caller),
            lambda conn: drafts.prepare(conn, caller, draft, self._settings, self._clock),
        )

    def once(self, caller: Caller, draft: Draft, once: Once) -> tuple[Container, bool]:
        """Accepts a container unless the key has made one; the container, and whether it was there already.

        Raises Conflict: the key was used for another body, or for a container that is gone.
        """
        since = self._clock() - KEPT

        def prepare(conn: Connection) -> tuple[Container, Mapping[str, Any]]:
            # Looked at before anything else is checked: a name is taken by the very container we would give.
            if idempotency.find(conn, caller.project_id, once.key_digest, since):
                raise KeyTaken
            row, params = drafts.prepare(conn, caller, draft, self._settings, self._clock)
            use = Use(once.body_digest, row.uuid)
            idempotency.insert(
                conn, caller.project_id, once.key_digest, use, since=since, now=self._clock()
            )
            return row, params

        made = self._made(caller, once)
        if made is not None:
            return made, True
        try:
            return self._intents.create(_asker(caller), prepare), False
        except KeyTaken:
            made = self._made(caller, once)
        if made is None:
            raise Conflict("Idempotency-Key: another request with it is under way; ask again.")
        return made, True

    def _made(self, caller: Caller, once: Once) -> Container | None:
        """What the key made; None if nothing."""
        with self._db.read() as conn:
            use = idempotency.find(conn, caller.project_id, once.key_digest, self._clock() - KEPT)
            if use is None:
                return None
            row = containers.get(conn, use.container_uuid)
        if use.body_digest != once.body_digest:
            raise Conflict(
                "Idempotency-Key: was used for another request; take a new key for this one.",
                slug=_USED,
            )
        if row is None:
            raise Conflict(
                f"Idempotency-Key: the container it made, {use.container_uuid}, is deleted; take a new key.",
                slug=_USED,
            )
        return row


def _asker(caller: Caller) -> Asker:
    return Asker(user_id=caller.user_id, request_id=caller.request_id)
