"""The use cases of interactive sessions: a URL's token for attach and exec, and the size of a terminal (contract 5)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from zun.bus import Bus
from zun.model.container import Container
from zun.model.lifecycle import Action
from zun.model.session import Session, StreamKind
from zun.service.caller import Caller
from zun.service.errors import Conflict, Invalid, NotFound
from zun.service.intents import guard
from zun.service.questions import Questions, check_placed
from zun.service.settings import ServiceSettings
from zun.store import bound_execs, sessions
from zun.store.database import Database
from zun.work.clock import Clock


@dataclass(frozen=True, slots=True, kw_only=True)
class Granted:
    """A right to one session, until `expires_at` if it is not used before."""

    token: str = field(repr=False)
    container_uuid: str
    exec_id: str | None
    expires_at: datetime


class Sessions:
    """All raise `service.errors`; authorisation is the caller's business."""

    def __init__(self, db: Database, bus: Bus, settings: ServiceSettings, clock: Clock) -> None:
        self._db = db
        self._questions = Questions(db, bus, settings, clock)
        self._settings = settings
        self._clock = clock

    def attach(self, caller: Caller, container: Container) -> Granted:
        """A session with the main process (contract 5.2). Raises Conflict; Invalid: it is not interactive."""
        guard(Action.ATTACH, container)
        if not container.interactive:
            raise Invalid(
                f"Container {container.uuid} was not created with `interactive`: nobody can attach to it.",
                slug="no-interactive-flag",
            )
        return self._grant(caller, container, StreamKind.ATTACH, container.tty)

    def execute(
        self,
        caller: Caller,
        container: Container,
        command: Sequence[str],
        *,
        interactive: bool,
        kill_on_close: bool = False,
    ) -> Granted:
        """A session with a command that begins when its client comes (contract 5.1, run=false).

        interactive: with stdin and a terminal. kill_on_close: it is killed when its client leaves. Raises Conflict.
        """
        guard(Action.EXECUTE, container)
        question = {
            "uuid": container.uuid,
            "command": list(command),
            "tty": interactive,
            "stdin": interactive,
        }
        exec_id: str = self._questions.ask(container, "make_exec", question)
        if kill_on_close:
            host = check_placed(container)
            with self._db.write(durable=False) as conn:
                bound_execs.insert(conn, exec_id, container.uuid, host, self._clock())
        return self._grant(caller, container, StreamKind.EXEC, interactive, exec_id)

    def _grant(
        self,
        caller: Caller,
        container: Container,
        kind: StreamKind,
        tty: bool,
        exec_id: str | None = None,
    ) -> Granted:
        now, settings = self._clock(), self._settings
        session = Session(
            kind=kind,
            container_uuid=container.uuid,
            exec_id=exec_id,
            project_id=container.project_id,
            user_id=caller.user_id,
            host=check_placed(container),
            tty=tty,
            issued_at=now,
            expires_at=now + timedelta(seconds=settings.token_seconds),
            session_limit=settings.session_limit,
            idle_limit=settings.idle_limit,
        )
        with self._db.write(durable=False) as conn:
            token = sessions.issue(conn, session)
        return Granted(
            token=token,
            container_uuid=container.uuid,
            exec_id=exec_id,
            expires_at=session.expires_at,
        )

    def resize(self, container: Container, rows: int, columns: int) -> None:
        """Sets the size of the main terminal. Raises Conflict; Invalid: too early, or it has none."""
        guard(Action.RESIZE, container)
        self._size(container, "resize", {"h": rows, "w": columns})

    def execute_resize(self, container: Container, exec_id: str, rows: int, columns: int) -> None:
        """Sets the size of a command's terminal.

        Raises Conflict; Invalid: it is not started, or ended, or unknown; NotFound: it is another container's (defect
        13.2-3).
        """
        guard(Action.EXECUTE_RESIZE, container)
        with self._db.read() as conn:
            owner = sessions.container_of(conn, exec_id)
        if owner not in (None, container.uuid):
            raise NotFound(f"Container {container.uuid} has no exec {exec_id}.")
        self._size(container, "resize_exec", {"exec_id": exec_id, "h": rows, "w": columns})

    def _size(self, container: Container, question: str, arguments: Mapping[str, Any]) -> None:
        try:
            self._questions.ask(container, question, {"uuid": container.uuid, **arguments})
        except Conflict as exc:
            # Contract 5.4: clients resize before they know that it began, and bear nothing but a 400.
            raise Invalid(exc.message, slug="invalid") from exc
