"""Between a client and a database server: forwards all bytes, until it is told to lose an answer."""

from __future__ import annotations

import contextlib
import socket
import threading
from pathlib import Path
from typing import Any


class Relay:
    """Listens on a unix socket, `path`, for a server on another, `server`.

    After `lose_commit()`, the next COMMIT of something written is forwarded, and once the server has answered it
    both ends are closed: it is done, and whoever asked for it does not know.
    `lead_to(server)` is what a proxy before several servers does when the one it leads to is lost.
    """

    def __init__(self, path: Path, server: Path) -> None:
        self._server = server
        self._armed = threading.Event()
        self.lost = 0
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(path))
        self._listener.listen(50)
        self._open: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def lose_commit(self) -> None:
        """See the class."""
        self._armed.set()

    def lead_to(self, server: Path) -> None:
        """See the class. What was connected is cut off."""
        self._server = server
        _end(*self._open)

    def close(self) -> None:
        """Ends all."""
        for end in [self._listener, *self._open]:
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def __enter__(self) -> Relay:
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            self._open += [client, server]
            try:
                server.connect(str(self._server))
            except OSError:
                client.close()
                server.close()
                continue
            losing = threading.Event()
            threading.Thread(target=self._ask, args=(client, server, losing), daemon=True).start()
            threading.Thread(
                target=self._answer, args=(client, server, losing), daemon=True
            ).start()

    def _ask(self, client: socket.socket, server: socket.socket, losing: threading.Event) -> None:
        wrote = False
        with contextlib.suppress(OSError):
            while data := client.recv(65536):
                wrote = wrote or b"INSERT" in data or b"UPDATE" in data or b"DELETE" in data
                if wrote and b"COMMIT" in data and self._armed.is_set():
                    self._armed.clear()
                    losing.set()
                server.sendall(data)
        _end(client, server)

    def _answer(
        self, client: socket.socket, server: socket.socket, losing: threading.Event
    ) -> None:
        with contextlib.suppress(OSError):
            while data := server.recv(65536):
                if losing.is_set():
                    self.lost += 1
                    break
                client.sendall(data)
        _end(client, server)


def _end(*ends: socket.socket) -> None:
    for end in ends:
        with contextlib.suppress(OSError):
            end.shutdown(socket.SHUT_RDWR)
