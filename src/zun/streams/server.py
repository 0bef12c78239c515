"""The server of long-lived answers: an event loop in a thread of its own, on a port of its own."""

from __future__ import annotations

import asyncio
import logging
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import uvicorn
from prometheus_client import CollectorRegistry

from zun.bus import Bus
from zun.bus.listening import BACKLOG, bound
from zun.service.later import Later
from zun.store.database import Database
from zun.streams.app import RenderError, StreamApp
from zun.streams.handlers import Handlers, Render, Sources
from zun.streams.hub import Hub
from zun.streams.metrics import StreamMetrics
from zun.work.clock import Clock

LOG = logging.getLogger(__name__)

#: The queue that is nudged when events were added.
EVENTS_QUEUE = "@events"

_QUERY_THREADS = 4


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamSettings:
    """The operator's choices. `blocking`: followed logs and long commands at once."""

    connections: int = 4096
    blocking: int = 64
    poll: float = 2.0


class _Quiet(logging.Filter):
    """An answer that is broken off on purpose is no error of the application, as uvicorn takes it to be."""

    def filter(self, record: logging.LogRecord) -> bool:
        return "without completing response" not in record.getMessage()


class StreamServer:
    """Bind, `start`, `stop`. `port` is the one it got."""

    def __init__(
        self,
        db: Database,
        bus: Bus,
        later: Later,
        sources: Sources,
        render: Render,
        render_error: RenderError,
        settings: StreamSettings,
        registry: CollectorRegistry,
        clock: Clock,
        *,
        host: str,
        port: int,
    ) -> None:
        """Raises OSError: the address can't be had."""
        self._socket = bound(host, port)
        self.port: int = self._socket.getsockname()[1]
        self._settings = settings
        self._queries = ThreadPoolExecutor(_QUERY_THREADS, thread_name_prefix="stream-query")
        metrics = StreamMetrics(registry)
        self.hub = Hub(db, self._queries, metrics, clock, poll=settings.poll)
        self._handlers = Handlers(db, self.hub, sources, render, settings.blocking)
        self._app = StreamApp(self.hub, later, self._handlers, metrics, render_error)
        self._thread = threading.Thread(target=self._run, name="streams", daemon=True)
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._server: uvicorn.Server | None = None
        bus.listen(EVENTS_QUEUE, self.hub.wake)
        db.on_events(lambda: bus.nudge(EVENTS_QUEUE))

    def start(self) -> None:
        """Begins to serve."""
        self._thread.start()
        self._ready.wait(10)

    @property
    def alive(self) -> bool:
        """Whether it serves."""
        return self._thread.is_alive()

    def stop(self, seconds: float) -> None:
        """Ends within `seconds`: event streams and waits are told, followed logs broken off, commands killed."""
        loop, server = self._loop, self._server
        if loop is not None and server is not None and self.alive:
            server.config.timeout_graceful_shutdown = max(1, int(seconds) - 1)
            loop.call_soon_threadsafe(self._end, server)
            self._thread.join(seconds)
        self._socket.close()
        self._queries.shutdown(wait=False, cancel_futures=True)

    def _end(self, server: uvicorn.Server) -> None:
        server.should_exit = True
        self.hub.end()
        self._handlers.end()

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except Exception:
            LOG.exception("long-lived answers are served no more")
        finally:
            self._ready.set()

    async def _serve(self) -> None:
        config = uvicorn.Config(
            self._app,
            loop="asyncio",
            http="httptools",
            ws="none",
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            limit_concurrency=self._settings.connections,
            backlog=BACKLOG,
        )
        logging.getLogger("uvicorn.error").addFilter(_Quiet())
        await self.hub.begin()
        reader = asyncio.create_task(self.hub.run())
        self._server = uvicorn.Server(config)
        self._loop = asyncio.get_running_loop()
        self._loop.call_soon(self._ready.set)
        await self._server.serve(sockets=[self._socket])
        self.hub.end()
        await reader
