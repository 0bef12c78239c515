"""The only exceptions that may cross a driver's border.

    DriverError
      NotFound      what was named does not exist
      Conflict      it exists in a state that forbids the call (running, in use, name taken)
      Rejected      the engine, registry or cloud understood and refused: asking again gives the same answer
        Lacking     for want of something on this host; another host may have it   elsewhere
      Unsupported   this driver or this engine can't do it at all                   elsewhere
      Unavailable   nobody answered, or "try again later"          retryable
      TimedOut      no answer within the deadline                   retryable

Errors are sorted here, where they are born; nobody parses their text. `public` is fit for a user's eyes: no path
of the host, no secret, no traceback, one line, at most 500 characters.
"""

from __future__ import annotations

PUBLIC_LIMIT = 500


class DriverError(Exception):
    """Base of all; never raised itself."""

    retryable = False
    elsewhere = False  # whether another host might do what this one can't

    def __init__(self, public: str) -> None:
        self.public = " ".join(public.split())[:PUBLIC_LIMIT]
        super().__init__(self.public)


class NotFound(DriverError):
    """What was named does not exist."""


class Conflict(DriverError):
    """It exists, in a state that forbids the call."""


class Rejected(DriverError):
    """Understood and refused."""


class Lacking(Rejected):
    """Refused for want of something that another host may have: room on the disk, a runtime, an architecture."""

    elsewhere = True


class Unsupported(DriverError):
    """This driver or this engine can't do it."""

    elsewhere = True


class Unavailable(DriverError):
    """Nobody answered, or was asked to come again."""

    retryable = True


class TimedOut(DriverError):
    """No answer within the deadline; whether the effect took place is not known."""

    retryable = True
