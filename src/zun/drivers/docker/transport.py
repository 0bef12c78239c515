"""The SDK's transport over a unix socket, with two things mended.

The SDK (7.x) keeps a pool of connections for every URL, so that hardly any call finds one it can use again; here there
is one pool. And it leaves the socket of a connection that did not come about to the garbage collector, which warns of
it; the engine being away is an ordinary day here.
"""

from __future__ import annotations

import socket
from typing import Any

from docker.transport.unixconn import (
    UnixHTTPAdapter,
    UnixHTTPConnection,
    UnixHTTPConnectionPool,
)


class _Connection(UnixHTTPConnection):
    def connect(self) -> None:
        sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            sock.settimeout(self.timeout)
            sock.connect(self.unix_socket)
        except BaseException:
            sock.close()
            raise
        self.sock = sock


class _Pool(UnixHTTPConnectionPool):
    def _new_conn(self) -> Any:
        # urllib3 sets the time-out of each request on the connection it gets here.
        return _Connection(self.base_url, self.socket_path)


class Adapter(UnixHTTPAdapter):
    """As the SDK's; `like` is the one it made, whose settings it takes over."""

    def __init__(self, like: UnixHTTPAdapter) -> None:
        super().__init__(
            f"http+unix://{like.socket_path}", like.timeout, max_pool_size=like.max_pool_size
        )

    def get_connection(self, url: Any, proxies: Any = None) -> _Pool:
        with self.pools.lock:
            pool: _Pool | None = self.pools.get(self.socket_path)
            if pool is None:
                pool = _Pool(
                    "http+docker://localhost", self.socket_path, self.timeout, self.max_pool_size
                )
                self.pools[self.socket_path] = pool
            return pool
