"""The one door to the Docker engine: lazy connection, negotiated version, time-outs, and the sorting of its errors."""

from __future__ import annotations

import contextlib
import json
import logging
import re
import socket
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

import docker
import docker.errors
import requests
import requests.adapters
import urllib3.exceptions
from docker.transport.unixconn import UnixHTTPAdapter

from zun.drivers import errors
from zun.drivers.deadline import Deadline
from zun.drivers.docker.transport import Adapter

log = logging.getLogger(__name__)

DEFAULT_URL = "unix:///var/run/docker.sock"

#: Status code -> error. 403 is libnetwork's "forbidden": address taken, pool overlaps, endpoints still active.
_BY_STATUS: Mapping[int, type[errors.DriverError]] = {
    403: errors.Conflict,
    404: errors.NotFound,
    406: errors.Conflict,
    408: errors.Unavailable,
    409: errors.Conflict,
    429: errors.Unavailable,
    501: errors.Unsupported,
}

#: The one trouble of an engine's own that asking again does not mend, and that it has no code for.
_FULL = "no space left on device"

_PATH = re.compile(r"(?<![\w/.$}>)])/[^\s\"':,()\[\]]+")
_ID = re.compile(r"\b[0-9a-f]{64}\b")


def clean(text: str) -> str:
    """An engine's message without what users may not see: absolute paths (of the host, perhaps) and long ids."""
    return _ID.sub(lambda m: m.group()[:12], _PATH.sub("(path)", text)).strip()


def sorted_error(what: str, status: int | None, explanation: str) -> errors.DriverError:
    """The driver error for an engine's refusal; `what` names the call ("create the container")."""
    if _FULL in explanation:
        kind: type[errors.DriverError] = errors.Lacking
    elif status is None or status >= 500:
        kind = _BY_STATUS.get(status or 500, errors.Unavailable)
    else:
        kind = _BY_STATUS.get(status, errors.Rejected)
    return kind(f"cannot {what}: {clean(explanation) or 'the container engine gave no reason'}")


def answered(error: errors.DriverError) -> bool:
    """Whether the engine did answer, with words of its own, and is not merely away."""
    return bool(getattr(error.__cause__, "explanation", None))


class Client(docker.APIClient):
    """The SDK's client with a time-out a call: the SDK has one for all, or none at all for streams."""

    def __init__(self, url: str, timeout: float, pool: int) -> None:
        self._budget = threading.local()
        self._default = timeout
        super().__init__(
            base_url=url, version="auto", timeout=max(1, int(timeout)), max_pool_size=pool
        )
        # No proxy and no ~/.netrc of the operator's has a say on a unix socket; asking costs 0.3 ms a call.
        self.trust_env = False

    def mount(self, prefix: str | bytes, adapter: requests.adapters.BaseAdapter) -> None:
        """As `requests.Session.mount`, with our own transport in place of the SDK's."""
        super().mount(prefix, Adapter(adapter) if isinstance(adapter, UnixHTTPAdapter) else adapter)

    def request(
        self, method: str | bytes, url: str | bytes, *args: Any, **kwargs: Any
    ) -> requests.Response:
        """As `requests.Session.request`, with the time-out `limit` set for this thread (seconds, None = none)."""
        kwargs["timeout"] = getattr(self._budget, "seconds", self._default)
        return super().request(method, url, *args, **kwargs)

    @contextlib.contextmanager
    def limit(self, seconds: float | None) -> Iterator[None]:
        """Sets the read time-out of this thread's calls inside the block."""
        before = getattr(self._budget, "seconds", self._default)
        self._budget.seconds = seconds
        try:
            yield
        finally:
            self._budget.seconds = before

    def open(self, method: str, path: str, **kwargs: Any) -> Stream:
        """Begins a call whose answer is read piecemeal. Raises docker.errors.APIError on a refusal."""
        url = f"{self.base_url}/v{self.api_version}{path}"
        response = self.request(method, url, stream=True, **kwargs)
        if response.status_code >= 400:
            with response:
                raise _refusal(response)
        return Stream(response)


def _refusal(response: requests.Response) -> docker.errors.APIError:
    try:
        explanation = str(response.json()["message"])
    except (ValueError, KeyError, TypeError):
        explanation = response.text.strip()
    return docker.errors.APIError("refused", response=response, explanation=explanation)


