"""Serving HTTP within a process of ours, by waitress (decision 0001)."""

from __future__ import annotations

import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from oslo_config import cfg
from waitress.server import BaseWSGIServer, create_server

if TYPE_CHECKING:
    from _typeshed.wsgi import WSGIApplication

#: How many times the API's bound a body may be before the server itself cuts it off.
_BODY_SLACK = 16

#: Seconds that requests in progress have when the server ends.
_LAST_ANSWERS = 5.0


class ApiServer:
    """The API's HTTP server in a thread of its own, as [api] says. Raises OSError: the address can't be had."""

    def __init__(self, app: WSGIApplication, conf: cfg.ConfigOpts) -> None:
        sockets: dict[int, Any] = {}
        self._server = create_server(
            app,
            map=sockets,
            host=conf.api.host_ip,
            port=conf.api.port,
            threads=conf.api.threads,
            ident=None,
            expose_tracebacks=False,
            # select() ends at 1,024 descriptors, and long-lived answers may have taken those below.
            asyncore_use_poll=True,
            # The server takes in a body before the API may judge it: past this it stops, with words of its own.
            max_request_body_size=max(
                _BODY_SLACK * conf.api.max_request_body_size, 2 * conf.api.max_archive_size
            ),
        )
        # One a socket that is listened on; the map has their helpers, too.
        self._doors: list[Any] = [
            each for each in sockets.values() if isinstance(each, BaseWSGIServer)
        ]
        # A daemon: it never ends by itself, and what it still holds in the end are idle connections.
        self._thread = threading.Thread(target=self._server.run, name="http", daemon=True)

    def start(self) -> None:
        """Begins to serve; the port is bound already."""
        self._thread.start()

    def stop(self) -> None:
        """Ends: requests in progress are answered, no new ones are taken."""
        end = time.monotonic() + _LAST_ANSWERS
        while True:
            # Its sockets are closed in its own thread, which may be waiting for them just now.
            for door in self._doors:
                door.trigger.pull_trigger(partial(self._close, door))
            if not any(door.active_channels for door in self._doors) or time.monotonic() > end:
                return
            time.sleep(0.01)

    @staticmethod
    def _close(door: Any) -> None:
        door.del_channel()
        door.socket.close()
        for channel in list(door.active_channels.values()):
            if not channel.requests:
                channel.close_when_flushed = True
