"""The use cases that look into a container on its host: processes, usage, files."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, BinaryIO, Protocol

from zun.model.container import Container
from zun.model.lifecycle import Action
from zun.service.intents import guard
from zun.service.queries import ArchiveStat, Usage
from zun.service.questions import Questions


class FilesInside(Protocol):
    """See `service.archives.Archives`."""

    def get(
        self, container: Container, path: str, sink: Callable[[bytes], None]
    ) -> ArchiveStat: ...
    def put(self, container: Container, path: str, source: BinaryIO) -> None: ...


class Inside:
    """All raise `service.errors`; authorisation is the caller's business."""

    def __init__(self, questions: Questions, archives: FilesInside) -> None:
        self._questions = questions
        self._archives = archives

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

    def get_archive(
        self, container: Container, path: str, sink: Callable[[bytes], None]
    ) -> ArchiveStat:
        """The files at a path; see `Archives.get`."""
        guard(Action.GET_ARCHIVE, container)
        return self._archives.get(container, path, sink)

    def put_archive(self, container: Container, path: str, source: BinaryIO) -> None:
        """Unpacks an archive into a directory; see `Archives.put`."""
        guard(Action.PUT_ARCHIVE, container)
        self._archives.put(container, path, source)
