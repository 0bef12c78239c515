"""The ASGI application: a path and a ticket to a handler, and errors in the API's words."""

from __future__ import annotations

import asyncio
import logging
import re
import time
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from typing import Any
from urllib.parse import parse_qs

from zun.bus import Refused
from zun.service.errors import Invalid, NotFound, ServiceError, of_database
from zun.service.later import Later, Ticket
from zun.store.errors import DatabaseError
from zun.streams.exchange import Exchange, Send, Stalled
from zun.streams.handlers import Handlers
from zun.streams.hub import Ended, Hub
from zun.streams.metrics import StreamMetrics

LOG = logging.getLogger(__name__)
ACCESS = logging.getLogger("zun.access")

Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Handler = Callable[[Exchange, Ticket, Mapping[str, str]], Awaitable[None]]
RenderError = Callable[[ServiceError], bytes]

_UUID = "[0-9a-f-]{36}"


class StreamApp:
    """See the module. `broken` is called with each answer that is broken off, for the server says so too."""

    def __init__(
        self,
        hub: Hub,
        later: Later,
        handlers: Handlers,
        metrics: StreamMetrics,
        render_error: RenderError,
    ) -> None:
        self._hub = hub
        self._later = later
        self._metrics = metrics
        self._render_error = render_error
        self._routes: list[tuple[str, str, re.Pattern[str], Handler]] = [
            ("events", "GET", re.compile(r"/v1/(events)"), handlers.events),
            ("wait", "GET", re.compile(rf"/v1/(containers/{_UUID})"), handlers.wait),
            ("logs", "GET", re.compile(rf"/v1/(containers/{_UUID}/logs)"), handlers.logs),
            ("execute", "POST", re.compile(rf"/v1/(containers/{_UUID}/execute)"), handlers.execute),
        ]

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Serves one request; what it holds is let go as soon as the client leaves."""
        exchange = Exchange(send)
        work = asyncio.create_task(self._serve(scope, exchange))
        left = asyncio.create_task(_left(receive))
        try:
            await asyncio.wait((work, left), return_when=asyncio.FIRST_COMPLETED)
        finally:
            left.cancel()
            work.cancel()
            await asyncio.gather(work, left, return_exceptions=True)

    async def _serve(self, scope: MutableMapping[str, Any], exchange: Exchange) -> None:
        begun, kind, ticket, how = time.monotonic(), "none", None, "left"
        try:
            kind, path, handler = self._route(scope)
            ticket = await self._hub.in_thread(self._later.take, _ticket(scope), path)
            with self._metrics.open.labels(kind).track_inprogress():
                await handler(exchange, ticket, _headers(ticket))
            how = "done"
        except (ServiceError, DatabaseError) as error:
            how = "refused"
            refusal = of_database(error) if isinstance(error, DatabaseError) else error
            if not exchange.status:
                await exchange.answer(refusal.status, self._render_error(refusal), _headers(ticket))
        except (Ended, Stalled, Refused) as error:
            how = type(error).__name__.lower()
        except Exception:
            how = "defect"
            LOG.exception("unforeseen error in a stream of kind %s", kind)
            if not exchange.status:
                await exchange.answer(500, self._render_error(_Defect()), _headers(ticket))
        finally:
            self._metrics.ended.labels(kind, how).inc()
            self._metrics.bytes.labels(kind).inc(exchange.sent)
            _log(scope, exchange, ticket, how, time.monotonic() - begun)

    def _route(self, scope: Mapping[str, Any]) -> tuple[str, str, Handler]:
        for kind, method, pattern, handler in self._routes:
            match = pattern.fullmatch(scope["path"])
            if match and scope["method"] == method:
                return kind, match[1], handler
        raise NotFound("Only long-lived answers are served here, by ticket.", slug="")


class _Defect(ServiceError):
    def __init__(self) -> None:
        super().__init__("The service failed unexpectedly; the cause is in its log.")


def _ticket(scope: Mapping[str, Any]) -> str:
    try:
        given = parse_qs(scope["query_string"].decode("ascii"), max_num_fields=20).get("ticket", [])
    except ValueError:
        raise Invalid("query: can't be read") from None
    return given[-1] if given else ""


def _headers(ticket: Ticket | None) -> dict[str, str]:
    return {} if ticket is None else dict(ticket.content["headers"])


async def _left(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


def _log(
    scope: Mapping[str, Any], exchange: Exchange, ticket: Ticket | None, how: str, seconds: float
) -> None:
    # Never the query: it has the ticket.
    ACCESS.info(
        "%s %s status=%d bytes=%d seconds=%.3f ended=%s project=%s request=%s",
        scope["method"], repr(scope["path"])[1:-1][:300], exchange.status, exchange.sent, seconds, how,
        ticket.project_id if ticket else "-",
        _headers(ticket).get("x-openstack-request-id", "-"),
    )  # fmt: skip
