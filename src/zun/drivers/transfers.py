"""Transfers that are shared by all who wait for the same thing."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any

from zun.drivers import errors
from zun.drivers.deadline import Deadline
from zun.drivers.image import Credentials, Image, Reference
from zun.drivers.runtime import Progress

log = logging.getLogger(__name__)

EVERY = 1.0  # seconds between two reports to one waiter
LOOK = 0.2  # seconds until a waiter notices that it is cancelled

#: The engine's words of a layer that moves, and of one that is where it was to go.
_MOVING = frozenset({"Downloading", "Pushing"})
_MOVED = frozenset({"Download complete", "Pull complete", "Pushed"})


@dataclass(frozen=True, slots=True, repr=False)
class Key:
    """What a transfer is shared by: the reference, who asks, and whether what the host has already would do."""

    reference: str
    credentials: Credentials | None
    always: bool


class Tally:
    """How far a pull or a push is, over all layers; from any thread."""

    def __init__(self, status: str) -> None:
        self._lock = threading.Lock()
        self._layers: dict[str, tuple[int, int]] = {}  # layer -> bytes moved, bytes in all
        self._status = status

    def saw(self, line: Mapping[str, Any]) -> None:
        """Takes in one line of the engine's progress."""
        detail = line.get("progressDetail") or {}
        layer, status = str(line.get("id") or ""), str(line.get("status") or "")
        with self._lock:
            if status in _MOVING and detail.get("total"):
                self._layers[layer] = (int(detail.get("current") or 0), int(detail["total"]))
            elif status in _MOVED and layer in self._layers:
                total = self._layers[layer][1]
                self._layers[layer] = (total, total)
            self._status = status or self._status

    def snapshot(self) -> Mapping[str, Any]:
        """How far it is, for `Progress`."""
        with self._lock:
            # An engine sends a little more than it said it would.
            current = sum(min(now, all_) for now, all_ in self._layers.values())
            total = sum(all_ for _, all_ in self._layers.values())
            return {"status": self._status, "current": current, "total": total}


class Teller:
    """Hands on how far it is, now and then."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress
        self._told = time.monotonic()

    def __call__(self, tally: Tally) -> None:
        """Tells, if it is time to."""
        if time.monotonic() - self._told >= EVERY:
            self._told = time.monotonic()
            self._progress(tally.snapshot())


class Transfer:
    """One pull: its progress over all layers, and its end."""

    def __init__(self, key: Key, reference: Reference) -> None:
        self.key, self.reference = key, reference
        self.tally = Tally("Pulling")
        self._changed = threading.Condition()
        self._image: Image | None = None
        self._error: BaseException | None = None

    def end(self, image: Image | None, error: BaseException | None) -> None:
        """Wakes all waiters with the image or the error."""
        with self._changed:
            self._image, self._error = image, error
            self._changed.notify_all()

    def wait(self, seconds: float) -> Image | None:
        """The image once it is there, None if not within `seconds`; raises what the transfer raised."""
        with self._changed:
            self._changed.wait_for(
                lambda: self._image is not None or self._error is not None, seconds
            )
            if isinstance(self._error, errors.DriverError):
                # A new one for each waiter: an exception that several threads raise grows all their tracebacks.
                raise type(self._error)(self._error.public) from self._error
            if self._error is not None:
                raise RuntimeError("a transfer failed by a defect of ours") from self._error
            return self._image


class Transfers:
    """The transfers under way on this host; `work` runs one, in a thread of its own."""

    def __init__(self, work: Callable[[Transfer], Image]) -> None:
        self._work = work
        self._lock = threading.Lock()
        self._open: dict[Key, Transfer] = {}

    def join(self, key: Key, reference: Reference, progress: Progress, deadline: Deadline) -> Image:
        """Waits for the transfer of `key`, begun if there is none. Conflict: cancelled. TimedOut: too late."""
        transfer = self._transfer(key, reference)
        tell = Teller(progress)
        while (image := transfer.wait(deadline.left(LOOK))) is None:
            if deadline.cancelled():
                raise errors.Conflict("the one who asked for the image no longer wants it")
            tell(transfer.tally)
        return image

    def _transfer(self, key: Key, reference: Reference) -> Transfer:
        with self._lock:
            # One that asks the registry anyway is good enough for those who would take what is here.
            transfer = self._open.get(replace(key, always=True)) or self._open.get(key)
            if transfer is None:
                transfer = self._open[key] = Transfer(key, reference)
                threading.Thread(
                    target=self._run, args=(transfer,), name="zun-pull", daemon=True
                ).start()
            return transfer

    def _run(self, transfer: Transfer) -> None:
        image: Image | None = None
        error: BaseException | None = None
        try:
            image = self._work(transfer)
        except BaseException as e:
            error = e
        finally:
            # First off the list, then the end: whoever comes now begins anew, and looks at the host first.
            with self._lock:
                self._open.pop(transfer.key, None)
            transfer.end(image, error)
