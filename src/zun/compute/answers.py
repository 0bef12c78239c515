"""What a host answers when it is asked (`bus.ask`): short questions about one of its containers."""

from __future__ import annotations

import logging
import time
import uuid as uuids
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

from zun.bus import Answer, Refused, Why
from zun.compute import archives
from zun.drivers import errors
from zun.drivers.bytestreams import CanOpenExec, CanResize
from zun.drivers.deadline import Deadline
from zun.drivers.runtime import CanExec, CanLog, CanMeasure, CanTop, LogRequest
from zun.work.context import Means

#: Seconds between the two samples that a use of CPU is made of: long enough for several of the kernel's accounting
#: periods (0.1 s where a container has a cap), short enough to wait for.
_BETWEEN = 0.5

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
        "make_exec": _make_exec,
        "resize_exec": _resize_exec,
        "resize": _resize,
        "top": _top,
        "stats": _stats,
        "get_archive": archives.get_archive,
        "put_archive": archives.put_archive,
        "image_search": _image_search,
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
            if isinstance(exc, (errors.NotFound, errors.Conflict)) and "uuid" in arguments:
                doubt(arguments["uuid"])
            raise refused(exc) from exc
        except Exception as exc:
            code = uuids.uuid4().hex[:12]
            LOG.exception("defect %s answering %s", code, name)
            raise Refused(Why.UNKNOWN, f"Internal error, code {code}.") from exc

    return answer


def refused(error: errors.DriverError) -> Refused:
    """A driver's error as it crosses the bus."""
    why = next(_WHY[kind] for kind in type(error).__mro__ if kind in _WHY)
    return Refused(why, error.public)


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
    stdin = arguments.get("stdin")
    result = runtime.execute(
        arguments["uuid"],
        arguments["command"],
        arguments["limit"],
        deadline,
        None if stdin is None else stdin.encode(),
    )
    return asdict(result)


def _make_exec(means: Means, arguments: Mapping[str, Any], deadline: Deadline) -> str:
    return _entering(means).make_exec(
        arguments["uuid"],
        arguments["command"],
        tty=arguments["tty"],
        stdin=arguments["stdin"],
        deadline=deadline,
    )


def _resize_exec(means: Means, arguments: Mapping[str, Any], deadline: Deadline) -> None:
    _entering(means).resize_exec(
        arguments["uuid"], arguments["exec_id"], arguments["h"], arguments["w"], deadline
    )


def _resize(means: Means, arguments: Mapping[str, Any], deadline: Deadline) -> None:
    runtime = means.runtime
    if not isinstance(runtime, CanResize):
        raise errors.Unsupported("The runtime of this host has no terminals.")
    runtime.resize(arguments["uuid"], arguments["h"], arguments["w"], deadline)


def _entering(means: Means) -> CanOpenExec:
    runtime = means.runtime
    if not isinstance(runtime, CanOpenExec):
        raise errors.Unsupported("The runtime of this host can't be entered.")
    return runtime


def _top(means: Means, arguments: Mapping[str, Any], deadline: Deadline) -> Mapping[str, Any]:
    runtime = means.runtime
    if not isinstance(runtime, CanTop):
        raise errors.Unsupported("The runtime of this host can't list processes.")
    found = runtime.top(arguments["uuid"], arguments["arguments"], deadline)
    return {"titles": list(found.titles), "rows": [list(row) for row in found.rows]}


def _stats(means: Means, arguments: Mapping[str, Any], deadline: Deadline) -> Mapping[str, Any]:
    """What is used now: the CPU by two samples, the rest by the newer one."""
    runtime = means.runtime
    if not isinstance(runtime, CanMeasure):
        raise errors.Unsupported("The runtime of this host can't measure.")
    first = runtime.measure(arguments["uuid"], deadline)
    time.sleep(deadline.left(_BETWEEN))
    second = runtime.measure(arguments["uuid"], deadline)
    used = max(second.cpu - first.cpu, 0.0)  # less than before: it was started anew in between
    answer = asdict(second)
    answer["cpu"] = used / max(answer.pop("at") - first.at, 1e-6)
    return answer


def _image_search(
    means: Means, arguments: Mapping[str, Any], deadline: Deadline
) -> Sequence[Mapping[str, Any]]:
    source = means.images.get("docker")
    if source is None:
        raise errors.Unsupported("This host has no image driver that can search.")
    return source.search(arguments["term"], arguments["limit"], deadline)
