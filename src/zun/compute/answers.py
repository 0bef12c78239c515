"""What a host answers when it is asked (`bus.ask`): short questions about one of its containers."""

from __future__ import annotations

import logging
import uuid as uuids
from collections.abc import Callable, Mapping
from typing import Any

from zun.bus import Answer, Refused, Why
from zun.drivers import errors
from zun.drivers.deadline import Deadline
from zun.drivers.runtime import CanExec, CanLog, LogRequest
from zun.work.context import Means

LOG = logging.getLogger(__name__)

_WHY: Mapping[type[errors.DriverError], Why] = {
    errors.NotFound: Why.NOT_FOUND,
    errors.Conflict: Why.CONFLICT,
    errors.Rejected: Why.REJECTED,
    errors.Unsupported: Why.UNSUPPORTED,
    errors.Unavailable: Why.UNAVAILABLE,
    errors.TimedOut: Why.TIMED_OUT,
}


def answers(means: Means, doubt: Callable[[str], None]) -> Mapping[str, Answer]:
    """The answers of a host. `doubt` is told the uuid of a container that was not as the asker believed."""
    questions: Mapping[str, Callable[[Means, Mapping[str, Any], Deadline], Any]] = {
        "logs": _logs,
        "execute": execute,
    }
    return {name: _guarded(name, means, ask, doubt) for name, ask in questions.items()}


def _guarded(
    name: str,
    means: Means,
    ask: Callable[[Means, Mapping[str, Any], Deadline], Any],
    doubt: Callable[[str], None],
) -> Answer:
    def answer(arguments: Mapping[str, Any], seconds: float) -> Any:
        try:
            return ask(means, arguments, Deadline(seconds))
        except errors.DriverError as exc:
            if isinstance(exc, (errors.NotFound, errors.Conflict)):
                doubt(arguments["uuid"])
            raise refused(exc) from exc
        except Exception as exc:
            code = uuids.uuid4().hex[:12]
            LOG.exception("defect %s answering %s", code, name)
            raise Refused(Why.UNKNOWN, f"Internal error, code {code}.") from exc

    return answer


def refused(error: errors.DriverError) -> Refused:
    """A driver's error as it crosses the bus."""
    return Refused(_WHY[type(error)], error.public)


def log_request(arguments: Mapping[str, Any]) -> LogRequest:
    """The part of a log a question is about."""
    return LogRequest(
        stdout=arguments["stdout"],
        stderr=arguments["stderr"],
        timestamps=arguments["timestamps"],
        tail=arguments["tail"],
        since=arguments["since"],
    )


def _logs(means: Means, arguments: Mapping[str, Any], deadline: Deadline) -> bytes:
    runtime = means.runtime
    if not isinstance(runtime, CanLog):
        raise errors.Unsupported("The runtime of this host keeps no logs.")
    return runtime.logs(arguments["uuid"], log_request(arguments), arguments["limit"], deadline)


def execute(means: Means, arguments: Mapping[str, Any], deadline: Deadline) -> Mapping[str, Any]:
    """What a command gave. Raises DriverError."""
    runtime = means.runtime
    if not isinstance(runtime, CanExec):
        raise errors.Unsupported("The runtime of this host can't execute commands.")
    result = runtime.execute(arguments["uuid"], arguments["command"], arguments["limit"], deadline)
    return {"exit_code": result.exit_code, "output": result.output}
