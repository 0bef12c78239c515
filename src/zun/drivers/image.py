"""The contract of an image source: from a reference to an image that the runtime on this host has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol, runtime_checkable

from zun.drivers.deadline import Deadline
from zun.drivers.runtime import Progress


class PullPolicy(StrEnum):
    """When to fetch: NEVER, ALWAYS, or only if the host has none (the default)."""

    NEVER = "never"
    ALWAYS = "always"
    IF_NOT_PRESENT = "ifnotpresent"


@dataclass(frozen=True, slots=True, kw_only=True)
class Reference:
    """An image as a user names it, taken apart: `domain` "" = Docker Hub; `digest` beats `tag`."""

    domain: str
    path: str
    tag: str
    digest: str | None

    def __str__(self) -> str:
        name = f"{self.domain}/{self.path}" if self.domain else self.path
        return f"{name}@{self.digest}" if self.digest else f"{name}:{self.tag}"


@dataclass(frozen=True, slots=True, kw_only=True, repr=False)
class Credentials:
    """Who we are at a registry. Has no repr, so that no log line can show it."""

    username: str
    password: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """An image the host has. `runtime_ref` is what a Plan's `image` must be: unambiguous on this host."""

    runtime_ref: str
    digest: str | None
    size: int  # bytes
    command: Sequence[str] | None = None
    entrypoint: Sequence[str] | None = None


class ImageSource(Protocol):
    """See the law in `zun.drivers`.

    resolve: takes the text apart. Rejected if it is no image reference.
    ensure: makes the host have it, as `policy` says, and returns it. One transfer per reference, credentials and host
        at a time: whoever asks meanwhile waits for the same one and gets the same answer; `progress` is called with
        {"status", "current", "total"} (bytes) at most about once a second. A waiter whose deadline is cancelled
        leaves (Conflict); the transfer goes on for the others. NotFound: no such image, or policy never and not
        present. Rejected: access denied. Unavailable: the registry does not answer.
        A reference by digest gets exactly these bytes. An image that was made of a container here is not what a name of
        a registry means, whatever the host calls it, unless that registry has it.
    search: what the registry says, at most `limit`.
    remove: absent = success; Conflict if a container uses it.
    """

    def resolve(self, text: str) -> Reference: ...
    def ensure(
        self,
        reference: Reference,
        policy: PullPolicy,
        credentials: Credentials | None,
        progress: Progress,
        deadline: Deadline,
    ) -> Image: ...
    def search(self, term: str, limit: int, deadline: Deadline) -> Sequence[Mapping[str, Any]]: ...
    def remove(self, reference: str, deadline: Deadline) -> None: ...


@runtime_checkable
class CanPush(Protocol):
    """Sends an image the host has to a registry.

    meant: the `runtime_ref` of what a name means on this host now; None = nothing.
    push: sends `source`, which names an image on this host, to the registry of `reference`, which has a tag, and
        returns the digest the registry gives. Twice is harmless. NotFound: there is no `source`. Rejected: access
        denied, or the registry takes no such thing. Unavailable: it does not answer. `progress` as of `ensure`. Who
        cancels ends it (Conflict). The host may call the image by `reference` until `withdraw`.
    withdraw: ends that: `reference` means `former` again (a `runtime_ref`; None = nothing), unless it means something
        else by now. Done twice, or where nothing was pushed, it changes nothing.
    """

    def meant(self, reference: Reference, deadline: Deadline) -> str | None: ...
    def push(
        self,
        source: str,
        reference: Reference,
        credentials: Credentials | None,
        progress: Progress,
        deadline: Deadline,
    ) -> str: ...
    def withdraw(
        self, source: str, reference: Reference, former: str | None, deadline: Deadline
    ) -> None: ...
