"""Why a request is turned away, before any upgrade."""

from __future__ import annotations

from zun.model.session import Denied


class Refusal(Exception):
    """`status` as of HTTP; `why`, one of a few words, for log and metrics; `reason` for the user: cause and way out."""

    def __init__(self, status: int, why: str, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.why = why
        self.reason = reason


_ANOTHER = "Ask for a new one: attach or execute again."
_UNKNOWN = (403, "unknown", f"This link opens no session. {_ANOTHER}")

#: Whoever guesses learns nothing: only to somebody with the right token and container are the reasons told apart.
_DENIED: dict[Denied, tuple[int, str, str]] = {
    Denied.UNKNOWN: _UNKNOWN,
    Denied.OTHER_CONTAINER: _UNKNOWN,
    Denied.OTHER_EXEC: _UNKNOWN,
    Denied.USED: (
        410, "used", f"This link has been used; each is good for one session. {_ANOTHER}"
    ),
    Denied.EXPIRED: (410, "expired", f"This link has expired. {_ANOTHER}"),
    Denied.NOT_RUNNING: (409, "not running", "The container is not running. Start it first."),
}  # fmt: skip


def refusal_of(denied: Denied) -> Refusal:
    """What the bearer of a token that was denied is told."""
    return Refusal(*_DENIED[denied])


class UpgradeNeeded(Refusal):
    """No websocket was asked for."""

    def __init__(self) -> None:
        super().__init__(
            426, "no upgrade", "This is for websockets. The page for browsers is at console/."
        )
