"""What a host gives to whoever serves long-lived answers: followed logs, and commands that may be cancelled.

Both block their caller, and refuse in the words of the bus, as the answers to short questions do.
"""

from __future__ import annotations

import uuid as uuids
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from zun.bus import Refused, Why
from zun.compute.answers import LOG, execute, log_request, refused
from zun.drivers import errors
from zun.drivers.deadline import Deadline
from zun.drivers.runtime import CanFollow, LogStream
from zun.work.context import Means

_OPEN_TIME = 10.0  # seconds for an engine to begin a log


class Cancelling(Protocol):
    """Says when nobody waits any more."""

    def is_set(self) -> bool: ...
    def listen(self, call: Callable[[], None]) -> None: ...


class _Log:
    """A driver's log, in the words of the bus."""

    def __init__(self, stream: LogStream) -> None:
        self._stream = stream

    def read(self) -> bytes:
        """See `LogStream`; raises Refused."""
        try:
            return self._stream.read()
        except errors.DriverError as exc:
            raise refused(exc) from exc

    def end(self) -> None:
        """See `LogStream`."""
        self._stream.end()


class HostSources:
    """Of the hosts in this process: the one whose drivers it is given."""

    def __init__(self, means: Means) -> None:
        self._means = means

    def follow(self, host: str, arguments: Mapping[str, Any]) -> _Log:
        """The log of a container, followed; `arguments` as of the question `logs`. Raises Refused."""
        runtime = self._runtime(host)
        if not isinstance(runtime, CanFollow):
            raise Refused(Why.UNSUPPORTED, "The logs of this host can't be followed.")
        try:
            deadline = Deadline(_OPEN_TIME)
            return _Log(runtime.follow(arguments["uuid"], log_request(arguments), deadline))
        except errors.DriverError as exc:
            raise refused(exc) from exc

    def execute(
        self, host: str, arguments: Mapping[str, Any], seconds: float, cancel: Cancelling
    ) -> Mapping[str, Any]:
        """The answer to the question `execute`; once `cancel` is set the command is killed. Raises Refused."""
        self._runtime(host)
        try:
            deadline = Deadline(seconds, cancel.is_set, cancel.listen)
            return execute(self._means, arguments, deadline)
        except errors.DriverError as exc:
            raise refused(exc) from exc
        except Exception as exc:
            code = uuids.uuid4().hex[:12]
            LOG.exception("defect %s answering execute", code)
            raise Refused(Why.UNKNOWN, f"Internal error, code {code}.") from exc

    def _runtime(self, host: str) -> Any:
        if host != self._means.host:
            raise Refused(Why.UNAVAILABLE, f"Host {host} serves no long-lived answers here.")
        return self._means.runtime
