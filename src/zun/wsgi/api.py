"""`application`: the HTTP API for uWSGI, gunicorn, mod_wsgi and their like.

Importing it reads and checks the configuration and no more, so that a server may import it before it forks: the first
request of each process makes its connections and threads. Which files are read: those named by the variable
OS_ZUN_CONFIG_FILES, separated by `:` or `;`, else the usual places.
"""

from __future__ import annotations

import atexit
import logging
import os
import re
import threading
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING

from zun.api.errors import render, status_line
from zun.cmd import arguments, process
from zun.cmd.api import Application, build
from zun.cmd.metrics import serve_shared
from zun.conf import load
from zun.service.errors import Unavailable

if TYPE_CHECKING:
    from _typeshed.wsgi import StartResponse, WSGIEnvironment

LOG = logging.getLogger(__name__)

FILES = "OS_ZUN_CONFIG_FILES"
#: Seconds between two tries to begin.
_AGAIN = 1.0


class Lazy:
    """The application, begun at the first request of each process. Raises ConfigError, CannotServe at once."""

    def __init__(self) -> None:
        files = [name for name in re.split("[:;]", os.environ.get(FILES, "")) if name]
        self._conf = load(files or None, prog="zun-api")
        arguments.start_logging(self._conf)
        process.refuse_patched()
        if self._conf.api.auth_strategy == "noauth":
            raise arguments.CannotServe(
                "[api] auth_strategy = noauth makes everybody the administrator, and a WSGI server may listen "
                "anywhere: it is for zun-standalone and zun-api on loopback"
            )
        self._lock = threading.Lock()
        self._made: Application | None = None
        self._pid = 0
        self._failed_at = 0.0

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        made = self._made
        # A process that has forked since is another one: its parent's threads are not in it.
        if made is None or self._pid != os.getpid():
            made = self._begin()
        if made is None:
            body = render(Unavailable("The service can't begin yet; its log says why. Ask again."))
            headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
            start_response(status_line(503), headers)
            return [body]
        return made.wsgi(environ, start_response)

    def _begin(self) -> Application | None:
        with self._lock:
            if self._made is not None and self._pid == os.getpid():
                return self._made
            if time.monotonic() - self._failed_at < _AGAIN:
                return None
            try:
                made = build(self._conf)
                made.base.start()
            except Exception as exc:
                self._failed_at = time.monotonic()
                expected = isinstance(exc, arguments.EXPECTED)
                LOG.error("can't begin: %s", exc, exc_info=None if expected else exc)
                return None
            serve_shared(self._conf)
            atexit.register(made.base.stop)
            LOG.info("%s serves, process %d", made.base.name, os.getpid())
            self._made, self._pid = made, os.getpid()
            return made


application = Lazy()
