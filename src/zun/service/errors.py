"""What a use case may refuse with. Each carries the HTTP status and the slug of the contract (section 7).

The message is one sentence for the user: what is wrong, with which field or resource, and the way out.
"""

from __future__ import annotations

from zun.store.errors import CommitUnknown, DatabaseError


class ServiceError(Exception):
    """Base of all; `slug` becomes the error code `container.<slug>`."""

    status = 500
    slug = ""

    def __init__(self, message: str, *, slug: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if slug is not None:
            self.slug = slug


class Invalid(ServiceError):
    """400: the request itself is wrong."""

    status = 400
    slug = "invalid-value"


class Forbidden(ServiceError):
    """403: a rule or a quota forbids it."""

    status = 403
    slug = "policy-not-authorized"


class OverQuota(Forbidden):
    """403: the project would use more than it may."""

    slug = "over-quota"


class NotFound(ServiceError):
    """404: there is none, or none that the caller may know of."""

    status = 404
    slug = "container-not-found"


class Conflict(ServiceError):
    """409: the state of the resource forbids it now."""

    status = 409
    slug = "conflict"


class Unavailable(ServiceError):
    """503: a part of the service that is needed does not answer; asking later may help. No Retry-After: contract 7."""

    status = 503
    slug = "service-unavailable"


def of_database(error: DatabaseError) -> Unavailable:
    """What a user is told where the database failed: nothing of the cause, which is in the log."""
    if isinstance(error, CommitUnknown):
        return Unavailable(
            "The records were lost sight of while the request was written down: it may have been accepted. "
            "Look before asking again; a create with an Idempotency-Key may be repeated as it is."
        )
    return Unavailable("The records can't be reached; nothing was accepted. Ask again in a moment.")


class Gone(ServiceError):
    """410: it was there, and is kept no more."""

    status = 410
    slug = "gone"
