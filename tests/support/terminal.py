"""A person at a terminal: a pseudo-terminal with one of the official clients on it, unmodified."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import select
import signal
import struct
import termios
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.support.clients import Clients
from tests.support.house import PATIENCE, eventually


class Terminal:
    """What the person types and sees. Bytes that were waited for are taken off `screen`."""

    def __init__(self, clients: Clients, program: str, *argv: str, size: tuple[int, int]) -> None:
        self._clients = clients
        self._master, slave = pty.openpty()
        os.set_blocking(self._master, False)
        self.resize(*size)
        self.screen = b""
        self.pid = clients.start(os.ttyname(slave), program, *argv)
        self._slave = slave  # held open: what is printed last is not lost
        self._code: int | None = None

    def resize(self, rows: int, columns: int) -> None:
        """Makes the window another size; whoever runs in it gets SIGWINCH."""
        fcntl.ioctl(self._master, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def connected(self) -> None:
        """Waits until the client is connected and passes on what is typed; before that it throws it away."""
        self.see("connected to")
        eventually(
            self._raw, f"the terminal becomes raw; the end of the screen: {self.screen[-2000:]!r}"
        )

    def _raw(self) -> bool:
        self._read()
        modes: int = termios.tcgetattr(self._slave)[3]
        return not modes & termios.ICANON

    def type(self, keys: str | bytes) -> None:
        """Types, as fast as the terminal takes it."""
        left = keys.encode() if isinstance(keys, str) else keys
        while left:
            readable, writable, _ = select.select([self._master], [self._master], [], PATIENCE)
            if readable:
                self._read()
            if writable:
                left = left[os.write(self._master, left) :]
            assert readable or writable, "nothing is taken"

    def see(self, *wanted: str | bytes) -> bytes:
        """Waits until each of `wanted` has been printed, in this order; all there was up to the end of the last."""
        seen = b""
        for what in wanted:
            word = what.encode() if isinstance(what, str) else what
            while word not in self.screen:
                self._more(f"{word!r} is never printed")
            at = self.screen.index(word) + len(word)
            seen, self.screen = seen + self.screen[:at], self.screen[at:]
        return seen

    def take(self, count: int) -> bytes:
        """The next `count` bytes that are printed."""
        while len(self.screen) < count:
            self._more(f"{count} bytes never come, {len(self.screen)} have")
        taken, self.screen = self.screen[:count], self.screen[count:]
        return taken

    def _more(self, otherwise: str) -> None:
        end = time.monotonic() + PATIENCE
        while not self._read():
            assert time.monotonic() < end, (
                f"{otherwise}; the end of the screen: {self.screen[-2000:]!r}"
            )
            select.select([self._master], [], [], 0.5)

    def _read(self) -> bool:
        pieces = []
        with contextlib.suppress(BlockingIOError, OSError):
            while piece := os.read(self._master, 1 << 16):
                pieces.append(piece)
        self.screen += b"".join(pieces)
        return bool(pieces)

    def kill(self) -> None:
        """The window is closed."""
        os.kill(self.pid, signal.SIGHUP)
        self.code()

    def code(self) -> int:
        """The client's exit code, once it has ended."""
        if self._code is None:
            found = eventually(
                self._ended, f"it ends; the end of the screen: {self.screen[-2000:]!r}"
            )
            self._code = found[0]
        assert self._code is not None
        return self._code

    def _ended(self) -> list[int]:
        self._read()  # a client that can't print does not end
        code = self._clients.ended(self.pid)
        return [] if code is None else [code]

    def close(self) -> None:
        """Ends what still runs in it."""
        if self._code is None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.pid, signal.SIGKILL)
            self.code()
        os.close(self._slave)
        os.close(self._master)


@contextmanager
def terminal(
    clients: Clients, program: str, *argv: str, size: tuple[int, int] = (24, 80)
) -> Iterator[Terminal]:
    """A terminal on which a client runs, until the block ends."""
    made = Terminal(clients, program, *argv, size=size)
    try:
        yield made
    finally:
        made.close()