class Stream:
    """An answer that is still coming. `end` may be called from any thread; `close` by the reader."""

    def __init__(self, response: requests.Response) -> None:
        self._response = response
        self.content_type = response.headers.get("Content-Type", "")

    def header(self, name: str) -> str:
        """A header of the answer; "" if it has none."""
        return str(self._response.headers.get(name, ""))

    def _socket(self) -> socket.socket | None:
        # No public way leads from a response to its socket (urllib3 2.3 has shutdown(), older ones don't).
        reader = getattr(getattr(self._response.raw, "_fp", None), "fp", None)
        found = getattr(getattr(reader, "raw", None), "_sock", None)
        return found if isinstance(found, socket.socket) else None

    def read(self, size: int) -> bytes:
        """Exactly `size` bytes, fewer only at the end."""
        data: bytes = self._response.raw.read(size) or b""
        while data and len(data) < size:
            more = self._response.raw.read(size - len(data))
            if not more:
                break
            data += more
        return data

    def chunks(self) -> Iterator[bytes]:
        """The pieces as the engine sent them (chunked answers), until the end."""
        yield from self._response.iter_content(None)

    def lines(self) -> Iterator[dict[str, Any]]:
        """The JSON objects of an answer that has one a line, as they come."""
        rest = b""
        for chunk in self.chunks():
            *whole, rest = (rest + chunk).split(b"\n")
            for line in whole:
                if line.strip():
                    yield json.loads(line)
        with contextlib.suppress(ValueError):  # broken off in the middle of a line
            if rest.strip():
                yield json.loads(rest)

    def timeout(self, seconds: float | None) -> None:
        """Sets the time-out of the next reads, in seconds; None = none."""
        if (sock := self._socket()) is not None:
            sock.settimeout(seconds)

    def end(self) -> None:
        """Makes a read blocked in another thread, and all later ones, see the end of the answer."""
        if (sock := self._socket()) is not None:
            with contextlib.suppress(OSError):
                sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Gives the connection back, or ends it if the answer was not read to its end."""
        with contextlib.suppress(OSError, urllib3.exceptions.HTTPError):
            self._response.close()

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


class Engine:
    """A Docker engine on this host; shared by the drivers and safe from several threads.

    url: a unix socket ("unix:///var/run/docker.sock"); nothing else, for an engine's socket is root.
    timeout: seconds the engine may be silent in an ordinary call. pool: connections kept open.
    """

    def __init__(self, url: str = DEFAULT_URL, *, timeout: float = 60.0, pool: int = 64) -> None:
        if not url.startswith("unix://"):
            raise ValueError("the container engine must be named by a unix socket (unix:///path)")
        self._url, self._timeout, self._pool = url, timeout, pool
        self._lock = threading.Lock()
        self._client: Client | None = None
        self._epoch = 0

    @property
    def socket_path(self) -> str:
        """The path of the unix socket."""
        return self._url.removeprefix("unix://")

    @property
    def epoch(self) -> int:
        """Grows whenever what was learnt of the engine may be out of date."""
        return self._epoch

    def doubt(self) -> None:
        """Says that something we thought the engine has was not there."""
        with self._lock:
            self._epoch += 1

    def reset(self) -> None:
        """Forgets the connections and the negotiated version; the next call begins anew."""
        with self._lock:
            client, self._client = self._client, None
            self._epoch += 1
        if client is not None:
            client.close()

    close = reset

    @staticmethod
    def pause(deadline: Deadline, seconds: float = 0.05) -> None:
        """A moment's wait for what another thread or the engine has just begun and tells of in no other way."""
        time.sleep(deadline.left(seconds))

    def _connected(self, seconds: float) -> Client:
        client = self._client
        if client is None:
            with self._lock:
                if self._client is None:
                    self._client = Client(self._url, seconds, self._pool)
                client = self._client
        return client

    @contextlib.contextmanager
    def call(
        self,
        what: str,
        deadline: Deadline | None = None,
        *,
        extra: float = 0.0,
        most: float | None = None,
    ) -> Iterator[Client]:
        """A client for the block; whatever the SDK raises there comes out as one of `drivers.errors`.

        what: completes "cannot ..." in texts for users. Silence of the engine is borne for `most` seconds (by default
        the engine's time-out) plus `extra`, never beyond the deadline.
        """
        seconds = (self._timeout if most is None else most) + extra
        if deadline is not None:
            seconds = deadline.left(seconds)
        try:
            client = self._connected(seconds)
            with client.limit(seconds):
                yield client
        except docker.errors.APIError as e:
            if _outdated(client, e):
                self.reset()
                raise errors.Unavailable(
                    f"cannot {what}: the container engine is another now"
                ) from e
            raise sorted_error(what, e.status_code, str(e.explanation or "")) from e
        except docker.errors.InvalidVersion as e:
            raise errors.Unsupported(f"cannot {what}: this container engine is too old") from e
        except (
            docker.errors.DockerException,
            requests.RequestException,
            urllib3.exceptions.HTTPError,
            OSError,
        ) as e:
            if _timed_out(e):
                raise errors.TimedOut(
                    f"cannot {what}: the container engine did not answer in time"
                ) from e
            self.reset()
            raise errors.Unavailable(f"cannot {what}: the container engine does not answer") from e


def _outdated(client: Client, error: docker.errors.APIError) -> bool:
    """Whether the engine was exchanged for one that may not speak the version we negotiated with the old one."""
    speaks = error.response.headers.get("Api-Version") if error.response is not None else None
    return error.status_code == 400 and speaks is not None and speaks != client.api_version


def _timed_out(error: BaseException | None) -> bool:
    """Whether an exception of the SDK, requests or urllib3 is, at its root, a read that took too long."""
    seen = 0
    while error is not None and seen < 10:
        if isinstance(
            error, requests.ReadTimeout | urllib3.exceptions.ReadTimeoutError | TimeoutError
        ):
            return True
        inner = error.args[0] if error.args and isinstance(error.args[0], BaseException) else None
        error = inner or error.__cause__ or error.__context__
        seen += 1
    return False
