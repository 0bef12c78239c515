"""One session: bytes between the client's connection and a driver's stream, and how it ends."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import socket
from collections.abc import Callable, Coroutine, Mapping
from concurrent.futures import Executor
from functools import partial
from typing import Any

from zun.bus.channel import CLOSE, DATA, OPEN_SECONDS, RESIZE, Broken, End, Frame, Wire
from zun.bus.channel import STDERR as STDERR_FRAME
from zun.compute.opening import Opened, Opener, status_of
from zun.drivers import errors
from zun.drivers.bytestreams import STDERR, STDOUT, Outcome, Pieces
from zun.drivers.deadline import Deadline
from zun.model.session import StreamKind, StreamRequest, Why
from zun.store.errors import DatabaseError

LOG = logging.getLogger(__name__)

_PIECE = 64 * 1024
_SETTLES = 5.0  # seconds in which the engine says how a stream ended
_LOOK = 0.5  # seconds of one look whether a command whose output ended has ended too
_LOOK_AGAIN = 2.0
_SIZE = 65535  # rows or columns of a terminal at most

#: An archive that nobody reads on, or writes on, holds up its container: the engine locks it meanwhile.
STALL = 60.0
_LOCKING = frozenset({StreamKind.GET_ARCHIVE, StreamKind.PUT_ARCHIVE})

_WORDS = {
    Why.STOPPED: "The container ended.",
    Why.REMOVED: "The container was removed.",
}


class Left(Exception):
    """The client went away."""


class Relay:
    """Runs one session in the event loop; `cut` and `tick` are called there too.

    now: monotonic seconds. executor: for what blocks, the driver's part.
    """

    def __init__(
        self,
        wire: Wire,
        request: StreamRequest,
        opened: Opened,
        opener: Opener,
        executor: Executor,
        now: Callable[[], float],
    ) -> None:
        self._wire = wire
        self._request = request
        self._opened = opened
        self._stream = opened.stream
        self._opener = opener
        self._executor = executor
        self._now = now
        self._began = self._last = now()
        self._idle: float | None = request.idle_limit
        if request.kind in _LOCKING:
            self._idle = min(STALL, request.idle_limit or STALL)
        self._feeding = False
        self._loop = asyncio.get_running_loop()
        self._cut: asyncio.Future[End] = self._loop.create_future()

    # -- its ends ------------------------------------------------------------------------------------------------

    def cut(self, end: End) -> None:
        """Ends it for a reason of ours."""
        if not self._cut.done():
            self._cut.set_result(end)

    def tick(self) -> None:
        """Looks whether one of its limits is reached; called now and then."""
        if self._feeding and not self._cut.done() and self._wire.hung_up():
            # Nobody reads the connection while the process does not take what came before.
            self._cut.set_exception(Left())
            return
        now, request, opened = self._now(), self._request, self._opened
        took = now - self._began
        if opened.timeout is not None and took >= opened.timeout:
            reason = f"The command did not end within {opened.timeout:g} s and was killed."
            self.cut(End(why=Why.KILLED, reason=reason))
        elif request.session_limit is not None and took >= request.session_limit:
            reason = f"A session may take {request.session_limit} s."
            self.cut(End(why=Why.LIMIT, reason=reason))
        elif self._idle is not None and now - self._last >= self._idle:
            reason = f"Nothing came or went for {self._idle:g} s."
            self.cut(End(why=Why.IDLE, reason=reason))

    async def run(self, facts: Mapping[str, Any]) -> End:
        """The session, from its opening line to its end. Raises Left. What it holds is let go, whatever comes out."""
        ended = False
        try:
            await self._greet(facts)
            end = await self._relayed()
            ended = end.why in (Why.EXITED, Why.STOPPED, Why.REMOVED)
            return end
        finally:
            self._cut.cancel()
            self._stream.sock.close()
            await self._clear(ended)

    async def _greet(self, facts: Mapping[str, Any]) -> None:
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                await self._wire.send_line({"ok": True, **facts})
        except (Broken, TimeoutError) as exc:
            raise Left from exc

    async def _relayed(self) -> End:
        down = asyncio.create_task(self._down())
        up = asyncio.create_task(self._up())
        tasks: list[asyncio.Future[Any]] = [down, up, self._cut]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
            if self._cut.done():
                return self._cut.result()
            if up.done() and not down.done():
                up.result()
            return await self._first(self._judge(down), up)
        finally:
            for task in (down, up):
                task.cancel()
            await asyncio.gather(down, up, return_exceptions=True)

    async def _first(self, judging: Coroutine[Any, Any, End], up: asyncio.Task[None]) -> End:
        """How it ended, unless the client leaves before that is known, or it is cut."""
        task = asyncio.create_task(judging)
        try:
            waiting: list[asyncio.Future[Any]] = [task, self._cut]
            if not up.done():
                waiting.append(up)
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            if task.done():
                return task.result()
            if self._cut.done():
                return self._cut.result()
            up.result()
            raise Left
        finally:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    async def _clear(self, ended: bool) -> None:
        """What becomes of the command: one that is bound to its client goes with it."""
        opened = self._opened
        if not opened.bound or opened.exec_id is None:
            return
        kill = partial(self._opener.kill, self._request.container_uuid, opened.exec_id)
        left = 0.0 if opened.timeout is None else self._began + opened.timeout - self._now()
        if ended:
            await self._act(partial(self._opener.forget, opened.exec_id))
        elif opened.kill_on_close or left <= 0:
            await self._act(kill)
        else:
            # Its client need not wait for it, but its time is bounded all the same.
            self._loop.call_later(left, lambda: self._executor.submit(kill))

    async def _act(self, act: Callable[[], None]) -> None:
        try:
            # Shielded: a command must not outlive its client because the service stops at this moment.
            await asyncio.shield(self._loop.run_in_executor(self._executor, act))
        except (errors.DriverError, DatabaseError) as exc:
            # It stays on record: it is killed with the next listing, when the engine answers again.
            LOG.warning("a command whose client has left could not be killed: %s", exc)

    async def _judge(self, down: asyncio.Task[None]) -> End:
        """How a stream ended whose output did."""
        try:
            await down
            outcome = await self._outcome()
            await self._tell(((STDOUT, outcome.output),))
        except errors.Unavailable as exc:
            return End(why=Why.ENGINE, reason=exc.public)
        except errors.DriverError as exc:
            return End(why=Why.ERROR, reason=exc.public, status=status_of(exc))
        words = _WORDS.get(outcome.why, "")
        return End(why=outcome.why, exit_code=outcome.exit_code, reason=words)

    async def _outcome(self) -> Outcome:
        seconds = _SETTLES
        while True:
            try:
                look = partial(self._stream.outcome, Deadline(seconds))
                return await self._loop.run_in_executor(self._executor, look)
            except errors.TimedOut:
                # Its output ended, but it goes on. No thread waits for it.
                seconds = _LOOK
                await asyncio.sleep(_LOOK_AGAIN)

    # -- bytes ---------------------------------------------------------------------------------------------------

    async def _down(self) -> None:
        """From the stream to the client, until the stream ends. Raises Left, Unavailable."""
        sock, decode = self._stream.sock, self._stream.decode
        await self._tell(self._stream.begun)
        while True:
            try:
                data = await self._loop.sock_recv(sock, _PIECE)
            except OSError:
                data = b""  # how it ended is asked for
            if not data:
                return
            await self._tell(decode(data))
            # Whoever always has something more does not keep the others waiting.
            await asyncio.sleep(0)

    async def _tell(self, pieces: Pieces) -> None:
        try:
            for kind, piece in pieces:
                if piece:
                    self._last = self._now()
                    await self._wire.send(STDERR_FRAME if kind == STDERR else DATA, piece)
        except Broken as exc:
            raise Left from exc

    async def _up(self) -> None:
        """From the client to the stream, until the client leaves: Left. Input that nobody reads is dropped."""
        taken = True
        while True:
            try:
                frame = await self._wire.receive()
            except Broken as exc:
                raise Left from exc
            if frame is None:
                raise Left
            self._last = self._now()
            if frame.kind == RESIZE:
                await self._resize(frame)
            elif taken and frame.kind in (DATA, CLOSE):
                taken = await self._feed(frame)
            elif frame.kind not in (DATA, CLOSE):
                raise Left  # not what a client of ours says
            await asyncio.sleep(0)

    async def _feed(self, frame: Frame) -> bool:
        """Passes input on; whether more may follow."""
        stream = self._stream
        data = stream.encode(frame.payload) if frame.kind == DATA else stream.input_end
        try:
            if data:
                self._feeding = True
                await self._loop.sock_sendall(stream.sock, data)
                self._feeding = False
            if frame.kind == CLOSE and stream.half_close:
                stream.sock.shutdown(socket.SHUT_WR)
        except OSError:
            return False  # it reads no more; its end comes the other way
        return frame.kind == DATA

    async def _resize(self, frame: Frame) -> None:
        try:
            size = json.loads(frame.payload)
            rows, columns = size["h"], size["w"]
            if not all(isinstance(n, int) and 0 < n <= _SIZE for n in (rows, columns)):
                raise ValueError
        except (ValueError, KeyError, TypeError) as exc:
            raise Left from exc
        act = partial(
            self._opener.resize, self._request.container_uuid, self._opened.exec_id, rows, columns
        )
        with contextlib.suppress(errors.DriverError):  # the next one may do
            await self._loop.run_in_executor(self._executor, act)
