"""The use cases that look into a container on its host: processes, usage, files."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zun.bus import Bus
from zun.model.container import Container
from zun.model.lifecycle import Action
from zun.service.intents import guard
from zun.service.queries import Archive, Usage
from zun.service.questions import Questions
from zun.service.settings import ServiceSettings
from zun.store.database import Database


class Inside:
    """All raise `service.errors`; authorisation is the caller's business."""

    def __init__(self, db: Database, bus: Bus, settings: ServiceSettings) -> None:
        self._questions = Questions(db, bus, settings)
        self._settings = settings

    def top(self, container: Container, ps_args: str) -> Mapping[str, Any]:
        """`titles` and `rows` of `ps`, called with these arguments ("" = the engine's usual ones)."""
        guard(Action.TOP, container)
        arguments = {"uuid": container.uuid, "arguments": ps_args}
        answer: Mapping[str, Any] = self._questions.ask(container, "top", arguments)
        return answer

    def stats(self, container: Container) -> Usage:
        """What the container uses now."""
        guard(Action.STATS, container)
        return Usage(**self._questions.ask(container, "stats", {"uuid": container.uuid}))

    def get_archive(self, container: Container, path: str) -> Archive:
        """The files at a path. Raises Invalid: there is nothing there, or it is more than the configured bound."""
        guard(Action.GET_ARCHIVE, container)
        arguments = {
            "uuid": container.uuid,
            "path": path,
            "limit": self._settings.archive_bytes,
        }
        return Archive(**self._questions.ask(container, "get_archive", arguments))

    def put_archive(self, container: Container, path: str, data: bytes) -> None:
        """Unpacks an archive into a directory. Raises Invalid: there is none, or it is no archive."""
        guard(Action.PUT_ARCHIVE, container)
        arguments = {"uuid": container.uuid, "path": path, "data": data}
        self._questions.ask(container, "put_archive", arguments)
