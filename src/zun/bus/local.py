"""The bus of one process: a nudge is a call, a question is asked in the asker's own thread."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping
from typing import Any

from zun.bus import Answer, Refused, Why


class LocalBus:
    """See `zun.bus.Bus`. Listeners and answers are added while the process is wired, before any traffic."""

    def __init__(self) -> None:
        self._wakes: defaultdict[str, list[Callable[[], None]]] = defaultdict(list)
        self._answers: dict[str, Mapping[str, Answer]] = {}

    def nudge(self, queue: str) -> None:
        """Wakes the listeners of `queue`; nobody listening is no error."""
        for wake in self._wakes.get(queue, ()):
            wake()

    def listen(self, queue: str, wake: Callable[[], None]) -> None:
        """Has `wake` called at each nudge of `queue`."""
        self._wakes[queue].append(wake)

    def answer(self, host: str, answers: Mapping[str, Answer]) -> None:
        """Offers the answers of `host`."""
        self._answers[host] = answers

    def ask(self, host: str, question: str, arguments: Mapping[str, Any], seconds: float) -> Any:
        """The answer of `host`; bounded by what answers, which is told the time left."""
        answers = self._answers.get(host)
        if answers is None or question not in answers:
            raise Refused(Why.UNAVAILABLE, f"host {host} does not answer")
        return answers[question](arguments, seconds)
