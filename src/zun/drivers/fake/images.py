"""The fake of an image source, with the registry behind it."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from zun.drivers import errors
from zun.drivers.deadline import Deadline
from zun.drivers.fake.script import FOREVER, Scripted
from zun.drivers.image import Credentials, Image, PullPolicy, Reference
from zun.drivers.references import parse
from zun.drivers.runtime import Progress
from zun.drivers.transfers import Key, Transfer, Transfers
from zun.model.image import is_committed


@dataclass(frozen=True, slots=True)
class _Published:
    image: Image
    credentials: Credentials | None


class FakeImages(Scripted):
    """ImageSource and CanPush in memory. Every transfer counts as a call of "pull", which has a script of its own.

    published: references its registry has from the start. anything: whatever is named is there.
    """

    def __init__(self, *published: str, anything: bool = False) -> None:
        super().__init__()
        self._anything = anything
        self._registry: dict[str, _Published] = {}
        self._present: dict[str, Image] = {}
        self._used: set[str] = set()
        self._made: set[str] = set()  # images made of containers
        self._closed: dict[
            str, Credentials | None
        ] = {}  # domain -> who may push there, None = nobody
        self._transfers = Transfers(self._pull)
        for text in published:
            self.publish(text)

    def publish(
        self,
        text: str,
        *,
        command: Sequence[str] = ("sh",),
        credentials: Credentials | None = None,
        salt: str = "",
    ) -> Image:
        """Puts an image into the registry, by tag and by digest; `credentials` make it private."""
        reference = parse(text)
        ident = "sha256:" + hashlib.sha256(f"{reference}{salt}".encode()).hexdigest()
        digest = reference.digest or "sha256:" + hashlib.sha256(ident.encode()).hexdigest()
        image = Image(runtime_ref=ident, digest=digest, size=1_000_000, command=tuple(command))
        name = f"{reference.domain}/{reference.path}" if reference.domain else reference.path
        with self._lock:
            for key in (str(reference), f"{name}@{digest}"):
                self._registry[key] = _Published(image, credentials)
        return image

    def keep(self, text: str, salt: str) -> Image:
        """An image that was made on the host, and that no registry has."""
        reference = parse(text)
        ident = "sha256:" + hashlib.sha256(f"{reference}{salt}".encode()).hexdigest()
        image = Image(runtime_ref=ident, digest=None, size=1_000_000)
        with self._lock:
            self._present[str(reference)] = image
            self._made.add(ident)
        return image

    def close_registry(self, domain: str, credentials: Credentials | None) -> None:
        """Has the registry take images from nobody but this one (None = from nobody)."""
        with self._lock:
            self._closed[domain] = credentials

    def names(self) -> list[str]:
        """What the host calls its images."""
        with self._lock:
            return sorted(self._present)

    def unpublish(self, text: str) -> None:
        """Takes an image out of the registry."""
        with self._lock:
            del self._registry[str(parse(text))]

    def use(self, text: str) -> None:
        """Says that a container uses the image the host has."""
        with self._lock:
            self._used.add(str(parse(text)))

    def forget(self, text: str) -> None:
        """Somebody removes the image from the host by hand."""
        with self._lock:
            self._present.pop(str(parse(text)), None)

    def resolve(self, text: str) -> Reference:
        return parse(text)

    def ensure(
        self,
        reference: Reference,
        policy: PullPolicy,
        credentials: Credentials | None,
        progress: Progress,
        deadline: Deadline,
    ) -> Image:
        with self._call("ensure", str(reference), deadline, policy):
            present = self._known(reference)
        if present is not None and policy is not PullPolicy.ALWAYS:
            return present
        if policy is PullPolicy.NEVER:
            raise errors.NotFound(f"this host has no image {reference}, and it must not be pulled")
        key = Key(str(reference), credentials, policy is PullPolicy.ALWAYS)
        return self._transfers.join(key, reference, progress, deadline)

    def _pull(self, transfer: Transfer) -> Image:
        name = str(transfer.reference)
        if not transfer.key.always:
            with self._lock:
                if (known := self._known(transfer.reference)) is not None:
                    return known
        with self._call("pull", name, Deadline(FOREVER)):
            if self._anything and name not in self._registry:
                self.publish(name)
            found = self._registry.get(name)
            if found is None:
                raise errors.NotFound(f"there is no image {name}, or it is private")
            if found.credentials not in (None, transfer.key.credentials):
                raise errors.Rejected(f"the registry refuses the image {name}")
            self._present[name] = found.image
        return found.image

    def _known(self, reference: Reference) -> Image | None:
        name = str(reference)
        found, published = self._present.get(name), self._registry.get(name)
        if found is None or found.runtime_ref not in self._made:
            return found
        sent = published is not None and published.image.runtime_ref == found.runtime_ref
        return found if sent or is_committed(reference.domain, reference.path) else None

    def meant(self, reference: Reference, deadline: Deadline) -> str | None:
        with self._call("meant", str(reference), deadline):
            known = self._known(reference)
            return None if known is None else known.runtime_ref

    def push(
        self,
        source: str,
        reference: Reference,
        credentials: Credentials | None,
        progress: Progress,
        deadline: Deadline,
    ) -> str:
        name = str(reference)
        with self._lock:
            image = self._present.get(str(parse(source)))
            if image is None:
                raise errors.NotFound(f"this host has no image {source}")
            self._present[name] = image
        with self._call("push", name, deadline, source):
            if self._closed.get(reference.domain, credentials) != credentials or (
                reference.domain in self._closed and credentials is None
            ):
                raise errors.Rejected(f"the registry refuses the image {name}: unauthorized")
            digest = "sha256:" + hashlib.sha256(image.runtime_ref.encode()).hexdigest()
            sent = replace(image, digest=digest)
            self._registry[name] = _Published(sent, self._closed.get(reference.domain))
            self._present[name] = sent
            progress({"status": "Pushed", "current": image.size, "total": image.size})
        return digest

    def withdraw(
        self, source: str, reference: Reference, former: str | None, deadline: Deadline
    ) -> None:
        with self._call("withdraw", str(reference), deadline):
            name, image = str(reference), self._present.get(str(parse(source)))
            now = self._present.get(name)
            if image is None or now is None or now.runtime_ref != image.runtime_ref:
                return
            del self._present[name]
            if former not in (None, image.runtime_ref):
                known = [p.image for p in self._registry.values() if p.image.runtime_ref == former]
                self._present[name] = known[0]

    def search(self, term: str, limit: int, deadline: Deadline) -> Sequence[Mapping[str, Any]]:
        with self._call("search", term, deadline, limit):
            references = (parse(name) for name in self._registry)
            names = sorted({str(replace(r, tag="", digest=None)).rstrip(":") for r in references})
            return tuple({"name": n} for n in names if term in n)[:limit]

    def remove(self, reference: str, deadline: Deadline) -> None:
        with self._call("remove", reference, deadline):
            name = str(parse(reference))
            if name in self._used:
                raise errors.Conflict(f"cannot remove the image {name}: a container uses it")
            self._present.pop(name, None)
